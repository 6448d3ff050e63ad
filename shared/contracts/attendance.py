"""Punches: the facts the registry publishes and what the office asks."""

from datetime import date
from enum import StrEnum
from typing import ClassVar

from pydantic import AwareDatetime, Field

from shared.contracts.base import MAX_TOKEN, Command, Event, Message
from shared.contracts.people import Person


class AttendanceRecorded(Event):
    """A punch is in the database. Screens say "recorded" only from this."""

    subject: ClassVar[str] = "evt.attendance.recorded"

    identified_event: str
    """the `Identified` event that made it"""
    punch_id: int
    person: Person
    place: str
    source: str
    captured_at: AwareDatetime


class AttendanceRepeated(Event):
    """The student had already clocked in at this place a moment ago: no second punch was made."""

    subject: ClassVar[str] = "evt.attendance.repeated"

    identified_event: str
    punch_id: int
    """the punch that stands"""
    person: Person
    place: str
    source: str
    first_at: AwareDatetime
    captured_at: AwareDatetime


ATTENDANCE_EVENTS = "evt.attendance.*"
"""Both of the above, for those who show results."""


class PunchRow(Message):
    """One punch; name, class and number as they were when it was made."""

    punch_id: int
    student_id: int | None
    num: str
    name: str
    class_name: str
    place: str
    captured_at: AwareDatetime
    recorded_at: AwareDatetime
    score: float


class PunchPage(Message):
    """`total` counts all that match; `classes` and `places` are those of the day, to filter by."""

    rows: tuple[PunchRow, ...]
    total: int
    classes: tuple[str, ...]
    places: tuple[str, ...]


class PunchesOfDay(Command[PunchPage]):
    """Punches whose capture time falls on `day` in the school's time zone, newest first."""

    subject: ClassVar[str] = "cmd.registry.punches_of_day"

    day: date
    text: str = Field(default="", max_length=128)
    class_name: str = Field(default="", max_length=128)
    place: str = Field(default="", max_length=128)
    offset: int = Field(default=0, ge=0)
    limit: int = Field(default=100, ge=1, le=2_000)


class PunchOutcome(Message):
    """What became of an `Identified` event; `settled` is False while it still waits."""

    settled: bool
    recorded: AttendanceRecorded | None = None
    repeated: AttendanceRepeated | None = None


class GetPunchOutcome(Command[PunchOutcome]):
    """For a screen that missed the news."""

    subject: ClassVar[str] = "cmd.registry.punch_outcome"

    identified_event: str = Field(max_length=64)


class LastPunch(Message):
    """None: there is none yet."""

    punch: PunchRow | None = None


class GetLastPunch(Command[LastPunch]):
    """The newest punch of one source, by capture time."""

    subject: ClassVar[str] = "cmd.registry.last_punch"

    source: str = Field(max_length=MAX_TOKEN)


class PunchReport(Message):
    """A terminal recognised somebody by itself. `who` is a student number, or a name that only one student bears."""

    report_id: str = Field(min_length=1, max_length=MAX_TOKEN)
    """the same again is the same sighting: it makes no second punch"""
    who: str = Field(min_length=1, max_length=128)
    captured_at: AwareDatetime
    score: float = Field(default=0.0, ge=0, le=100)
    """0: it was not told"""


class ReportState(StrEnum):
    """What became of a report."""

    RECORDED = "recorded"
    REPEATED = "repeated"
    """the student had already clocked in at this place a moment ago: that punch stands"""
    UNKNOWN = "unknown"
    """nobody is called so; nothing was written, and the report may come again"""
    AMBIGUOUS = "ambiguous"
    """several are called so; nothing was written"""


class ReportOutcome(Message):
    """`person` is who was meant."""

    report_id: str
    state: ReportState
    person: Person | None = None


class ReportOutcomes(Message):
    """One for each report, in their order."""

    outcomes: tuple[ReportOutcome, ...]


class ReportPunches(Command[ReportOutcomes]):
    """Make these punches, each exactly once per `report_id`; all or, with an error, none. `classes` are those whose
    students the source may name; none: all."""

    subject: ClassVar[str] = "cmd.registry.report_punches"
    timeout: ClassVar[float] = 8.0

    place: str = Field(min_length=1, max_length=128)
    source: str = Field(max_length=MAX_TOKEN)
    classes: tuple[str, ...] = Field(default=(), max_length=500)
    reports: tuple[PunchReport, ...] = Field(min_length=1, max_length=500)
