"""Punches that terminals made by themselves and tell of later: each becomes a punch once, by the ledger's rules."""

import unicodedata

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from registry.store.people import as_person
from registry.store.settle import punched, settle
from registry.tables import Student
from shared.contracts.attendance import (
    AttendanceRecorded,
    PunchReport,
    ReportOutcome,
    ReportOutcomes,
    ReportPunches,
    ReportState,
)
from shared.contracts.recognition import Identified, SourceKind


async def report(session: AsyncSession, asked: ReportPunches, debounce_s: float) -> ReportOutcomes:
    """Settle the reports as if a recognizer had seen these people. One that was settled before is only looked up."""
    meant = await _meant(session, asked)
    clear = {r.report_id: r for r in asked.reports if len(meant[r.who]) == 1}
    events = [_sighting(asked, r, meant[r.who][0]) for r in clear.values()]
    settled = await settle(session, events, debounce_s) if events else {}
    recorded = {event_id for event_id, news in settled.items() if isinstance(news, AttendanceRecorded)}
    recorded |= await punched(session, clear.keys() - settled.keys())
    return ReportOutcomes(outcomes=tuple(_outcome(r, meant[r.who], recorded) for r in asked.reports))


async def _meant(session: AsyncSession, asked: ReportPunches) -> dict[str, list[Student]]:
    """Whom each `who` may mean: the one with this number, else all of this name."""
    names = {report.who: _as_stored(report.who) for report in asked.reports}
    wanted = select(Student).where(or_(Student.st_num.in_(names), Student.st_name.in_(set(names.values()))))
    if asked.classes:
        wanted = wanted.where(Student.st_class.in_(asked.classes))
    by_num: dict[str, Student] = {}
    by_name: dict[str, list[Student]] = {}
    for student in await session.scalars(wanted):
        by_num[student.st_num] = student
        by_name.setdefault(student.st_name, []).append(student)
    return {who: [by_num[who]] if who in by_num else by_name.get(name, []) for who, name in names.items()}


def _as_stored(name: str) -> str:
    """As registry.rules.tidy leaves a name."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def _sighting(asked: ReportPunches, report: PunchReport, student: Student) -> Identified:
    return Identified(
        event_id=report.report_id,
        frame_id=report.report_id,
        student_id=student.id,
        place=asked.place,
        kind=SourceKind.DEVICE,
        source=asked.source,
        captured_at=report.captured_at,
        score=report.score,
    )


def _outcome(report: PunchReport, meant: list[Student], recorded: set[str]) -> ReportOutcome:
    if len(meant) != 1:
        state = ReportState.AMBIGUOUS if meant else ReportState.UNKNOWN
        return ReportOutcome(report_id=report.report_id, state=state)
    state = ReportState.RECORDED if report.report_id in recorded else ReportState.REPEATED
    return ReportOutcome(report_id=report.report_id, state=state, person=as_person(meant[0]))
