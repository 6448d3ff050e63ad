"""The terminal channel, version 1: text frames ↔ typed messages, and what may follow what. No sockets, no clock.

    terminal                                   hub
    GET /terminal, token          ──►
    hello {versions, time}        ──►
                                  ◄──          welcome {version, device, name, session, heartbeat_s, time,
                                                 revision, config}
    config_taken {revision}       ──►
    ping {id, time}               ──►
                                  ◄──          pong {id, time}
                                  ◄──          command {id, deadline, action, …}
    ack {id, ok, error, detail,
         picture}                 ──►
                                  ◄──          config {revision, config}
                                  ◄──          result, punch, … as the gateway wrote them
    bye                           ◄─►          bye {reason}, then the WebSocket closes

The sign of life is below these frames: the hub sends WebSocket pings, which every library answers by itself.

Fields and types that a reader does not know are ignored. A frame that cannot be understood is answered with `error`,
and the connection is closed: see `Close`. The catalogue of frames is in docs/terminals.md, golden ones in the tests.
"""

import base64
import json
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum, auto
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, to_json

from shared.contracts.base import MAX_TOKEN
from shared.contracts.devices import DeviceConfig
from shared.contracts.terminals import MAX_SNAPSHOT, Order, OrderOutcome

VERSION = 1
MAX_FRAME = 65_536
"""bytes of one frame; longer ones are closed with 1009 before they are read"""
FRAMES_PER_S = 20
"""a terminal that sends more than this in a second is broken or hostile"""


JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_BAD_PICTURE = OrderOutcome(
    ok=False, error="bad_picture", detail=f"what it sent is no JPEG of {MAX_SNAPSHOT} bytes at most"
)


class Close(IntEnum):
    """WebSocket close codes."""

    BYE = 1000
    GOING_AWAY = 1001
    DEAD = 1011
    """a WebSocket ping was not answered; uvicorn's choice"""
    RUBBISH = 4400
    NOT_ALLOWED = 4401
    NO_COMMON_VERSION = 4406
    SILENT = 4408
    REPLACED = 4409
    FLOOD = 4429


class Reason(StrEnum):
    """Why a hub says bye."""

    REPLACED = "replaced"
    REVOKED = "revoked"
    SILENT = "silent"
    STOPPING = "stopping"

    @property
    def close(self) -> Close:
        return _CLOSES[self]


_CLOSES = {
    Reason.REPLACED: Close.REPLACED,
    Reason.REVOKED: Close.NOT_ALLOWED,
    Reason.SILENT: Close.SILENT,
    Reason.STOPPING: Close.GOING_AWAY,
}


class _Frame(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Hello(_Frame):
    """The terminal's first frame: the versions that it speaks, what it is, for the log, and what its clock says."""

    type: Literal["hello"] = "hello"
    versions: Annotated[tuple[int, ...], Field(min_length=1, max_length=16)]
    agent: Annotated[str, Field(max_length=128)] = ""
    time: AwareDatetime | None = None


class Ping(_Frame):
    """The terminal asks for the time, and may tell its own; `id` comes back in the pong."""

    type: Literal["ping"] = "ping"
    id: Annotated[int, Field(ge=0, lt=2**53)] = 0
    time: AwareDatetime | None = None


class ConfigTaken(_Frame):
    """The terminal works by this revision of its configuration now."""

    type: Literal["config_taken"] = "config_taken"
    revision: Annotated[int, Field(ge=0, lt=2**31)]


class Ack(_Frame):
    """The terminal did what the command `id` says, or says why not."""

    type: Literal["ack"] = "ack"
    id: Annotated[str, Field(max_length=MAX_TOKEN)]
    ok: bool
    error: Annotated[str, Field(max_length=64)] = ""
    detail: Annotated[str, Field(max_length=256)] = ""
    picture: Annotated[str, Field(repr=False)] = ""
    """base64 of a JPEG, for take_snapshot"""

    def outcome(self) -> OrderOutcome:
        """For whoever gave the order; a picture that is no JPEG of MAX_SNAPSHOT bytes at most is not handed on."""
        try:
            picture = base64.b64decode(self.picture, validate=True)
        except ValueError:
            return _BAD_PICTURE
        if picture and not (picture[:3] == JPEG_START and picture[-2:] == JPEG_END and len(picture) <= MAX_SNAPSHOT):
            return _BAD_PICTURE
        return OrderOutcome(ok=self.ok, error=self.error, detail=self.detail, picture=picture)


class Farewell(_Frame):
    """`bye`, from the terminal: it leaves on purpose."""

    type: Literal["bye"] = "bye"
    reason: Annotated[str, Field(max_length=64)] = ""


class Unknown(_Frame):
    """A frame of a type that this hub does not know: a newer terminal's."""


_Known = Hello | Ping | ConfigTaken | Ack | Farewell
_KNOWN: TypeAdapter[_Known] = TypeAdapter(Annotated[_Known, Field(discriminator="type")])
Incoming = _Known | Unknown


class _Outgoing(_Frame):
    def text(self) -> str:
        """The frame as it goes over the wire."""
        return self.model_dump_json()


class Welcome(_Outgoing):
    """The answer to hello. From here on, pushes come, and WebSocket pings every `heartbeat_s` seconds."""

    type: Literal["welcome"] = "welcome"
    version: int = VERSION
    device: int
    name: str
    session: str
    heartbeat_s: float
    time: AwareDatetime
    revision: int
    config: DeviceConfig


class Config(_Outgoing):
    """The office changed what it wishes of the terminal; answered with config_taken."""

    type: Literal["config"] = "config"
    revision: int
    config: DeviceConfig


def command_text(order_id: str, deadline: AwareDatetime, order: Order) -> str:
    """The frame `command`: the order's own fields beside these. After `deadline`, by the hub's clock, it is void."""
    frame = {"type": "command", "id": order_id, "deadline": deadline, **order.model_dump()}
    return to_json(frame).decode()


class Pong(_Outgoing):
    """The answer to ping, with the hub's clock."""

    type: Literal["pong"] = "pong"
    id: int
    time: AwareDatetime


class Bye(_Outgoing):
    """The hub's last frame."""

    type: Literal["bye"] = "bye"
    reason: Reason


class ErrorFrame(_Outgoing):
    """The hub's last frame when the terminal broke the rules; the sentences are for its maker."""

    type: Literal["error"] = "error"
    code: str
    zh: str
    en: str


class Violation(Exception):
    """The terminal broke the protocol: the error frame to send and the code to close with."""

    def __init__(self, close: Close, code: str, zh: str, en: str) -> None:
        super().__init__(en)
        self.close = close
        self.frame = ErrorFrame(code=code, zh=zh, en=en)


def parse(text: str | None) -> Incoming:
    """The message in one frame (None: the frame was binary). Raises Violation."""
    if text is None:
        raise Violation(Close.RUBBISH, "binary", "只接受文本帧", "text frames only: pictures go to the gateway")
    try:
        return _KNOWN.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        if first["type"] == "union_tag_invalid" and isinstance(_tag(text), str):
            return Unknown()
        raise _violation(first) from None


def _tag(text: str) -> object:
    return json.loads(text)["type"]


def _violation(first: ErrorDetails) -> Violation:
    match first["type"]:
        case "json_invalid":
            return Violation(Close.RUBBISH, "not_json", "不是 JSON", "not JSON")
        case "dict_type" | "model_attributes_type" | "union_tag_not_found" | "union_tag_invalid":
            return Violation(
                Close.RUBBISH, "no_type", "应为带 type（文本）的对象", 'a frame is an object with a "type", a text'
            )
    where = ".".join(map(str, first["loc"]))
    return Violation(Close.RUBBISH, "bad_field", f"字段有误: {where}", f"bad field {where}: {first['msg']}")


class State(Enum):
    """Where a conversation stands."""

    GREETING = auto()
    OPEN = auto()
    OVER = auto()


@dataclass(slots=True)
class Conversation:
    """The hub's side of one terminal's channel: checks the order and the rate of what comes in."""

    state: State = State.GREETING
    _second: int = 0
    _frames: int = 0

    def receive(self, text: str | None, now: float) -> Incoming:
        """The message, and the step it makes; `now` is any clock in seconds. Raises Violation, which ends it."""
        try:
            self.count(now)
            message = parse(text)
            self._step(message)
        except Violation:
            self.state = State.OVER
            raise
        return message

    def count(self, now: float) -> None:
        """One more frame of any kind. Raises Violation when there are too many."""
        if int(now) != self._second:
            self._second, self._frames = int(now), 0
        self._frames += 1
        if self._frames > FRAMES_PER_S:
            raise Violation(Close.FLOOD, "flood", "发送过快", f"more than {FRAMES_PER_S} frames in a second")

    def _step(self, message: Incoming) -> None:
        match message, self.state:
            case Hello(versions=versions), State.GREETING:
                _need_common_version(versions)
                self.state = State.OPEN
            case Farewell(), _:
                self.state = State.OVER
            case Hello(), _:
                raise Violation(Close.RUBBISH, "out_of_order", "重复的 hello", "hello came twice")
            case _, State.GREETING:
                raise Violation(Close.RUBBISH, "out_of_order", "第一帧应为 hello", "the first frame must be hello")


def _need_common_version(versions: tuple[int, ...]) -> None:
    if VERSION not in versions:
        raise Violation(Close.NO_COMMON_VERSION, "version", "协议版本不支持", f"this hub speaks version {VERSION}")
