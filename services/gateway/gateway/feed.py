"""The live wall: every gateway hears what all of them show, and keeps the last lines for a page just opened."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from gateway.settlements import Settled
from shared.bus import Bus
from shared.contracts.attendance import AttendanceRecorded, AttendanceRepeated
from shared.contracts.feed import FeedItem

Item = dict[str, Any]

KEPT = 50
QUEUE = 200
"""Lines that wait for one slow viewer; older ones are dropped, the viewer loses only those."""


class Feed:
    """Fan-out of live lines to the viewers of this gateway."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._recent: deque[Item] = deque(maxlen=KEPT)
        self._viewers: set[asyncio.Queue[Item]] = set()

    async def start(self, bus: Bus) -> None:
        """Hear recognition lines from all gateways."""
        await bus.follow(FeedItem.subject, FeedItem, self._recognised)

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[asyncio.Queue[Item]]:
        """A bounded queue of new lines while inside."""
        queue: asyncio.Queue[Item] = asyncio.Queue(QUEUE)
        self._viewers.add(queue)
        try:
            yield queue
        finally:
            self._viewers.discard(queue)

    def recent(self) -> list[Item]:
        """The last lines, oldest first."""
        return list(self._recent)

    def show_punch(self, outcome: Settled) -> None:
        """A punch was recorded or repeated."""
        self._show(punch_item(outcome, self._zone))

    async def _recognised(self, line: FeedItem, _: str) -> None:
        self._show(
            {
                "type": "result",
                "kind": line.kind,
                "place": line.place,
                "verdict": line.verdict,
                "name": line.name,
                "num": line.num,
                "class": line.class_name,
                "score": round(line.score, 1),
                "event": line.event_id,
                "problem": line.problem.zh if line.problem else "",
                "problem_en": line.problem.en if line.problem else "",
                "at": _local(line.captured_at, self._zone),
                "age_ms": round(line.age_ms),
            }
        )

    def _show(self, item: Item) -> None:
        self._recent.append(item)
        for queue in self._viewers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(item)


def punch_item(outcome: Settled, zone: ZoneInfo) -> Item:
    """A settled punch as JSON-able data for walls, kiosks and terminals; times in the school's zone."""
    item = {
        "type": "punch",
        "state": "recorded" if isinstance(outcome, AttendanceRecorded) else "repeated",
        "event": outcome.identified_event,
        "name": outcome.person.name,
        "num": outcome.person.num,
        "class": outcome.person.class_name,
        "place": outcome.place,
        "at": _local(outcome.captured_at, zone),
    }
    if isinstance(outcome, AttendanceRepeated):
        item["first_at"] = _local(outcome.first_at, zone)
    return item


def _local(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).isoformat(timespec="seconds")
