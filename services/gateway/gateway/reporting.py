"""Passing results on: lines for the live wall, pushes for the terminal whose camera saw them."""

import json
import time
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from shared.bus import Bus
from shared.bus.terminals import connected, held_by, order
from shared.contracts.base import now
from shared.contracts.feed import FeedItem
from shared.contracts.hubs import Presence
from shared.contracts.recognition import FaceResult, Result, SourceKind, Verdict
from shared.contracts.terminals import OrderOutcome, TerminalOrder, TerminalPush
from shared.errors import Unavailable

STRANGER_EVERY_S = 3.0
"""A stranger who stays in view is one line on the wall every so often, not one a frame."""

HUB_KNOWN_S = 2.0
"""How long the hub of a terminal is remembered before presence is asked again, in seconds."""

REMEMBERED = 8_192


@dataclass(frozen=True, slots=True)
class Origin:
    """Where frames come from."""

    source: str
    kind: SourceKind
    place: str
    device_id: int = 0


class Wall:
    """Publishes feed lines, each identified event once and strangers thinned."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._shown: OrderedDict[str, float] = OrderedDict()

    async def show(self, origin: Origin, result: Result) -> None:
        """Publish what of this result is news."""
        for face in result.faces:
            if self._is_news(origin, face):
                await self._bus.publish(FeedItem.subject, feed_line(origin, result, face))

    def _is_news(self, origin: Origin, face: FaceResult) -> bool:
        if face.verdict in (Verdict.PENDING, Verdict.MEASURED):
            return False
        key, again_after = face.event_id, float("inf")
        if not key:
            key, again_after = f"{origin.source}/{face.verdict}", STRANGER_EVERY_S
        at = time.monotonic()
        if at - self._shown.get(key, -float("inf")) < again_after:
            return False
        self._shown[key] = at
        self._shown.move_to_end(key)
        while len(self._shown) > REMEMBERED:
            self._shown.popitem(last=False)
        return True


def feed_line(origin: Origin, result: Result, face: FaceResult) -> FeedItem:
    """The line of one face."""
    person = face.person
    return FeedItem(
        kind=origin.kind,
        source=origin.source,
        place=origin.place,
        verdict=face.verdict,
        name=person.name if person else "",
        num=person.num if person else "",
        class_name=person.class_name if person else "",
        score=face.score,
        event_id=face.event_id,
        problem=face.problems[0] if face.problems else None,
        captured_at=result.captured_at,
        age_ms=(now() - result.captured_at).total_seconds() * 1000,
    )


class Terminals:
    """Pushes and orders to terminals through the one hub that holds each."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._hubs: dict[int, tuple[str, float]] = {}

    async def push(self, device_id: int, message: dict[str, Any]) -> None:
        """Send JSON to a terminal, if it is connected to a hub; at most once."""
        hub = await self._hub_of(device_id)
        if hub:
            push = TerminalPush(device_id=device_id, text=json.dumps(message, ensure_ascii=False))
            await self._bus.publish(TerminalPush.subject_for(hub, str(device_id)), push)

    async def order(self, asked: TerminalOrder) -> OrderOutcome:
        """See shared.bus.terminals."""
        return await order(self._bus, asked)

    async def connected(self, device_ids: Collection[int]) -> dict[int, Presence]:
        """See shared.bus.terminals."""
        return await connected(self._bus, device_ids)

    async def _hub_of(self, device_id: int) -> str:
        hub, asked_at = self._hubs.get(device_id, ("", -HUB_KNOWN_S))
        if time.monotonic() - asked_at < HUB_KNOWN_S:
            return hub
        hub = await self._ask_presence(device_id)
        if len(self._hubs) > REMEMBERED:
            self._hubs.clear()
        self._hubs[device_id] = (hub, time.monotonic())
        return hub

    async def _ask_presence(self, device_id: int) -> str:
        try:
            presence = (await held_by(self._bus, [device_id])).get(device_id)
        except Unavailable:
            return ""
        return presence.hub if presence else ""
