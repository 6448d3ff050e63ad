"""What a terminal learns, as values: its channels come and go, faces are answered, punches are recorded, the office
orders and wishes, somebody stands before the camera, a card is read. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final


class Channel(StrEnum):
    """The two connections of a terminal."""

    HUB = "hub"
    """to the device-hub: presence, pushes"""
    STREAM = "stream"
    """to the gateway: frames, and the answers to them"""
    HERE = "here"
    """none: this terminal recognises by itself"""


class Rubbish(ValueError):
    """A frame from the server that is not a JSON object with a `type`."""


REPLACED: Final = "replaced"


class Ended(Exception):
    """The server ended the conversation, or refused it. `by_person`: trying again soon changes nothing."""

    def __init__(self, reason: str, *, by_person: bool = False) -> None:
        super().__init__(reason)
        self.by_person = by_person

    @property
    def is_refusal(self) -> bool:
        """Whether the office does not let this terminal in; one that was replaced is let in still, elsewhere."""
        return self.by_person and str(self) != REPLACED


@dataclass(frozen=True, slots=True)
class Online:
    """A channel stands."""

    channel: Channel


@dataclass(frozen=True, slots=True)
class Offline:
    """A channel is down; it is tried again in `retry_in` seconds."""

    channel: Channel
    reason: str
    retry_in: float


@dataclass(frozen=True, slots=True)
class Face:
    """What the server says of one face."""

    verdict: str
    name: str = ""
    num: str = ""
    score: float = 0.0
    problem: str = ""
    problem_en: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to one frame of this terminal. The stream and the hub both bring it."""

    channel: Channel
    faces: tuple[Face, ...]
    problem: str = ""
    age_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Punch:
    """A punch is in the database ("recorded"), is on this terminal's disk and will be sent ("kept"), or was made a
    moment ago ("repeated")."""

    channel: Channel
    state: str
    event: str
    name: str
    num: str
    at: str


@dataclass(frozen=True, slots=True)
class Command:
    """An order to this terminal. `wishes` are the action's own fields; after `deadline` (server's clock) it is void."""

    id: str
    action: str
    wishes: Mapping[str, Any]
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a command; `error` is a word for programs, `detail` for people; `picture` is a JPEG, where one was
    asked for."""

    ok: bool
    error: str = ""
    detail: str = ""
    picture: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Obeyed:
    """A command came, and this was answered."""

    command: Command
    answer: Answer


@dataclass(frozen=True, slots=True)
class Configured:
    """The office wishes this of the terminal; fields that this program does not know among it."""

    revision: int
    config: Mapping[str, Any]


class Presence(StrEnum):
    """Who stands before the camera, as the terminal itself sees it."""

    NOBODY = "nobody"
    FAR = "far"
    """a face that is too small to be recognised"""
    NEAR = "near"
    """a face that is worth a look"""


@dataclass(frozen=True, slots=True)
class Seen:
    """Somebody came, or left."""

    presence: Presence


@dataclass(frozen=True, slots=True)
class Blind:
    """The camera gives no pictures, and why; it is tried again. Empty: it does again."""

    reason: str


@dataclass(frozen=True, slots=True)
class CardRead:
    """A card was held to the reader; what comes of it is told by a CardAnswer."""

    number: str


@dataclass(frozen=True, slots=True)
class CardAnswer:
    """What the server, or this terminal, says of a card: `state` as a Punch has it, empty if it made none; then the
    reasons."""

    number: str
    state: str
    problem: str = ""
    problem_en: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something at the door does not work (a relay, a reader); empty `reason`: it works again."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """The server has `kept` more of this terminal's own punches; `waiting` are still to be sent, and `refused` it does
    not want as they are."""

    kept: int
    waiting: int
    refused: int


@dataclass(frozen=True, slots=True)
class Recognising:
    """From now on this terminal recognises by itself (`here`), or the server does."""

    here: bool


Event = (
    Online
    | Offline
    | Result
    | Punch
    | Obeyed
    | Configured
    | Seen
    | Blind
    | CardRead
    | CardAnswer
    | Trouble
    | Delivered
    | Recognising
)
"""All of it. Whoever recognises (server or terminal) and whatever is fitted to the door tells of it in these words, to
one `hear`."""


_COMMAND_FIELDS = frozenset({"type", "id", "deadline", "action"})


def read_object(text: str | bytes) -> dict[str, Any]:
    """The JSON object in a frame. Raises Rubbish."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise Rubbish("not JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise Rubbish("no object with a type")
    return message


def news(channel: Channel, message: dict[str, Any]) -> Result | Punch | None:
    """The event in a message; None for kinds that this program does not know. Raises Ended on bye and error,
    Rubbish for a result that cannot be read."""
    match message["type"]:
        case "result":
            try:
                return _result(channel, message)
            except (TypeError, ValueError, AttributeError):
                raise Rubbish("a result with wrong fields") from None
        case "punch":
            words = {key: str(message.get(key, "")) for key in ("state", "event", "name", "num", "at")}
            return Punch(channel, **words)
        case "bye":
            reason = str(message.get("reason", ""))
            raise Ended(reason, by_person=reason in ("revoked", REPLACED))
        case "error":
            raise Ended(str(message.get("en", message.get("code", "error"))))
    return None


def command(message: dict[str, Any]) -> Command:
    """The order in a `command` frame. Raises Rubbish."""
    try:
        order_id, action, deadline = message["id"], message["action"], datetime.fromisoformat(message["deadline"])
    except (KeyError, TypeError, ValueError):
        raise Rubbish("a command with wrong fields") from None
    if not (isinstance(order_id, str) and isinstance(action, str) and deadline.tzinfo):
        raise Rubbish("a command with wrong fields")
    wishes = {name: value for name, value in message.items() if name not in _COMMAND_FIELDS}
    return Command(order_id, action, wishes, deadline)


def configured(message: dict[str, Any]) -> Configured | None:
    """The configuration in a `welcome` or `config` frame; None if there is none."""
    revision, config = message.get("revision"), message.get("config")
    if not isinstance(revision, int) or not isinstance(config, dict):
        return None
    return Configured(revision, config)


def _result(channel: Channel, message: dict[str, Any]) -> Result:
    faces = tuple(_face(face) for face in message.get("faces") or ())
    return Result(channel, faces, _words(message.get("problem")), float(message.get("age_ms") or 0))


def _face(face: dict[str, Any]) -> Face:
    problems = face.get("problems") or [None]
    return Face(
        verdict=str(face.get("verdict", "")),
        name=str(face.get("name", "")),
        num=str(face.get("num", "")),
        score=float(face.get("score") or 0),
        problem=_words(problems[0]),
        problem_en=_words(problems[0], "en"),
    )


def _words(problem: dict[str, Any] | None, language: str = "zh") -> str:
    return str(problem.get(language, "")) if problem else ""
