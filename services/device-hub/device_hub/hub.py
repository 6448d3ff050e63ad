"""Who is connected: one session per device, the newest wins."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

from device_hub.comings import Comings
from device_hub.protocol import Reason
from device_hub.session import LAST_WORD_S, Session
from shared.bus.terminals import offline
from shared.contracts.base import now
from shared.contracts.devices import Device, DeviceConfig
from shared.contracts.terminals import OrderOutcome, TerminalOrder, TerminalPush


class Devices(Protocol):
    """What is known of the devices, now."""

    def is_authorised(self, device_id: int) -> bool:
        """Whether the office lets it in."""

    def secret(self, device_id: int) -> bytes:
        """Its secret, empty if it has none."""

    def newer(self, device_id: int, revision: int) -> Device | None:
        """The device, if it has another revision of its configuration than this."""


Moved = Callable[[Session, bool], None]
"""Told that a device's session is now this one (True), or that this one was its last (False)."""


class Hub:
    """The open sessions by device id. Nothing here waits for a terminal."""

    def __init__(self, moved: Moved, devices: Devices) -> None:
        self._moved, self._devices = moved, devices
        self._sessions: dict[int, Session] = {}
        self._emptied = asyncio.Event()
        self._log = Comings()
        self.dropped = 0
        """news that was dropped since the start, because terminals did not read"""

    def __len__(self) -> int:
        return len(self._sessions)

    def opened(self, session: Session) -> None:
        """A terminal was welcomed. Its device's earlier session, if any, is replaced."""
        device_id = session.device_id
        if not self._devices.is_authorised(device_id) or self._devices.secret(device_id) != session.secret:
            return session.finish(Reason.REVOKED)  # between the handshake and hello
        if (newer := self._devices.newer(device_id, session.config_revision)) is not None:
            session.renew(newer)
        earlier = self._sessions.get(device_id)
        self._sessions[device_id] = session
        if earlier is not None:
            earlier.finish(Reason.REPLACED)
        self._log.tell("terminal connected", device=device_id, replaced=earlier is not None)
        return self._moved(session, True)

    def closed(self, session: Session) -> None:
        """A session ended; that of a replaced one changes nothing."""
        device_id = session.device_id
        if self._sessions.get(device_id) is session:
            del self._sessions[device_id]
            if not self._sessions:
                self._emptied.set()
            after_s = round((now() - session.since) / timedelta(seconds=1))
            self._log.tell("terminal gone", device=device_id, after_s=after_s)
            self._moved(session, False)

    def came_elsewhere(self, device_id: int, since: datetime) -> None:
        """Another hub welcomed this terminal then; whoever is older here is replaced."""
        session = self._sessions.get(device_id)
        if session is not None and session.since < since:
            session.finish(Reason.REPLACED)

    def push(self, push: TerminalPush) -> bool:
        """Put news into a terminal's outbox; False if it is not here."""
        session = self._sessions.get(push.device_id)
        if session is not None:
            before = session.dropped
            session.push(push.text)
            self.dropped += session.dropped - before
        return session is not None

    def order(self, asked: TerminalOrder) -> Awaitable[OrderOutcome]:
        """Let a terminal do something; its own answer. Raises Gone if it is not here, Unavailable: nothing was sent."""
        session = self._sessions.get(asked.device_id)
        if session is None:
            raise offline()
        return asyncio.shield(session.order(asked))

    def takes(self, device_id: int, revision: int | None) -> bool:
        """Whether this revision of its configuration would be news to a terminal that is here."""
        session = self._sessions.get(device_id)
        return session is not None and session.config_revision != revision

    def waiting(self) -> int:
        """Messages in all outboxes."""
        return sum(session.waiting for session in self._sessions.values())

    def devices(self) -> tuple[int, ...]:
        """Who is connected, by id."""
        return tuple(self._sessions)

    def keeping_faces(self) -> list[Session]:
        """The terminals that want to hear of changes of the library."""
        return [session for session in self._sessions.values() if session.keeps_faces]

    def configure(self, device_id: int, revision: int, config: DeviceConfig) -> None:
        """Tell a connected terminal what the office wishes of it now, if that is news to it."""
        session = self._sessions.get(device_id)
        if session is not None:
            session.configure(revision, config)

    def revoke(self, device_id: int) -> None:
        """Cut a device that is no longer authorised, or not by what it proved itself with."""
        session = self._sessions.get(device_id)
        if session is not None:
            session.finish(Reason.REVOKED)

    async def close(self) -> None:
        """Say bye to all; returns when they are gone, or after twice LAST_WORD_S."""
        self._emptied.clear()
        for session in tuple(self._sessions.values()):
            session.finish(Reason.STOPPING)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * LAST_WORD_S):
                if self._sessions:
                    await self._emptied.wait()
