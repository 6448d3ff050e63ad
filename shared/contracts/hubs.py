"""What hubs and the registry tell each other: the hubs' copy of the terminals, who was seen, what was done; and which
hub holds which terminal."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from sys import intern
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import AwareDatetime, Field

from shared.contracts.base import MAX_TOKEN, Command, Done, Message, Signal, token
from shared.contracts.devices import (
    Device,
    DeviceConfig,
    DeviceName,
    DeviceState,
    Proof,
    SerialNumber,
    TokenUse,
)


class AnnounceDevice(Command[Device]):
    """A terminal that nobody knows asks to be let in. Errors: Conflict; NotAllowed while MAX_PENDING wait already."""

    subject: ClassVar[str] = "cmd.registry-hub.announce_device"

    name: DeviceName
    sn: SerialNumber


class HubDevice(NamedTuple):
    """A terminal as a hub keeps it, sixty-five thousand of them: half a kilobyte, where a Device takes three. A tuple,
    because a starting hub makes them all at once."""

    device_id: int
    name: str
    sn: str
    state: str
    proof: str
    tokens: str
    place: str
    classes: str
    """a JSON list"""
    config: str
    """a JSON DeviceConfig"""
    config_revision: int
    created_at: datetime
    secret: bytes
    """empty for Proof.SERIAL"""

    def __repr__(self) -> str:
        """Without the secret."""
        return f"HubDevice({self.device_id}, {self.name!r}, {self.sn!r}, {self.state})"

    @classmethod
    def of(cls, device: Device, secret: bytes = b"") -> Self:
        """The same terminal; when it was seen last is left out."""
        return cls(
            device.device_id,
            device.name,
            device.sn,
            device.state.value,
            device.proof.value,
            device.tokens.value,
            device.place,
            json.dumps(device.classes, ensure_ascii=False),
            device.config.model_dump_json(),
            device.config_revision,
            device.created_at,
            secret,
        )

    @property
    def authorised(self) -> bool:
        return self.state == DeviceState.AUTHORISED

    def device(self) -> Device:
        """Unpacked."""
        return Device(
            device_id=self.device_id,
            name=self.name,
            sn=self.sn,
            state=DeviceState(self.state),
            proof=Proof(self.proof),
            tokens=TokenUse(self.tokens),
            place=self.place,
            classes=tuple(json.loads(self.classes)),
            config=_config(self.config),
            config_revision=self.config_revision,
            created_at=self.created_at,
        )


@lru_cache(maxsize=256)
def _config(text: str) -> DeviceConfig:
    """Most terminals have one of a few."""
    return DeviceConfig.model_validate_json(text)


class HubDevices(Message):
    """Terminals by id, in columns: a page of 2,000 is read in a hundredth of the time that as many objects take."""

    version: ClassVar[int] = 2

    ids: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    sns: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    proofs: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    config_revisions: tuple[int, ...] = ()
    created: tuple[AwareDatetime, ...] = ()
    secrets: tuple[bytes, ...] = Field(default=(), repr=False)

    @classmethod
    def of(cls, devices: Iterable[HubDevice]) -> Self:
        """These, in their order."""
        return cls.of_rows(tuple(devices))

    @classmethod
    def of_rows(cls, rows: Sequence[tuple[Any, ...]]) -> Self:
        """Terminals as the fields of HubDevice in their order; thirty pages of them are read for each starting hub."""
        return cls(**dict(zip(cls.model_fields, zip(*rows, strict=True), strict=True))) if rows else cls()

    def rows(self) -> Iterator[HubDevice]:
        """The terminals; what most of them share is kept once."""
        columns = (
            self.ids,
            self.names,
            self.sns,
            map(intern, self.states),
            map(intern, self.proofs),
            map(intern, self.tokens),
            map(intern, self.places),
            map(intern, self.classes),
            map(intern, self.configs),
            self.config_revisions,
            self.created,
            self.secrets,
        )
        return map(HubDevice._make, zip(*columns, strict=True))


class DevicesMark(Message):
    """A number that is another one after any terminal was changed."""

    mark: int


class GetDevicesMark(Command[DevicesMark]):
    """Whether a copy is still good, without reading sixty-five thousand rows. Only a hub may ask."""

    subject: ClassVar[str] = "cmd.registry-hub.devices_mark"


class ListHubDevices(Command[HubDevices]):
    """At most `limit` terminals after `after` (an id): the hubs' copy. Only a hub may ask."""

    subject: ClassVar[str] = "cmd.registry-hub.list_devices"
    timeout: ClassVar[float] = 15.0
    """seconds; several hubs start together, and each that gives up begins anew"""

    after: int = Field(default=0, ge=0)
    limit: int = Field(default=2_000, ge=1, le=4_000)


class FindHubDevices(Command[HubDevices]):
    """By id, or by name or serial number. Only a hub may ask."""

    subject: ClassVar[str] = "cmd.registry-hub.find_devices"

    device_id: int = 0
    name: str = Field(default="", max_length=64)
    sn: str = Field(default="", max_length=64)


class Sighting(Message):
    """A terminal was connected at `at`."""

    device_id: int
    at: AwareDatetime
    clock_offset_ms: int | None = None
    """how far its clock is ahead, where it tells the time"""
    agent: str = Field(default="", max_length=128)
    config_taken: int | None = None
    """None: it did not say, which changes nothing"""


class DevicesSeen(Command[Done]):
    """Remember when terminals were last there; those that are unknown are left out. Only a hub may say so."""

    subject: ClassVar[str] = "cmd.registry-hub.devices_seen"
    timeout: ClassVar[float] = 15.0

    seen: tuple[Sighting, ...] = Field(max_length=5_000)


class Deed(Message):
    """Something that a connected terminal was told to do, and what came of it; written down once by `deed_id`."""

    deed_id: str = Field(max_length=MAX_TOKEN)
    device_id: int
    at: AwareDatetime
    by: str = Field(max_length=64)
    action: str = Field(max_length=48)
    done: bool
    detail: str = Field(default="", max_length=256)
    """who wished what and why; what went wrong"""


class DeedsDone(Command[Done]):
    """Write down what terminals were told to do. Only a hub may say so."""

    subject: ClassVar[str] = "cmd.registry-hub.deeds_done"

    deeds: tuple[Deed, ...] = Field(max_length=500)


class Presence(Message):
    """In the KV bucket `presence` under the device id: which hub holds the terminal, since when."""

    hub: str
    session: str
    since: AwareDatetime


class TerminalsCame(Signal):
    """`hub.<hub>.came`: these were welcomed there, at these times by its clock. An older connection of one of them, at
    another hub, is of a link that died unseen or of a copy; it ends. Told in batches: in a storm a thousand come in a
    second."""

    subject: ClassVar[str] = "hub.*.came"

    hub: str
    ids: tuple[int, ...]
    since: tuple[AwareDatetime, ...]
    """as many"""

    @staticmethod
    def subject_for(hub: str) -> str:
        return f"hub.{token(hub)}.came"


class HubLease(Message):
    """In the KV bucket `hubs` under the hub id: gone means all its terminals are offline."""

    hub: str
    terminals: int
