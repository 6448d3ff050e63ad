"""Terminals: who may connect, their tokens, where they are connected and what is pushed to them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from sys import intern
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AwareDatetime, Field, SecretStr, StringConstraints, field_serializer

from shared.contracts.base import MAX_TOKEN, Command, Done, Event, Message, Signal, new_id, token

DeviceName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
MAX_PENDING = 1_000
"""terminals that may wait for the office; more are not remembered"""
MAX_BULK = 1_000
"""terminals that are added or removed by one command"""
SerialNumber = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[\x21-\x7e]{1,64}$")]


class DeviceState(StrEnum):
    """What the office says of a terminal."""

    PENDING = "pending"
    """it announced itself and waits"""
    AUTHORISED = "authorised"
    SUSPENDED = "suspended"


class Proof(StrEnum):
    """How a terminal proves who it is."""

    SECRET = "secret"  # noqa: S105 - a name
    """it answers a challenge with the secret that only it and we know"""
    SERIAL = "serial"
    """compatibility with seed 004: whoever knows the name and the serial number is believed"""


class TokenUse(StrEnum):
    """How often a token counts."""

    ONCE = "once"
    TIMED = "timed"
    """as often as it likes until it expires"""


class DeviceMode(StrEnum):
    """Who recognises."""

    ONLINE = "online"
    """the server"""
    OFFLINE = "offline"
    """the terminal, with its copy of the library"""


class FillLight(StrEnum):
    """When the lamp burns."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class DeviceConfig(Message):
    """What the office wishes of a terminal; each says what it has taken over."""

    mode: DeviceMode = DeviceMode.ONLINE
    open_ms: int = Field(default=3_000, ge=100, le=60_000)
    """how long the door stays unlocked, in milliseconds"""
    fill_light: FillLight = FillLight.AUTO
    volume: int = Field(default=70, ge=0, le=100)
    greeting: str = Field(default="", max_length=128)
    """shown beside the name"""


class Device(Message):
    """A terminal as the registry knows it."""

    version: ClassVar[int] = 2

    device_id: int
    name: str
    sn: str
    state: DeviceState
    proof: Proof = Proof.SERIAL
    tokens: TokenUse = TokenUse.ONCE
    place: str = ""
    """where its punches are made; empty: at its name"""
    classes: tuple[str, ...] = ()
    """whose faces it needs; empty: everybody's"""
    config: DeviceConfig = DeviceConfig()
    config_revision: int = 0
    """of `config`, which is what the office wishes; 0: nobody has changed it yet"""
    config_taken: int | None = None
    """the revision that the terminal says it works by; None: it never said"""
    created_at: AwareDatetime
    seen_at: AwareDatetime | None = None
    clock_offset_ms: int | None = None
    """how far its clock is ahead of ours, in milliseconds"""
    agent: str = ""

    @property
    def authorised(self) -> bool:
        return self.state is DeviceState.AUTHORISED

    @property
    def punches_at(self) -> str:
        return self.place or self.name


class IssuedSecret(Message):
    """A terminal, and its new secret: hex, shown once; empty for Proof.SERIAL."""

    device: Device
    secret: SecretStr

    @field_serializer("secret")
    def _plain(self, value: SecretStr) -> str:
        return value.get_secret_value()


class AddDevice(Command[IssuedSecret]):
    """Authorise a terminal. Errors: Conflict (the name or the serial number belongs to another). The same terminal
    again, even if it was pending, is authorised again and, for Proof.SECRET, gets a new secret."""

    subject: ClassVar[str] = "cmd.registry.add_device"

    name: DeviceName
    sn: SerialNumber
    proof: Proof
    by: str = Field(max_length=64)


class NewDevice(Message):
    """A terminal to be added."""

    name: DeviceName
    sn: SerialNumber


class IssuedSecrets(Message):
    """Ids and secrets (hex, shown once), in the order that was asked for."""

    ids: tuple[int, ...]
    secrets: tuple[str, ...] = Field(repr=False)


class AddDevices(Command[IssuedSecrets]):
    """Authorise terminals by the thousand, each with a secret of its own: a delivery, or a fleet for a test. Those that
    are there already get a new secret. All or none. Errors: Conflict. Only the command line may ask."""

    subject: ClassVar[str] = "cmd.registry-cli.add_devices"
    timeout: ClassVar[float] = 20.0

    devices: tuple[NewDevice, ...] = Field(max_length=MAX_BULK)
    by: str = Field(max_length=64)


class RemoveDevices(Command[Done]):
    """Remove terminals by the thousand; those that are unknown are left out. Only the command line may ask."""

    subject: ClassVar[str] = "cmd.registry-cli.remove_devices"
    timeout: ClassVar[float] = 20.0

    ids: tuple[int, ...] = Field(max_length=MAX_BULK)
    by: str = Field(max_length=64)


class AnnounceDevice(Command[Device]):
    """A terminal that nobody knows asks to be let in. Errors: Conflict; NotAllowed while MAX_PENDING wait already."""

    subject: ClassVar[str] = "cmd.registry-hub.announce_device"

    name: DeviceName
    sn: SerialNumber


class AuthoriseDevice(Command[IssuedSecret]):
    """Let a pending or suspended terminal in; a pending one gets a secret if it shall prove itself with one.
    Errors: NotFound."""

    subject: ClassVar[str] = "cmd.registry.authorise_device"

    device_id: int
    proof: Proof
    by: str = Field(max_length=64)


class SuspendDevice(Command[Device]):
    """Keep it, but let it in no more: a live connection is cut. Errors: NotFound."""

    subject: ClassVar[str] = "cmd.registry.suspend_device"

    device_id: int
    by: str = Field(max_length=64)


class RenewSecret(Command[IssuedSecret]):
    """A new secret, and Proof.SECRET from now on; the old one ends. Errors: NotFound."""

    subject: ClassVar[str] = "cmd.registry.renew_secret"

    device_id: int
    by: str = Field(max_length=64)


class EditDevice(Command[Device]):
    """Errors: NotFound, Conflict (the name)."""

    subject: ClassVar[str] = "cmd.registry.edit_device"

    device_id: int
    name: DeviceName
    place: str = Field(default="", max_length=128)
    classes: tuple[Annotated[str, Field(max_length=128)], ...] = Field(default=(), max_length=500)
    tokens: TokenUse = TokenUse.ONCE
    config: DeviceConfig = DeviceConfig()
    by: str = Field(max_length=64)


class RemoveDevice(Command[Done]):
    """Errors: NotFound."""

    subject: ClassVar[str] = "cmd.registry.remove_device"

    device_id: int
    by: str = Field(max_length=64)


class DeviceList(Message):
    """A page of terminals; `total` and `pending` count all there are."""

    devices: tuple[Device, ...]
    total: int = 0
    pending: int = 0


class ListDevices(Command[DeviceList]):
    """Those that wait first, then by name; of one state if it is named."""

    subject: ClassVar[str] = "cmd.registry.list_devices"

    text: str = Field(default="", max_length=64)
    """part of a name, place or serial number"""
    state: DeviceState | None = None
    offset: int = Field(default=0, ge=0)
    limit: int = Field(default=500, ge=1, le=2_000)


class GetDevice(Command[Device]):
    """Errors: NotFound."""

    subject: ClassVar[str] = "cmd.registry.get_device"

    device_id: int


class FindDevice(Command[DeviceList]):
    """The terminals that bear this name or this serial number (0, 1 or 2 of them)."""

    subject: ClassVar[str] = "cmd.registry.find_device"

    name: str = Field(max_length=64)
    sn: str = Field(max_length=64)


@dataclass(frozen=True, slots=True)
class HubDevice:
    """A terminal as a hub keeps it, sixty-five thousand of them: half a kilobyte, where a Device takes three."""

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
    secret: bytes = field(repr=False)
    """empty for Proof.SERIAL"""

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


_HUB_DEVICE = tuple(each.name for each in fields(HubDevice))


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
        rows = [tuple(getattr(device, name) for name in _HUB_DEVICE) for device in devices]
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
        return (HubDevice(*row) for row in zip(*columns, strict=True))


class DevicesMark(Message):
    """A number that is another one after any terminal was changed."""

    mark: int


class GetDevicesMark(Command[DevicesMark]):
    """Whether a copy is still good, without reading sixty-five thousand rows. Only a hub may ask."""

    subject: ClassVar[str] = "cmd.registry-hub.devices_mark"


class ListHubDevices(Command[HubDevices]):
    """At most `limit` terminals after `after` (an id): the hubs' copy. Only a hub may ask."""

    subject: ClassVar[str] = "cmd.registry-hub.list_devices"

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


class LogEntry(Message):
    """Something that was done to a terminal."""

    at: AwareDatetime
    by: str
    action: str
    detail: str = ""


class DeviceLog(Message):
    """Newest first."""

    entries: tuple[LogEntry, ...]


class GetDeviceLog(Command[DeviceLog]):
    """The last `limit` entries."""

    subject: ClassVar[str] = "cmd.registry.device_log"

    device_id: int
    limit: int = Field(default=100, ge=1, le=1_000)


class DeviceChange(StrEnum):
    """What became of a terminal."""

    ADDED = "added"
    ANNOUNCED = "announced"
    AUTHORISED = "authorised"
    SUSPENDED = "suspended"
    EDITED = "edited"
    SECRET_RENEWED = "secret renewed"  # noqa: S105 - a name
    REMOVED = "removed"
    MANY = "many changed"
    """and `device_id` is 0: whoever keeps a copy reads it again"""


class DeviceChanged(Event):
    """A terminal was changed: whoever keeps a copy asks for it, or forgets it."""

    subject: ClassVar[str] = "evt.device.changed"

    device_id: int
    change: DeviceChange
    by: str


class IssuedToken(Message):
    """40 hex characters (seed 004) and how long they are good for, in seconds; or a challenge to be answered."""

    token: str = ""
    expires_in: int = 0
    challenge: str = ""
    """hex; the terminal answers with HMAC-SHA256(secret, challenge as bytes of text) as hex"""


class IssueToken(Command[IssuedToken]):
    """Ask a hub for a terminal's token. Errors carry seed 004's codes: see shared.codes."""

    subject: ClassVar[str] = "cmd.hub.issue_token"

    name: str = Field(max_length=256)
    sn: str = Field(max_length=256)
    challenge: str = Field(default="", max_length=128)
    answer: str = Field(default="", max_length=128)


class CheckToken(Command[Device]):
    """Whose token is this? Errors: NotAllowed with seed 004's number (7 expired, 9001 anything else)."""

    subject: ClassVar[str] = "cmd.hub.check_token"

    token: str = Field(max_length=64)
    spend: bool = False
    """it shall not be good again, unless the device's tokens are TIMED; of two that spend it at once, one may"""


class CheckSerial(Command[Device]):
    """The device of this name and serial number, if the office lets these be proof enough. Errors: DeviceRefused
    (9001, 9004)."""

    subject: ClassVar[str] = "cmd.hub.check_serial"

    name: str = Field(max_length=64)
    sn: str = Field(max_length=64)


class CheckDevice(Command[Device]):
    """The device of this id, which must still be authorised. Errors: NotAllowed (9001)."""

    subject: ClassVar[str] = "cmd.hub.check_device"

    device_id: int = Field(ge=0, lt=2**32)


class Presence(Message):
    """In the KV bucket `presence` under the device id: which hub holds the terminal, since when."""

    hub: str
    session: str
    since: AwareDatetime


class HubLease(Message):
    """In the KV bucket `hubs` under the hub id: gone means all its terminals are offline."""

    hub: str
    terminals: int


class TerminalPush(Signal):
    """`hub.<hub>.push.<device>`: JSON text for one terminal, sent to the one hub that holds it."""

    device_id: int
    text: str = Field(max_length=65_536)

    @staticmethod
    def subject_for(hub: str, device: str) -> str:
        return f"hub.{token(hub)}.push.{device if device == '*' else token(device)}"


class OpenDoor(Message):
    """Unlock the door once."""

    action: Literal["open_door"] = "open_door"
    seconds: float | None = Field(default=None, ge=0.1, le=60)
    """None: as long as its configuration says"""
    reason: str = Field(default="", max_length=128)


class ShowMessage(Message):
    """Show words on the display."""

    action: Literal["show_message"] = "show_message"
    zh: str = Field(default="", max_length=128)
    en: str = Field(default="", max_length=128)
    seconds: float = Field(default=10.0, ge=1, le=3_600)


class Restart(Message):
    """End the terminal's program and start it again."""

    action: Literal["restart"] = "restart"


class ReloadConfig(Message):
    """Take the configuration over again, as if it were new."""

    action: Literal["reload_config"] = "reload_config"


class UpdateFaces(Message):
    """Fetch the changes of the face library now."""

    action: Literal["update_faces"] = "update_faces"


Order = Annotated[OpenDoor | ShowMessage | Restart | ReloadConfig | UpdateFaces, Field(discriminator="action")]
"""What a terminal can be told to do."""


class OrderOutcome(Message):
    """The terminal's own answer. `error` is a word for programs, such as `unsupported`, `late`, `failed`."""

    ok: bool
    error: str = Field(default="", max_length=64)
    detail: str = Field(default="", max_length=256)


class TerminalOrder(Message):
    """`hub.<hub>.command.<device>`: an order to a connected terminal, answered with an OrderOutcome.

    Never queued. Errors: Gone (it is not connected to this hub), Unavailable (too many orders are out already; no
    answer within `within_s`, and nobody knows whether it was done). The same `order_id` again is done once.
    """

    order_id: str = Field(default_factory=new_id, min_length=1, max_length=56)
    device_id: int
    order: Order
    within_s: float = Field(default=5, gt=0, le=30)
    """how long the terminal may take; it does nothing that it hears of later"""
    by: str = Field(max_length=64)

    @staticmethod
    def subject_for(hub: str, device: str) -> str:
        return f"hub.{token(hub)}.command.{device if device == '*' else token(device)}"


def device_source(device_id: int) -> str:
    """The source id of a terminal's frames."""
    return f"device-{device_id}"
