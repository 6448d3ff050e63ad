"""What every message has in common: frozen, versioned, msgpack on the wire, its subject on the class."""

from datetime import UTC, date, datetime
from typing import Any, ClassVar, Generic, Self, TypeVar
from uuid import uuid4

import msgpack
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

MAX_TOKEN = 64
"""Longest identifier that may stand as one token of a subject, in characters."""


class ContractError(ValueError):
    """Bytes from the bus that are not the message they should be."""


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A fresh identifier: 32 hex characters, usable as a subject token and as a message id."""
    return uuid4().hex


def token(text: str) -> str:
    """Return `text` if it can stand as one token of a subject; raise ContractError if not."""
    if not text or len(text) > MAX_TOKEN or not all(c.isascii() and (c.isalnum() or c in "-_") for c in text):
        raise ContractError(f"not a subject token: {text[:80]!r}")
    return text


class Message(BaseModel):
    """A frozen record. Readers ignore fields they do not know; a new field needs a default;
    any other change raises `version`."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    version: ClassVar[int] = 1

    def encode(self) -> bytes:
        """msgpack map of the fields plus `v`, the version; bytes stay bytes, times are msgpack timestamps, days ISO."""
        fields = {"v": self.version, **self.model_dump()}
        packed: bytes = msgpack.packb(fields, datetime=True, default=date.isoformat)
        return packed

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The message in `data`; ContractError says what is wrong, without quoting the content."""
        try:
            fields: dict[str, Any] = msgpack.unpackb(data, timestamp=3)
            wire_version = fields.pop("v")
        except Exception as error:
            raise ContractError(f"{cls.__name__}: not a msgpack map with a version") from error
        if wire_version != cls.version:
            raise ContractError(f"{cls.__name__}: version {wire_version!r}, this program reads {cls.version}")
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            where = ", ".join(".".join(map(str, e["loc"])) + ": " + e["type"] for e in error.errors()[:5])
            raise ContractError(f"{cls.__name__}: {where}") from None


class Signal(Message):
    """Live news on core NATS: whoever listens hears it, nobody is told twice, nothing is kept."""

    subject: ClassVar[str]


class Event(Message):
    """A fact, kept in the EVT stream. Delivered at least once; every reader is idempotent by `event_id`."""

    subject: ClassVar[str]

    event_id: str = Field(default_factory=new_id, max_length=MAX_TOKEN)
    occurred_at: AwareDatetime = Field(default_factory=now)


R = TypeVar("R", bound=Message)


class Command(Message, Generic[R]):
    """A request to one service, answered with an `R` or with an error of `shared.errors`.

    The caller learns of a missing service at once and of a silent one after `timeout` seconds. A time-out
    does not say that nothing was done, so commands that change anything carry their own idempotency key.
    """

    subject: ClassVar[str]
    timeout: ClassVar[float] = 3.0

    @classmethod
    def reply_type(cls) -> type[R]:
        """The class R of the answer."""
        for base in cls.__mro__:
            arguments = getattr(base, "__pydantic_generic_metadata__", {}).get("args", ())
            if arguments:
                reply: type[R] = arguments[0]
                return reply
        raise TypeError(f"{cls.__name__} does not name its reply: class X(Command[Reply])")


class Done(Message):
    """An answer that says only that it was done."""
