"""What goes over MQTT: JSON objects in UTF-8. A reader ignores what it does not know."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mqtt_bridge import topics
from shared.contracts.attendance import AttendanceRecorded
from shared.contracts.base import new_id
from shared.contracts.devices import Device
from shared.contracts.hubs import Presence
from shared.contracts.terminals import OpenDoor, Order, OrderOutcome, ShowMessage, TerminalOrder

MAX_COMMAND = 1_024
"""bytes of a command"""


class Wrong(Exception):
    """A command that cannot be read; the words are for whoever wrote it."""


def dumped(fields: dict[str, Any]) -> bytes:
    """A JSON object."""
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


# ---- out


def status(*, online: bool) -> bytes:
    """Whether the bridge is there."""
    return dumped({"status": "online" if online else "offline"})


def device_of(source: str) -> int | None:
    """The terminal that a source of frames is; None: a browser."""
    kind, _, number = source.partition("-")
    return int(number) if kind == "device" and number.isascii() and number.isdigit() else None


def punch(event: AttendanceRecorded, *, names: bool) -> bytes:
    """A punch that is in the database. `event` is the same each time it comes, so a reader drops a repetition."""
    person = event.person
    name = {"name": person.name} if names else {}
    return dumped(
        {
            "event": event.event_id,
            "punch": event.punch_id,
            "num": person.num,
            **name,
            "class": person.class_name,
            "place": event.place,
            "device": device_of(event.source),
            "time": event.captured_at.isoformat(),
        }
    )


def state(device: Device, presence: Presence | None) -> bytes:
    """A terminal; `presence` is None while it is not connected."""
    there: dict[str, Any] = {"state": "offline"}
    if presence is not None:
        there = {"state": "online", "since": presence.since.isoformat()}
    return dumped({**there, "device": device.device_id, "name": device.name, "place": device.punches_at})


def result(asked_id: str, outcome: OrderOutcome) -> bytes:
    """What became of a command."""
    return dumped({"id": asked_id, **outcome.model_dump(include={"ok", "error", "detail"})})


# ---- in


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,24}$")


class _Door(_Asked):
    seconds: float | None = Field(default=None, ge=0.1, le=60)
    reason: str = Field(default="", max_length=128)


class _Words(_Asked):
    zh: str = Field(default="", max_length=128)
    en: str = Field(default="", max_length=128)
    seconds: float = Field(default=10.0, ge=1, le=3_600)


def order(asked: topics.Asked, payload: bytes) -> tuple[str, TerminalOrder]:
    """(the client's own id, the order). The same id from the same client is the same order. Raises Wrong."""
    if len(payload) > MAX_COMMAND:
        raise Wrong(f"a command has at most {MAX_COMMAND} bytes")
    try:
        said, wish = _read_door(payload) if asked.what == "door" else _read_words(payload)
    except ValidationError as error:
        where = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'JSON'}: {e['msg']}" for e in error.errors()[:3])
        raise Wrong(where[:256]) from None
    order_id = f"mqtt-{asked.client}-{said.id}" if said.id else new_id()
    return said.id, TerminalOrder(order_id=order_id, device_id=asked.device_id, order=wish, by=f"mqtt {asked.client}")


def _read_door(payload: bytes) -> tuple[_Asked, Order]:
    door = _Door.model_validate_json(payload)
    return door, OpenDoor(seconds=door.seconds, reason=door.reason)


def _read_words(payload: bytes) -> tuple[_Asked, Order]:
    words = _Words.model_validate_json(payload)
    return words, ShowMessage(zh=words.zh, en=words.en, seconds=words.seconds)
