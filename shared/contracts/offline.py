"""Punches that terminals made without a server: told later, by number, so that one that is missing is seen."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, AwareDatetime, Field

from shared.contracts.base import Command, Message

LAST_NUMBER: Final = 2**53 - 1
"""what a program in any language can count to"""
AHEAD: Final = timedelta(minutes=5)
"""a terminal's clock may be ahead of ours by so much; such a punch counts as now"""
BEHIND: Final = timedelta(days=366)
MAX_PUNCHES: Final = 100
"""in one batch: 60 KB as JSON at the very most, within a frame of the terminal channel"""
MAX_RANGES: Final = 64
"""ranges of numbers in one message"""

Number = Annotated[int, Field(ge=1, le=LAST_NUMBER)]


def _in_order(given: tuple[int, int]) -> tuple[int, int]:
    if given[0] > given[1]:
        raise ValueError("a range ends before it begins")
    return given


Range = Annotated[tuple[Number, Number], AfterValidator(_in_order)]
"""Numbers from the first up to and with the last."""
Ranges = tuple[tuple[int, int], ...]
Epoch = Annotated[str, Field(pattern=r"^[0-9a-z]{1,32}$")]
"""Drawn at random when a terminal's store is made: after a reset its numbers begin at 1 again under another one."""


class OfflinePunch(Message):
    """A terminal recognised somebody by itself. `who` is a student number, or a name that only one student bears."""

    seq: Number
    at: AwareDatetime
    """by the terminal's clock; whole milliseconds count"""
    who: str = Field(min_length=1, max_length=128)
    score: float = Field(default=0.0, ge=0, le=100)


class Refusal(StrEnum):
    """Why a punch is not in the database. It may be sent again."""

    UNKNOWN = "unknown"
    """nobody of the terminal's classes is called so"""
    AMBIGUOUS = "ambiguous"
    """several are"""
    BAD_TIME = "bad_time"
    """more than AHEAD of or BEHIND the server's clock"""


class RefusedPunch(Message):
    """A punch that was not taken, and why."""

    seq: int
    error: Refusal


class PunchesKept(Message):
    """What became of a batch. `kept`: of its numbers, those whose punches are in the database now. `missing`: numbers
    up to the last one that were never heard of, the lowest MAX_RANGES ranges of them."""

    kept: Ranges = ()
    refused: tuple[RefusedPunch, ...] = ()
    missing: Ranges = ()


class KeepPunches(Command[PunchesKept]):
    """Make these punches, each exactly once, at the terminal's place, of its classes' students; remember which numbers
    were heard of. Only a hub may ask. Errors: NotFound (no such terminal)."""

    subject: ClassVar[str] = "cmd.registry-hub.keep_punches"
    timeout: ClassVar[float] = 8.0

    device_id: int
    epoch: Epoch
    last: int = Field(default=0, ge=0, le=LAST_NUMBER)
    """the highest number that the terminal has given"""
    punches: tuple[OfflinePunch, ...] = Field(default=(), max_length=MAX_PUNCHES)
    gone: tuple[Range, ...] = Field(default=(), max_length=MAX_RANGES)
    """numbers that it cannot send any more: its memory was damaged"""


def report_id(device_id: int, part: str, at: datetime) -> str:
    """The sighting's id, the same whichever way it is told. `part`: the terminal's own number, or what stands for
    it."""
    return f"report-{device_id}-{part}-{round(at.timestamp() * 1000)}"


def credible(at: datetime, now: datetime) -> bool:
    """Whether a terminal's time may be true."""
    return now - BEHIND <= at <= now + AHEAD
