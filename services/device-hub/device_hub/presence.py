"""Where each terminal is connected, told to everybody through the KV bucket `presence`, and this hub's own lease.

The bucket lives in the broker's memory: what it should hold is kept here, and one worker brings it there, again
after every reconnect. One worker, because a put and a delete of the same key must not overtake each other.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Collection
from datetime import datetime
from itertools import islice

import structlog
from nats.errors import Error as NatsError
from nats.js.errors import BadRequestError, KeyNotFoundError
from nats.js.errors import Error as JetStreamError
from nats.js.kv import KeyValue

from shared.bus import Bus
from shared.bus.topology import HUBS, LEASE_S, PRESENCE
from shared.contracts.base import ContractError
from shared.contracts.hubs import HubLease, Presence, TerminalsCame
from shared.errors import Unavailable

BATCH = 64
"""keys looked up or deleted at once, all different"""
PUTS = 256
"""entries written at once. The broker is asked for one answer, to the last: it takes what one connection says in its
order, and an answer to each would cost ten times as much as the entry"""
FORMER, FORMER_PAUSE_S = 16, 0.25
"""keys of a former life that are looked at together, and the pause before: 1 % of a core"""
RETRY_S = 0.5

WRONG_LAST_SEQUENCE = 10_071
"""nats-server's error code for a write whose expected revision is not the present one"""

BROKER_TROUBLE = (NatsError, JetStreamError, TimeoutError, OSError)

log = structlog.get_logger("presence")


class PresenceKeeper:
    """Keeps this hub's entries in the bucket equal to `connected`/`gone`."""

    def __init__(self, bus: Bus, hub_id: str, elsewhere: Callable[[int, datetime], None]) -> None:
        """`elsewhere` is told of a terminal that the bucket says came to another hub, and when."""
        self._bus, self._hub_id, self._elsewhere = bus, hub_id, elsewhere
        self._wanted: dict[int, tuple[str, datetime]] = {}
        """session and since when"""
        self._unsaid: dict[int, bool] = {}
        """whether it is news of this hub's, or to be compared with what is there"""
        self._former: list[int] = []
        """keys that may be of a former life of this hub"""
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._wanted)

    def connected(self, device_id: int, session_id: str, since: datetime) -> None:
        """The terminal is here: from now on its entry names this hub."""
        self._wanted[device_id] = session_id, since
        self._note(device_id, fresh=True)

    def gone(self, device_id: int) -> None:
        """The terminal left: its entry goes, unless another hub has written it since."""
        self._wanted.pop(device_id, None)
        self._note(device_id, fresh=True)

    def unsaid(self) -> int:
        """Terminals whose coming or going is not in the bucket yet."""
        return len(self._unsaid)

    async def repeat(self) -> None:
        """Check all entries again: the broker was away, perhaps its memory is empty."""
        for device_id in self._wanted:
            self._note(device_id, fresh=False)
            self._unsaid[device_id] = False  # what waited for the broker may be the older news too

    async def settle(self, timeout: float) -> bool:
        """Wait until everything is said; False if it was not within `timeout` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        return self._idle.is_set()

    def _note(self, device_id: int, *, fresh: bool) -> None:
        self._unsaid[device_id] = fresh or self._unsaid.get(device_id, False)
        self._idle.clear()
        self._work.set()

    # ---- the worker

    async def keep(self) -> None:
        """Bring the bucket up to date for as long as this runs."""
        bucket = await self._bus.js.key_value(PRESENCE)
        while True:
            if self._former and not self._unsaid:
                await self._review_former_life()
            else:
                await self._work.wait()
            if not self._unsaid:
                self._work.clear()
            elif not (self._bus.is_connected and await self._say_some(bucket)):
                await asyncio.sleep(RETRY_S)

    async def look_back(self, after_s: float) -> None:
        """Find what a former life of this hub left, so long after its start, and let the worker see to it."""
        await asyncio.sleep(after_s)
        with contextlib.suppress(*BROKER_TROUBLE):  # a broker that dies just now forgets by itself
            await self._find_former_life()
        self._work.set()

    async def _say_some(self, bucket: KeyValue) -> bool:
        """One batch; False if the broker did not take all of it."""
        batch = dict(islice(self._unsaid.items(), PUTS))
        puts = {key: fresh for key, fresh in batch.items() if fresh and key in self._wanted}
        others = dict(islice(((key, fresh) for key, fresh in batch.items() if key not in puts), BATCH))
        for device_id in (*puts, *others):
            del self._unsaid[device_id]
        done = dict.fromkeys(puts, await self._put_all(bucket, puts))
        if puts:
            await self._tell(puts)
        said = await asyncio.gather(*(self._say(bucket, *each) for each in others.items()))
        done |= zip(others, said, strict=True)
        for device_id in (key for key, well in done.items() if not well):
            # By then it may be the older news: the terminal has moved, and its new hub has said so.
            self._note(device_id, fresh=False)
        if not self._unsaid:
            self._work.clear()
            self._idle.set()
        return all(done.values())

    async def _put_all(self, bucket: KeyValue, device_ids: Collection[int]) -> bool:
        """New entries; False if the broker may not have taken all of them."""
        try:
            last: tuple[int, Presence] | None = None
            for device_id in device_ids:
                if (entry := self._presence(device_id)) is None:  # it left while the others were told
                    continue
                if last is not None:
                    await self._bus.publish(f"$KV.{PRESENCE}.{last[0]}", last[1])
                last = device_id, entry
            if last is not None:
                await bucket.put(str(last[0]), last[1].encode())
        except BROKER_TROUBLE as error:
            log.warning("presence not said", terminals=len(device_ids), reason=repr(error))
            return False
        return True

    async def _tell(self, device_ids: Collection[int]) -> None:
        """The other hubs, that these are here now; what gets lost, the terminal's silence tells them."""
        came = {key: self._wanted[key][1] for key in device_ids if key in self._wanted}
        told = TerminalsCame(hub=self._hub_id, ids=tuple(came), since=tuple(came.values()))
        try:
            await self._bus.publish(TerminalsCame.subject_for(self._hub_id), told)
        except BROKER_TROUBLE as error:
            log.warning("hubs not told who came", terminals=len(came), reason=repr(error))

    def _presence(self, device_id: int) -> Presence | None:
        wanted = self._wanted.get(device_id)
        return None if wanted is None else Presence(hub=self._hub_id, session=wanted[0], since=wanted[1])

    async def _say(self, bucket: KeyValue, device_id: int, fresh: bool) -> bool:
        wanted = self._presence(device_id)
        try:
            if wanted is None:
                await self._remove(bucket, device_id)
            elif fresh or (newer := _newer(await _entry(bucket, device_id), wanted)) is None:
                await bucket.put(str(device_id), wanted.encode())
            elif newer.hub != self._hub_id:
                self._elsewhere(device_id, newer.since)
        except BROKER_TROUBLE as error:
            log.warning("presence not said", device=device_id, reason=repr(error))
            return False
        return True

    async def _remove(self, bucket: KeyValue, device_id: int) -> None:
        """Delete the entry if it is this hub's."""
        entry = await _entry(bucket, device_id)
        if entry is None or not self._is_ours(entry):
            return
        try:
            await bucket.delete(str(device_id), last=entry.revision)
        except BadRequestError as error:
            if error.err_code != WRONG_LAST_SEQUENCE:
                raise
            # Another hub has written it since: the terminal is there now.

    async def _find_former_life(self) -> None:
        """A hub that was killed left its entries behind; if it comes back under the same id, nobody else would
        know that they are void. So every key is looked at once; those of other hubs are left alone. There is no hurry:
        whom such an entry leads here is told that the terminal is offline."""
        prefix = f"$KV.{PRESENCE}."
        info = await self._bus.js.stream_info(f"KV_{PRESENCE}", subjects_filter=f"{prefix}>")
        keys = (subject.removeprefix(prefix) for subject in info.state.subjects or ())
        self._former.extend(int(key) for key in keys if key.isdigit())

    async def _review_former_life(self) -> None:
        """A few keys, now and then, while there is nothing else to say: the fleet comes back just then."""
        await asyncio.sleep(FORMER_PAUSE_S)
        for _ in range(min(FORMER, len(self._former))):
            if (device_id := self._former.pop()) not in self._wanted:
                self._note(device_id, fresh=True)

    def _is_ours(self, entry: KeyValue.Entry) -> bool:
        presence = _read(entry)
        return presence is not None and presence.hub == self._hub_id


async def _entry(bucket: KeyValue, device_id: int) -> KeyValue.Entry | None:
    try:
        return await bucket.get(str(device_id))
    except KeyNotFoundError:
        return None


def _read(entry: KeyValue.Entry) -> Presence | None:
    try:
        return Presence.decode(entry.value or b"")
    except ContractError:
        return None


def _newer(entry: KeyValue.Entry | None, wanted: Presence) -> Presence | None:
    """What the entry says, if it speaks of a later session than `wanted`, or of that one."""
    there = _read(entry) if entry is not None else None
    return there if there is not None and there.since >= wanted.since else None


class Lease:
    """`hubs.<id>`: while it is renewed, this hub's presence entries hold."""

    def __init__(self, bus: Bus, hub_id: str, presence: PresenceKeeper) -> None:
        self._bus, self._hub_id, self._presence = bus, hub_id, presence
        self._renewed_at = -math.inf
        self._over = False

    def age_s(self) -> float:
        """Seconds since it was renewed."""
        return time.monotonic() - self._renewed_at

    async def ready(self) -> None:
        """The health check: others believe that this hub lives. Raises Unavailable."""
        if self.age_s() > LEASE_S:
            raise Unavailable(en="the hub's lease is over")

    async def renew(self) -> None:
        """Renew three times within its life, until `end`."""
        bucket = await self._bus.js.key_value(HUBS)
        while not self._over:
            if self._bus.is_connected:
                await self._put(bucket)
            await asyncio.sleep(LEASE_S / 3)

    async def end(self) -> None:
        """Give it up, so that nobody need wait for its end."""
        self._over = True
        with contextlib.suppress(*BROKER_TROUBLE):
            await (await self._bus.js.key_value(HUBS)).delete(self._hub_id)

    async def _put(self, bucket: KeyValue) -> None:
        lease = HubLease(hub=self._hub_id, terminals=len(self._presence))
        try:
            await bucket.put(self._hub_id, lease.encode())
            self._renewed_at = time.monotonic()
        except BROKER_TROUBLE as error:
            log.warning("lease not renewed", reason=repr(error))
