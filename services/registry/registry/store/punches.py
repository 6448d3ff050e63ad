"""Questions to the ledger of punches."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from registry.rules import LARGEST_ROW_ID
from registry.tables import Inbox, Outbox, Punch
from shared.bus.topology import LEDGER_CONSUMER
from shared.contracts.attendance import (
    AttendanceRecorded,
    AttendanceRepeated,
    LastPunch,
    PunchesOfDay,
    PunchOutcome,
    PunchPage,
    PunchRow,
)


async def outcome(session: AsyncSession, event_id: str) -> PunchOutcome:
    """What was announced about an event; settled without news if nobody bore its id, or it was long ago."""
    if await session.get(Inbox, (LEDGER_CONSUMER, event_id)) is None:
        return PunchOutcome(settled=False)
    news = select(Outbox.subject, Outbox.body).where(Outbox.cause == event_id)
    found = (await session.execute(news)).first()
    if found is None:
        return PunchOutcome(settled=True)
    if found.subject == AttendanceRecorded.subject:
        return PunchOutcome(settled=True, recorded=AttendanceRecorded.decode(found.body))
    return PunchOutcome(settled=True, repeated=AttendanceRepeated.decode(found.body))


async def last(session: AsyncSession, source: str) -> LastPunch:
    """The newest punch of a source."""
    newest = select(Punch).where(Punch.source == source).order_by(Punch.captured_at.desc(), Punch.id.desc()).limit(1)
    found = await session.scalar(newest)
    return LastPunch(punch=None if found is None else _row(found))


async def of_day(session: AsyncSession, asked: PunchesOfDay, bounds: tuple[datetime, datetime]) -> PunchPage:
    """A page of the punches of [start, end), newest first, and the classes and places of the whole day."""
    on_day = (Punch.captured_at >= bounds[0], Punch.captured_at < bounds[1])
    wanted = (*on_day, *_matching(asked))
    rows = select(Punch).where(*wanted).order_by(Punch.captured_at.desc(), Punch.id.desc())
    page = await session.scalars(rows.offset(min(asked.offset, LARGEST_ROW_ID)).limit(asked.limit))
    total = await session.scalar(select(func.count(Punch.id)).where(*wanted))
    classes = await session.scalars(select(Punch.st_class).where(*on_day).distinct().order_by(Punch.st_class))
    places = await session.scalars(select(Punch.place).where(*on_day).distinct().order_by(Punch.place))
    return PunchPage(rows=tuple(map(_row, page)), total=total or 0, classes=tuple(classes), places=tuple(places))


def _matching(asked: PunchesOfDay) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if text := asked.text.strip():
        in_name = Punch.st_name.icontains(text, autoescape=True)
        wanted.append(or_(in_name, Punch.st_num.icontains(text, autoescape=True)))
    if asked.class_name:
        wanted.append(Punch.st_class == asked.class_name)
    if asked.place:
        wanted.append(Punch.place == asked.place)
    return wanted


def _row(punch: Any) -> PunchRow:
    return PunchRow(
        punch_id=punch.id,
        student_id=punch.student_id,
        num=punch.st_num,
        name=punch.st_name,
        class_name=punch.st_class,
        place=punch.place,
        captured_at=punch.captured_at,
        recorded_at=punch.recorded_at,
        score=punch.score,
    )
