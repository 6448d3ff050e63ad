"""Terminals: who may connect, their tokens, where they are connected and what is pushed to them."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field, StringConstraints

from shared.contracts.base import Command, Done, Event, Message, Signal, token

DeviceName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
SerialNumber = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[\x21-\x7e]{1,64}$")]


class Tokens(StrEnum):
    """How often a terminal may show one token."""

    ONCE = "once"
    TIMED = "timed"
    """as often as it likes, until its time is over"""


class Proof(StrEnum):
    """How a terminal shows that it is the one it says it is."""

    SECRET = "secret"  # noqa: S105 - a name
    SERIAL = "serial"
    """its name and serial number are enough: weak, for terminals that can no more"""


class Device(Message):
    """A terminal as the registry knows it. `name` is also the place its punches are made at."""

    device_id: int
    name: str
    sn: str
    authorised: bool
    created_at: AwareDatetime
    tokens: Tokens = Tokens.ONCE
    proof: Proof = Proof.SECRET
    classes: tuple[str, ...] = ()
    """whose faces it may have; empty: everybody's"""


class AddDevice(Command[Device]):
    """Authorise a terminal. Errors: Conflict (the name or the serial number belongs to another)."""

    subject: ClassVar[str] = "cmd.registry.add_device"

    name: DeviceName
    sn: SerialNumber
    by: str = Field(max_length=64)


class RemoveDevice(Command[Done]):
    """Errors: NotFound."""

    subject: ClassVar[str] = "cmd.registry.remove_device"

    device_id: int
    by: str = Field(max_length=64)


class DeviceList(Message):
    """Every terminal, by name."""

    devices: tuple[Device, ...]


class ListDevices(Command[DeviceList]):
    """All terminals (paged by the caller's wish: `offset`, `limit`)."""

    subject: ClassVar[str] = "cmd.registry.list_devices"

    offset: int = Field(default=0, ge=0)
    limit: int = Field(default=500, ge=1, le=2_000)


class FindDevice(Command[DeviceList]):
    """The terminals that bear this name or this serial number (0, 1 or 2 of them)."""

    subject: ClassVar[str] = "cmd.registry.find_device"

    name: str = Field(max_length=64)
    sn: str = Field(max_length=64)


class DeviceChanged(Event):
    """A terminal was added, removed or its authorisation changed."""

    subject: ClassVar[str] = "evt.device.changed"

    device_id: int
    change: str
    by: str


class IssuedToken(Message):
    """40 hex characters (seed 004) and how long they are good for, in seconds."""

    token: str
    expires_in: int


class IssueToken(Command[IssuedToken]):
    """Ask a hub for a terminal's token. Errors carry seed 004's codes: see shared.codes."""

    subject: ClassVar[str] = "cmd.hub.issue_token"

    name: str = Field(max_length=256)
    sn: str = Field(max_length=256)


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


def device_source(device_id: int) -> str:
    """The source id of a terminal's frames."""
    return f"device-{device_id}"
