"""Outbox, inbox and audit rows: they live and die with the transaction that writes them."""

from collections.abc import Sequence

import structlog
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from registry.tables import Audit, Inbox, Outbox
from shared.contracts.base import Event, now
from shared.contracts.recognition import Identified


async def announce(session: AsyncSession, *events: Event) -> None:
    """Commit these events with the transaction; the relay publishes them, in this order."""
    trace = structlog.contextvars.get_contextvars().get("trace", "")
    await _put(session, [_row(event, str(trace), None) for event in events])


async def answer(session: AsyncSession, answers: Sequence[tuple[Identified, Event]]) -> None:
    """As `announce`, for news that answer an event: findable by it, and following its frame's trace."""
    await _put(session, [_row(news, event.frame_id, event.event_id) for event, news in answers])


def _row(event: Event, trace: str, cause: str | None) -> dict[str, object]:
    return {
        "event_id": event.event_id,
        "subject": event.subject,
        "body": event.encode(),
        "cause": cause,
        "trace": trace[:64],
        "created_at": now(),
    }


async def _put(session: AsyncSession, rows: list[dict[str, object]]) -> None:
    if rows:
        await session.execute(insert(Outbox), rows)
        session.info["news"] = True


async def enter(session: AsyncSession, consumer: str, event_ids: Sequence[str]) -> list[str]:
    """Enter events into the consumer's inbox; returns those that were there already.

    If another transaction is just entering one of them, the insert waits, breaks on the primary key, and
    `Database.write` runs all again, now seeing it.
    """
    mine = (Inbox.consumer == consumer, Inbox.event_id.in_(event_ids))
    known = list(await session.scalars(select(Inbox.event_id).where(*mine)))
    rows = [{"consumer": consumer, "event_id": e, "settled_at": now()} for e in event_ids if e not in known]
    if rows:
        await session.execute(insert(Inbox), rows)
    return known


async def audit(session: AsyncSession, by: str, action: str, what: str) -> None:
    """Write down who did what."""
    await session.execute(insert(Audit).values(at=now(), by=by[:64], action=action, what=what))
