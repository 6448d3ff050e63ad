"""From sightings to punches: what the ledger does in one transaction.

Events are settled in batches, each step once for all of them: one commit, one write to the disk, a handful of
statements, however many stand in the queue.
"""

import math
from collections.abc import Collection, Sequence

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from registry.rules import Sighting, is_row_id, judge, window
from registry.store.events import answer, enter
from registry.store.people import as_person
from registry.tables import Punch, Student
from shared.bus.topology import LEDGER_CONSUMER
from shared.contracts.attendance import AttendanceRecorded, AttendanceRepeated
from shared.contracts.base import now
from shared.contracts.recognition import Identified

Settled = AttendanceRecorded | AttendanceRepeated | None
"""None: nobody bears the id."""


async def settle(session: AsyncSession, events: Sequence[Identified], debounce_s: float) -> dict[str, Settled]:
    """Make each event a punch, or the repetition of one; the news by event id, without events settled before.

    Inbox rows, punches and the news about them commit together.
    """
    fresh = {event.event_id: event for event in events}
    known = set(await enter(session, LEDGER_CONSUMER, sorted(fresh)))
    for event_id in known | await punched(session, fresh.keys() - known):
        del fresh[event_id]
    students = await _held(session, fresh)
    sightings = [_sighting(event) for event in fresh.values() if event.student_id in students]
    ids, ledger = await _near(session, sightings, debounce_s)
    verdicts = judge(sightings, ledger, debounce_s)
    new = [fresh[event_id] for event_id, punch in verdicts.items() if punch.event_id == event_id]
    ids |= await _record(session, new, students)
    news = {
        event_id: _news(fresh[event_id], students[punch.student_id], punch, ids[punch.event_id])
        for event_id, punch in verdicts.items()
    }
    await answer(session, [(fresh[event_id], said) for event_id, said in news.items()])
    return {event_id: news.get(event_id) for event_id in fresh}


async def punched(session: AsyncSession, event_ids: Collection[str]) -> set[str]:
    """Those that are punches. The inbox forgets; a terminal may tell a punch again after a year."""
    if not event_ids:
        return set()
    return set(await session.scalars(select(Punch.identified_event).where(Punch.identified_event.in_(event_ids))))


def _sighting(event: Identified) -> Sighting:
    return Sighting(event.event_id, event.student_id, _place(event), event.captured_at)


def _place(event: Identified) -> str:
    # What is too long for its column, or for the stream, must not come back for ever as an event that cannot be stored.
    return event.place[:128]


def _source(event: Identified) -> str:
    return event.source[:64]


async def _held(session: AsyncSession, events: dict[str, Identified]) -> dict[int, Student]:
    """The students by id, their rows locked: two sightings of one student are judged one after the other.

    Locked in the order of their ids, so that two replicas do not wait for each other.
    """
    wanted = {event.student_id for event in events.values() if is_row_id(event.student_id)}
    held = select(Student).where(Student.id.in_(wanted)).order_by(Student.id).with_for_update()
    return {student.id: student for student in await session.scalars(held)} if wanted else {}


async def _near(
    session: AsyncSession, sightings: list[Sighting], debounce_s: float
) -> tuple[dict[str, int], list[Sighting]]:
    """Punch ids by event, and the punches that any of the sightings could repeat."""
    if not sightings:
        return {}, []
    times = [sighting.captured_at for sighting in sightings]
    since, until = window(min(times), max(times), debounce_s)
    near = select(Punch).where(
        Punch.student_id.in_({s.student_id for s in sightings}),
        Punch.place.in_({s.place for s in sightings}),
        Punch.captured_at > since,
        Punch.captured_at < until,
    )
    found = (await session.scalars(near)).all()
    ledger = [Sighting(p.identified_event, p.student_id or 0, p.place, p.captured_at) for p in found]
    return {p.identified_event: p.id for p in found}, ledger


async def _record(session: AsyncSession, new: list[Identified], students: dict[int, Student]) -> dict[str, int]:
    """Insert the punches; their ids by event."""
    if not new:
        return {}
    await session.execute(insert(Punch), [_row(event, students[event.student_id]) for event in new])
    made = select(Punch.identified_event, Punch.id).where(Punch.identified_event.in_([e.event_id for e in new]))
    return {row.identified_event: row.id for row in await session.execute(made)}


def _row(event: Identified, student: Student) -> dict[str, object]:
    return {
        "student_id": student.id,
        "st_name": student.st_name,
        "st_class": student.st_class,
        "st_num": student.st_num,
        "place": _place(event),
        "source": _source(event),
        "kind": event.kind.value,
        "captured_at": event.captured_at,
        "recorded_at": now(),
        "score": event.score if math.isfinite(event.score) else 0.0,
        "identified_event": event.event_id,
    }


def _news(
    event: Identified, student: Student, punch: Sighting, punch_id: int
) -> AttendanceRecorded | AttendanceRepeated:
    common = {
        "identified_event": event.event_id,
        "punch_id": punch_id,
        "person": as_person(student),
        "place": _place(event),
        "source": _source(event),
        "captured_at": event.captured_at,
    }
    if punch.event_id == event.event_id:
        return AttendanceRecorded.model_validate(common)
    return AttendanceRepeated.model_validate(common | {"first_at": punch.captured_at})
