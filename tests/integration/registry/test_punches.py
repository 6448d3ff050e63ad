"""The ledger: one punch per event, debounce in both directions, the day of the school."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select

from registry.handlers import Attendance, Students
from registry.store import settle as settling
from registry.store.database import Database
from registry.store.settle import Settled
from registry.tables import Outbox
from shared.contracts.attendance import AttendanceRecorded, AttendanceRepeated, GetPunchOutcome, PunchesOfDay
from shared.contracts.people import DeleteStudent, Person
from shared.contracts.recognition import Identified
from tests.integration.registry.samples import EIGHT, registration, sighting

DAY = date(2026, 3, 2)


@pytest.fixture
async def student(students: Students) -> Person:
    return (await students.register(registration(1))).person


async def settle(database: Database, event: Identified) -> tuple[bool, Settled]:
    """Whether the event was new, and what came of it."""
    settled = await database.write(lambda session: settling.settle(session, [event], 60.0))
    return event.event_id in settled, settled.get(event.event_id)


async def rows(attendance: Attendance, day: date = DAY) -> int:
    return (await attendance.of_day(PunchesOfDay(day=day))).total


async def test_a_sighting_becomes_a_punch(database: Database, attendance: Attendance, student: Person) -> None:
    event = sighting(student.student_id, 0.123456)
    fresh, news = await settle(database, event)
    assert fresh and isinstance(news, AttendanceRecorded)
    assert (news.person, news.identified_event, news.captured_at) == (student, event.event_id, event.captured_at)
    [row] = (await attendance.of_day(PunchesOfDay(day=DAY))).rows
    assert (row.punch_id, row.captured_at, row.score) == (news.punch_id, event.captured_at, 93.25)
    assert (row.num, row.name, row.class_name, row.place) == (student.num, student.name, student.class_name, "正门")


async def test_one_event_is_one_punch_however_often_it_comes(
    database: Database, attendance: Attendance, student: Person
) -> None:
    event = sighting(student.student_id)
    results = await asyncio.gather(*(settle(database, event) for _ in range(10)))
    assert [fresh for fresh, _ in results].count(True) == 1
    assert await rows(attendance) == 1
    sent = await database.read(lambda session: session.scalars(select(Outbox.cause).where(Outbox.cause.is_not(None))))
    assert list(sent) == [event.event_id]


async def test_a_crowd_of_sightings_of_one_student_is_one_punch(
    database: Database, attendance: Attendance, student: Person
) -> None:
    events = [sighting(student.student_id, n * 1.5) for n in range(20)]
    results = await asyncio.gather(*(settle(database, event) for event in events))
    news = [n for _, n in results]
    assert [type(n) for n in news].count(AttendanceRecorded) == 1
    assert len({n.punch_id for n in news if n}) == 1
    assert await rows(attendance) == 1


async def test_many_students_at_once(database: Database, attendance: Attendance, students: Students) -> None:
    people = [(await students.register(registration(n))).person for n in range(10)]
    events = [sighting(p.student_id, n) for p in people for n in range(4)]
    await asyncio.gather(*(settle(database, event) for event in events))
    assert await rows(attendance) == 10


async def test_the_second_sighting_says_when_the_first_was(database: Database, student: Person) -> None:
    _, first = await settle(database, sighting(student.student_id))
    _, second = await settle(database, sighting(student.student_id, 59.999))
    assert first and isinstance(second, AttendanceRepeated)
    assert (second.punch_id, second.first_at, second.person) == (first.punch_id, EIGHT, student)


@pytest.mark.parametrize(("after_s", "repeats"), [(-61, False), (-60, False), (-59, True), (59, True), (60, False)])
async def test_debounce_looks_at_the_time_of_capture_in_both_directions(
    database: Database, student: Person, after_s: float, repeats: bool
) -> None:
    await settle(database, sighting(student.student_id))
    _, news = await settle(database, sighting(student.student_id, after_s))
    assert isinstance(news, AttendanceRepeated if repeats else AttendanceRecorded)


async def test_a_batch_is_judged_in_the_order_of_capture(
    database: Database, attendance: Attendance, students: Students, student: Person
) -> None:
    other = (await students.register(registration(2))).person
    await settle(database, sighting(student.student_id, -50))
    mine = [sighting(student.student_id, s) for s in (130, 65, 0, 71)]
    hers = [sighting(other.student_id, s) for s in (30, 0)]
    batch = [*mine, *hers, mine[0], sighting(99), sighting(other.student_id, 30, place="后门")]
    settled = await database.write(lambda session: settling.settle(session, batch, 60.0))
    assert len(settled) == 8
    kinds = [type(settled[e.event_id]) for e in batch]
    new, old = AttendanceRecorded, AttendanceRepeated
    assert kinds == [new, new, old, old, old, new, new, type(None), new]
    assert [settled[e.event_id].punch_id for e in mine[2:]] != [settled[mine[1].event_id].punch_id] * 2
    assert settled[hers[0].event_id].punch_id == settled[hers[1].event_id].punch_id
    assert await rows(attendance) == 5


async def test_another_place_is_another_punch(database: Database, attendance: Attendance, student: Person) -> None:
    for place in ("正门", "后门"):
        await settle(database, sighting(student.student_id, place=place))
    page = await attendance.of_day(PunchesOfDay(day=DAY))
    assert (page.total, page.places) == (2, ("后门", "正门"))


async def test_an_event_that_comes_hours_late_keeps_its_time(
    database: Database, attendance: Attendance, student: Person
) -> None:
    await settle(database, sighting(student.student_id, 3 * 3_600))
    await settle(database, sighting(student.student_id))
    page = await attendance.of_day(PunchesOfDay(day=DAY))
    assert [r.captured_at for r in page.rows] == [EIGHT + timedelta(hours=3), EIGHT]


@pytest.mark.parametrize("student_id", [99, 0, -1, 2**31, 2**63])
async def test_nobody_with_this_id(database: Database, attendance: Attendance, student_id: int) -> None:
    event = sighting(student_id)
    assert await settle(database, event) == (True, None)
    assert await settle(database, event) == (False, None)
    outcome = await attendance.outcome(GetPunchOutcome(identified_event=event.event_id))
    assert (outcome.settled, outcome.recorded, outcome.repeated) == (True, None, None)


async def test_what_no_column_can_hold_is_cut_not_retried_for_ever(
    database: Database, attendance: Attendance, student: Person
) -> None:
    endless = sighting(student.student_id, place="门" * 500, source="s" * 90_000, score=float("nan"))
    _, news = await settle(database, endless)
    assert news and len(news.encode()) < 1_000
    [row] = (await attendance.of_day(PunchesOfDay(day=DAY))).rows
    assert (row.place, row.score) == ("门" * 128, 0.0)


@pytest.mark.parametrize("moment", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)])
async def test_a_clock_that_went_mad_is_no_reason_to_stop(
    database: Database, student: Person, moment: datetime
) -> None:
    _, news = await settle(database, sighting(student.student_id, captured_at=moment))
    assert news and news.captured_at == moment


async def test_the_outcome_of_an_event(database: Database, attendance: Attendance, student: Person) -> None:
    first, second = sighting(student.student_id), sighting(student.student_id, 5)
    assert not (await attendance.outcome(GetPunchOutcome(identified_event=first.event_id))).settled
    recorded = [(await settle(database, event))[1] for event in (first, second)]
    outcomes = [await attendance.outcome(GetPunchOutcome(identified_event=e.event_id)) for e in (first, second)]
    assert [outcomes[0].recorded, outcomes[1].repeated] == recorded


async def test_punches_outlive_the_student(
    database: Database, attendance: Attendance, students: Students, student: Person
) -> None:
    await settle(database, sighting(student.student_id))
    await students.delete(DeleteStudent(student_id=student.student_id, by="office"))
    [row] = (await attendance.of_day(PunchesOfDay(day=DAY))).rows
    assert (row.student_id, row.name, row.num) == (None, student.name, student.num)


async def test_the_day_begins_at_midnight_of_the_school(
    database: Database, attendance: Attendance, student: Person
) -> None:
    midnight = datetime(2026, 3, 1, 16, 0, tzinfo=UTC)
    for moment in (
        midnight - timedelta(microseconds=1),
        midnight,
        midnight + timedelta(days=1, microseconds=-1),
        midnight + timedelta(days=1),
    ):
        await settle(database, sighting(student.student_id, captured_at=moment, place=moment.isoformat()))
    assert [await rows(attendance, DAY + timedelta(days=n)) for n in (-1, 0, 1)] == [1, 2, 1]


async def test_punches_are_found_by_text_class_and_place(
    database: Database, attendance: Attendance, students: Students
) -> None:
    for n, name in enumerate(["100%", "1000", "O'Neil"]):
        person = (await students.register(registration(n, name=name, class_name=f"{n % 2} 班"))).person
        await settle(database, sighting(person.student_id, n, place="东" if n else "西"))

    async def names(**filters: object) -> list[str]:
        asked = PunchesOfDay.model_validate({"day": DAY, **filters})
        return [row.name for row in (await attendance.of_day(asked)).rows]

    assert await names() == ["O'Neil", "1000", "100%"]
    assert await names(text="0%") == ["100%"]
    assert await names(text="o'n") == ["O'Neil"]
    assert await names(text="20260001") == ["1000"]
    assert await names(class_name="0 班", place="东") == ["O'Neil"]
    assert await names(offset=1, limit=1) == ["1000"]
    page = await attendance.of_day(PunchesOfDay(day=DAY, text="nobody"))
    assert (page.total, page.classes, page.places) == (0, ("0 班", "1 班"), ("东", "西"))
