"""Terminals as the office knows them: who may connect, what is wished of them, and what was done."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field, SecretStr, StringConstraints, field_serializer

from shared.contracts.base import Command, Done, Event, Message

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


class ConfigureDevices(Command[Done]):
    """Give terminals by the thousand one configuration; those that are unknown are left out. All hear of it at once,
    by DevicesConfigured."""

    subject: ClassVar[str] = "cmd.registry.configure_devices"
    timeout: ClassVar[float] = 20.0

    ids: tuple[int, ...] = Field(min_length=1, max_length=MAX_BULK)
    config: DeviceConfig
    by: str = Field(max_length=64)


class DevicesConfigured(Event):
    """These terminals have this configuration now, each in the revision beside it. It says everything, so that
    sixty-five thousand terminals are told without a hub reading one of them again."""

    subject: ClassVar[str] = "evt.device.configured"

    ids: tuple[int, ...] = Field(max_length=MAX_BULK)
    revisions: tuple[int, ...] = Field(max_length=MAX_BULK)
    config: DeviceConfig
    by: str


class AuthoriseDevice(Command[IssuedSecret]):
    """Let a pending or suspended terminal in; a pending one gets a secret if it shall prove itself with one.
    Errors: NotFound."""

    subject: ClassVar[str] = "cmd.registry.authorise_device"

    device_id: int
    proof: Proof | None = None
    """None: as before, which for a pending one is SECRET"""
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


class PendingRemoved(Message):
    """How many there were."""

    count: int


class RemovePending(Command[PendingRemoved]):
    """Remove all terminals that wait for the office; those that still ask announce themselves again."""

    subject: ClassVar[str] = "cmd.registry.remove_pending"

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
