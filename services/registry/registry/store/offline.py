"""Punches that terminals made by themselves and tell by number: each becomes a punch once, and a gap is seen."""

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from registry.store import devices
from registry.store.reported import report
from registry.tables import Audit, PunchNumbers
from shared import ranges
from shared.contracts.attendance import PunchReport, ReportPunches, ReportState
from shared.contracts.base import now
from shared.contracts.device_log import Trouble, action_of
from shared.contracts.devices import Device, GetDevice
from shared.contracts.offline import (
    MAX_RANGES,
    KeepPunches,
    OfflinePunch,
    PunchesKept,
    Ranges,
    Refusal,
    RefusedPunch,
    credible,
    report_id,
)
from shared.contracts.terminals import device_source

EPOCHS = 16
"""of one terminal that are remembered; the numbers of an older one are forgotten, its punches are not"""

REFUSALS = {ReportState.UNKNOWN: Refusal.UNKNOWN, ReportState.AMBIGUOUS: Refusal.AMBIGUOUS}


async def keep(session: AsyncSession, asked: KeepPunches, debounce_s: float) -> PunchesKept:
    """Settle a batch. What was settled before is only looked up, and what was refused before has another chance.
    Raises NotFound."""
    device = await devices.get(session, GetDevice(device_id=asked.device_id))
    row = await _numbers(session, asked)
    before = ranges.read(row.heard)
    refused = await _settle(session, asked, device, debounce_s)
    told = [punch.seq for punch in asked.punches]
    heard = ranges.joined([*before, *ranges.of(told), *asked.gone])
    await _write_down(session, asked, [r for r in refused if not _within(r.seq, r.seq, before)], before)
    row.heard = ranges.written(heard)
    return PunchesKept(
        kept=ranges.of(set(told) - {r.seq for r in refused}),
        refused=tuple(refused),
        missing=ranges.gaps(heard, asked.last)[:MAX_RANGES],
    )


async def _numbers(session: AsyncSession, asked: KeepPunches) -> PunchNumbers:
    """The terminal's row of this epoch, locked: two hubs that bring the same batch do so one after the other."""
    mine = PunchNumbers.device_id == asked.device_id
    row = await session.scalar(select(PunchNumbers).where(mine, PunchNumbers.epoch == asked.epoch).with_for_update())
    if row is not None:
        return row
    ids = await session.scalars(select(PunchNumbers.id).where(mine).order_by(PunchNumbers.id.desc()))
    if oldest := list(ids)[EPOCHS - 1 :]:
        await session.execute(delete(PunchNumbers).where(PunchNumbers.id.in_(oldest)))
    row = PunchNumbers(device_id=asked.device_id, epoch=asked.epoch, heard="")
    session.add(row)
    await session.flush()
    return row


async def _settle(session: AsyncSession, asked: KeepPunches, device: Device, debounce_s: float) -> list[RefusedPunch]:
    """Those that are not in the database when this returns."""
    at = now()
    punches = {report_id(device.device_id, str(p.seq), p.at): p for p in asked.punches}
    fit = {key: punch for key, punch in punches.items() if credible(punch.at, at)}
    refused = [RefusedPunch(seq=p.seq, error=Refusal.BAD_TIME) for key, p in punches.items() if key not in fit]
    if not fit:
        return refused
    reports = ReportPunches(
        place=device.punches_at,
        source=device_source(device.device_id),
        classes=device.classes,
        reports=tuple(
            PunchReport(report_id=key, who=p.who, captured_at=min(p.at, at), score=p.score) for key, p in fit.items()
        ),
    )
    outcomes = (await report(session, reports, debounce_s)).outcomes
    return refused + [
        RefusedPunch(seq=fit[outcome.report_id].seq, error=REFUSALS[outcome.state])
        for outcome in outcomes
        if outcome.state in REFUSALS
    ]


async def _write_down(session: AsyncSession, asked: KeepPunches, refused: list[RefusedPunch], before: Ranges) -> None:
    """Into the terminal's log, the first time: the office may know better who was meant, or ask people."""
    who = {punch.seq: punch for punch in asked.punches}
    lines = [(Trouble.PUNCH_REFUSED, _words(who[r.seq], r.error)) for r in refused]
    if gone := [f"{first}-{last}" for first, last in asked.gone if not _within(first, last, before)]:
        lines.append((Trouble.PUNCHES_LOST, f"{asked.epoch}: {', '.join(gone)}"[:256]))
    if lines:
        common = {"at": now(), "by": "terminal", "what": f"device {asked.device_id}"}
        await session.execute(
            insert(Audit), [common | {"action": action_of(what), "detail": detail} for what, detail in lines]
        )


def _within(first: int, last: int, known: Ranges) -> bool:
    return any(begin <= first and last <= end for begin, end in known)


def _words(punch: OfflinePunch, error: Refusal) -> str:
    return f"{error} · {punch.who} · {punch.at.isoformat(timespec='seconds')} · {punch.seq}"[:256]
