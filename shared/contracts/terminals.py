"""Connected terminals: their tokens, what is pushed to them and what they are told to do."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from shared.contracts.base import Command, Message, Signal, new_id, token
from shared.contracts.devices import Device

MAX_SNAPSHOT = 45_000
"""bytes of a picture that a terminal sends to the office: as base64 it fits into a frame of 64 KiB"""


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
    announce: bool = True
    """whether the office is told of a terminal that nobody knows"""


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


class TakeSnapshot(Message):
    """Answer with what the camera sees now. The picture is handed on to whoever asked, and kept nowhere."""

    action: Literal["take_snapshot"] = "take_snapshot"


Order = Annotated[
    OpenDoor | ShowMessage | Restart | ReloadConfig | UpdateFaces | TakeSnapshot, Field(discriminator="action")
]
"""What a terminal can be told to do."""


class OrderOutcome(Message):
    """The terminal's own answer. `error` is a word for programs, such as `unsupported`, `late`, `failed`."""

    ok: bool
    error: str = Field(default="", max_length=64)
    detail: str = Field(default="", max_length=256)
    picture: bytes = Field(default=b"", max_length=MAX_SNAPSHOT, repr=False)
    """JPEG, for TakeSnapshot"""


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
