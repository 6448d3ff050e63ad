"""The punches that a terminal made by itself, on its disk before anybody is told of them, until the server has them.

A punch is *held* (of somebody whom only this terminal knows), *waiting*, *kept* by the server or *refused* by it. It
gets its number when it may be sent, so the numbers have no holes of ours. What frames say is in docs/terminals.md.
Names are sealed; times are not. A machine without a battery does not know the time when it boots: each punch notes how
long the machine had been running (terminal/uptime.py), until the server has it.
"""

import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import msgpack

from shared import ranges
from shared.contracts.offline import MAX_PUNCHES, MAX_RANGES, Ranges
from shared.security import Vault, WrongKey
from terminal.events import Rubbish
from terminal.sealing import CannotOpen
from terminal.uptime import Uptime

MOST_UNSENT: Final = 100_000
"""punches that may wait or be held, 20 MB: a school's month"""
KEPT_DAYS: Final = 30
MOST_KEPT: Final = 20_000
"""punches that stay here after the server has them, in case it is restored from a backup: the newest, and of
KEPT_DAYS at most"""
TRIM_EVERY: Final = 500
"""answers"""
COOL_DOWN: Final = timedelta(seconds=60)
"""as the registry's debounce: within it somebody who is seen again has clocked in already"""
WRONG_CLOCK: Final = timedelta(seconds=30)
"""a clock that is off by more was not set yet; less is what passes between a sighting and its punch, and jitter"""
REMEMBERED: Final = 1_000
"""punches that are read at the start, for the cool-down"""
MAX_FRAME: Final = 60_000
"""bytes of one frame of punches; the channel takes 64 KiB"""

T = TypeVar("T")


class StoreFull(OSError):
    """So many are unsent, or the disk takes or gives nothing: no punch can be promised. It may be over at the next
    try."""


class State(IntEnum):
    """Where a punch stands."""

    WAITING = 0
    KEPT = 1
    REFUSED = 2
    HELD = 3


@dataclass(frozen=True, slots=True)
class Stored:
    """One punch. `error`: why it was refused; `seq` 0: it has no number yet."""

    punch_id: int
    seq: int
    at: datetime
    num: str
    name: str
    score: float
    state: State
    error: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """The punch that stands after a sighting; `new`: this sighting made it."""

    punch_id: int
    at: datetime
    new: bool


_TABLES: Final = """
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS punches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    seq INTEGER UNIQUE,
    at_ms INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    state INTEGER NOT NULL,
    error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS by_state ON punches (state, seq);
CREATE TABLE IF NOT EXISTS made (id INTEGER PRIMARY KEY, boot TEXT NOT NULL, up_ms INTEGER NOT NULL);
"""
_ROW: Final = "SELECT id, seq, at_ms, sealed, state, error FROM punches"


class PunchStore:
    """May be used by several threads; each call is one transaction, on the disk when it returns. Each may raise
    StoreFull; then nothing was changed."""

    def __init__(
        self,
        path: Path,
        vault: Vault,
        cool_down: timedelta = COOL_DOWN,
        most: int = MOST_UNSENT,
        uptime: Uptime | None = None,
    ) -> None:
        """Raises CannotOpen."""
        self._path, self._vault, self._cool_down, self._most = path, vault, cool_down, most
        self._uptime = uptime or Uptime()
        self._sent: frozenset[int] = frozenset()
        self._lock = threading.Lock()
        self._gone: Ranges = ()
        self._trusting = True
        self._answers = 0
        try:
            self._database = self._open()
            self.epoch = self._check()
            self._recent = {p.num: Made(p.punch_id, p.at, new=False) for p in self._newest()}
        except (StoreFull, sqlite3.DatabaseError) as error:
            if isinstance(error.__cause__ or error, sqlite3.OperationalError):
                raise CannotOpen(f"{path} cannot be used ({error}): is the disk full, or not ours?") from None
            raise CannotOpen(
                f"{path} is damaged ({error}): move it away, and tell the office which days it was of"
            ) from None

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600))
        database = sqlite3.connect(self._path, timeout=10, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            database.execute(f"PRAGMA {pragma}")
        database.executescript(_TABLES)
        return database

    def _check(self) -> str:
        """The epoch; the key is tried on what was sealed first. Raises CannotOpen."""

        def look(database: sqlite3.Connection) -> tuple[str, str]:
            fresh = self._vault.seal(b"", "punches").hex()
            made = [("epoch", secrets.token_hex(8)), ("key", fresh), ("last", "0")]
            database.executemany("INSERT OR IGNORE INTO notes VALUES (?, ?)", made)
            return _note(database, "epoch"), _note(database, "key")

        epoch, sealed = self._do(look)
        try:
            self._vault.open(bytes.fromhex(sealed), "punches")
        except WrongKey:
            raise CannotOpen(f"{self._path} was sealed with another key: the punches in it need that one") from None
        return epoch

    def close(self) -> None:
        self._database.close()

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                return self._transact(work)
            except sqlite3.DatabaseError as error:
                raise StoreFull(str(error)) from error

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            done = work(self._database)
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # a full disk may have ended it already
                self._database.execute("ROLLBACK")
            raise
        return done

    # ---- notes

    def note(self, name: str, value: str) -> None:
        """Remember a word."""
        self._do(lambda database: database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value)))

    def noted(self, name: str) -> str:
        """Empty if nothing was noted."""
        return self._do(lambda database: _note(database, name))

    # ---- making

    def add(self, num: str, name: str, at: datetime, score: float, *, held: bool = False) -> Made:
        """The punch of somebody seen `at`: on the disk now, or one of a moment before."""
        at = datetime.fromtimestamp(round(at.timestamp() * 1000) / 1000, UTC)
        recent = self._recent.get(num)
        if recent is not None and abs(at - recent.at) < self._cool_down:
            return recent
        sealed, up_ms = self._vault.seal(msgpack.packb((num, name, score)), "punch"), self._uptime.ms()

        def insert(database: sqlite3.Connection) -> int:
            unsent = database.execute(
                "SELECT COUNT(*) FROM punches WHERE state IN (?, ?)", (State.WAITING, State.HELD)
            ).fetchone()[0]
            if unsent >= self._most:
                raise StoreFull(f"{unsent} punches wait already")
            seq, state = (None, State.HELD) if held else (_number(database), State.WAITING)
            row = (seq, _ms(at), sealed, state)
            made = database.execute("INSERT INTO punches (seq, at_ms, sealed, state) VALUES (?, ?, ?, ?)", row)
            database.execute("INSERT INTO made VALUES (?, ?, ?)", (made.lastrowid, self._uptime.boot, up_ms))
            return made.lastrowid or 0

        punch_id = self._do(insert)
        self._recent[num] = Made(punch_id, at, new=False)
        if len(self._recent) > 2 * REMEMBERED:
            self._recent = {n: made for n, made in self._recent.items() if abs(at - made.at) < self._cool_down}
        return Made(punch_id, at, new=True)

    def release(self, may_go: Callable[[Stored], bool]) -> int:
        """Let these of the held punches be sent, in the order in which they were made; how many."""

        def free(database: sqlite3.Connection) -> int:
            held = database.execute(f"{_ROW} WHERE state = ? ORDER BY id", (State.HELD,)).fetchall()
            freed = [stored for row in held if may_go(stored := self._stored(row))]
            for stored in freed:
                row = (_number(database), State.WAITING, stored.punch_id)
                database.execute("UPDATE punches SET seq = ?, state = ? WHERE id = ?", row)
            return len(freed)

        return self._do(free)

    def try_again(self) -> int:
        """Let what was refused be sent once more; how many."""
        return self._do(
            lambda database: (
                database.execute(
                    "UPDATE punches SET state = ? WHERE state = ?", (State.WAITING, State.REFUSED)
                ).rowcount
            )
        )

    # ---- telling the server

    def begin(self) -> None:
        """A connection stands: what the server misses is believed once."""
        with self._lock:
            self._trusting = True

    def batch(self, *, asking: bool = False, now: datetime | None = None) -> str | None:
        """The next frame `punches`, None if there is nothing to say; `asking`: then an empty one, to hear what is
        missing. `now` is the server's time: what was made by a clock that was wrong is put right before it is sent
        first."""
        waiting, last = self._do(lambda database: self._waiting(database, now))
        self._sent = frozenset(stored.punch_id for stored in waiting)
        told: list[dict[str, Any]] = []
        size = 2_000  # the other fields
        for stored in waiting:
            told.append(_told(stored))
            size += len(json.dumps(told[-1])) + 2
            if size > MAX_FRAME:
                told.pop()
                break
        if not (told or self._gone or asking):
            return None
        return json.dumps(
            {"type": "punches", "epoch": self.epoch, "last": last, "punches": told, "gone": self._gone[:MAX_RANGES]}
        )

    def _waiting(self, database: sqlite3.Connection, now: datetime | None) -> tuple[list[Stored], int]:
        rows = database.execute(f"{_ROW} WHERE state = ? ORDER BY seq LIMIT ?", (State.WAITING, MAX_PUNCHES))
        waiting = [self._stored(row) for row in rows.fetchall()]
        if now is not None:
            booted = now - timedelta(milliseconds=self._uptime.ms())
            waiting = [self._put_right(database, stored, booted) for stored in waiting]
        return waiting, int(_note(database, "last"))

    def _put_right(self, database: sqlite3.Connection, stored: Stored, booted: datetime) -> Stored:
        """A punch that the server may have heard of keeps its time: with another it would be another punch."""
        made = database.execute("SELECT boot, up_ms FROM made WHERE id = ?", (stored.punch_id,)).fetchone()
        if made is None or made[0] != self._uptime.boot or not made[0] or stored.punch_id in self._sent:
            return stored
        at = booted + timedelta(milliseconds=made[1])
        if abs(at - stored.at) < WRONG_CLOCK:
            return stored
        database.execute("UPDATE punches SET at_ms = ? WHERE id = ?", (_ms(at), stored.punch_id))
        return replace(stored, at=datetime.fromtimestamp(_ms(at) / 1000, UTC))

    def answered(self, message: dict[str, Any]) -> int:
        """Take a frame `punches_kept` in; how many punches are kept by it that were not. One of another epoch says
        nothing. Raises Rubbish."""
        try:
            epoch, kept = message["epoch"], _ranges(message["kept"])
            refused = [(str(r["error"])[:64], int(r["seq"])) for r in message["refused"]]
            missing = _ranges(message["missing"])
        except (KeyError, TypeError, ValueError):
            raise Rubbish("punches_kept with wrong fields") from None
        if epoch != self.epoch:
            return 0
        self._gone = ()

        def mark(database: sqlite3.Connection) -> int:
            new = 0
            for first, last in kept:
                changed = database.execute(
                    "UPDATE punches SET state = ?, error = '' WHERE state != ? AND seq BETWEEN ? AND ?",
                    (State.KEPT, State.KEPT, first, last),
                )
                new += changed.rowcount
            rows = [(State.REFUSED, error, seq, State.KEPT) for error, seq in refused]
            database.executemany("UPDATE punches SET state = ?, error = ? WHERE seq = ? AND state != ?", rows)
            settled = [*kept, *((seq, seq) for _, seq in refused)]
            database.executemany(
                "DELETE FROM made WHERE id IN (SELECT id FROM punches WHERE seq BETWEEN ? AND ?)", settled
            )
            if self._trusting:
                self._gone = self._miss(database, missing)
            return new

        new = self._do(mark)
        self._trusting = False
        self._answers += 1
        if self._answers % TRIM_EVERY == 1:
            self.trim()
        return new

    def _miss(self, database: sqlite3.Connection, missing: Ranges) -> Ranges:
        """Send again what the server never heard of; which of it is not here."""
        gone: list[tuple[int, int]] = []
        for first, last in missing:
            between = (first, last)
            database.execute("UPDATE punches SET state = 0, error = '' WHERE seq BETWEEN ? AND ?", between)
            rows = database.execute("SELECT seq FROM punches WHERE seq BETWEEN ? AND ?", between).fetchall()
            here = ranges.of([seq - first + 1 for (seq,) in rows])
            gone += [(begin + first - 1, end + first - 1) for begin, end in ranges.gaps(here, last - first + 1)]
        return tuple(gone)

    def trim(self) -> None:
        """Forget what the server has had for long."""

        def forget(database: sqlite3.Connection) -> None:
            newest = database.execute(
                "SELECT seq, at_ms FROM punches WHERE state = ? ORDER BY seq DESC LIMIT 1", (State.KEPT,)
            ).fetchone()
            if newest is not None:
                bounds = (State.KEPT, newest[1] - KEPT_DAYS * 86_400_000, newest[0] - MOST_KEPT)
                database.execute("DELETE FROM punches WHERE state = ? AND (at_ms < ? OR seq <= ?)", bounds)

        self._do(forget)

    # ---- looking

    def counts(self) -> dict[State, int]:
        """How many there are of each."""
        rows = self._do(
            lambda database: database.execute("SELECT state, COUNT(*) FROM punches GROUP BY state").fetchall()
        )
        return dict.fromkeys(State, 0) | {State(state): count for state, count in rows}

    def rows(self) -> Iterator[Stored]:
        """All of them, oldest first, a few hundred at a time."""
        last = 0
        while page := self._page(last):
            yield from page
            last = page[-1].punch_id

    def _page(self, after: int) -> list[Stored]:
        rows = self._do(
            lambda database: database.execute(f"{_ROW} WHERE id > ? ORDER BY id LIMIT 500", (after,)).fetchall()
        )
        return [self._stored(row) for row in rows]

    def _newest(self) -> list[Stored]:
        """The last REMEMBERED, oldest first."""
        rows = self._do(lambda database: database.execute(f"{_ROW} ORDER BY id DESC LIMIT ?", (REMEMBERED,)).fetchall())
        return [self._stored(row) for row in reversed(rows)]

    def _stored(self, row: tuple[int, int | None, int, bytes, int, str]) -> Stored:
        punch_id, seq, at_ms, sealed, state, error = row
        num, name, score = msgpack.unpackb(self._vault.open(sealed, "punch"))
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        return Stored(punch_id, seq or 0, at, num, name, score, State(state), error)


def _note(database: sqlite3.Connection, name: str) -> str:
    found = database.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
    return str(found[0]) if found else ""


def _number(database: sqlite3.Connection) -> int:
    """The next one."""
    number = int(_note(database, "last")) + 1
    database.execute("UPDATE notes SET value = ? WHERE name = 'last'", (str(number),))
    return number


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _told(stored: Stored) -> dict[str, Any]:
    time = stored.at.isoformat(timespec="milliseconds")
    return {"seq": stored.seq, "time": time, "who": stored.num, "score": stored.score}


def _ranges(given: Any) -> Ranges:
    return tuple((int(first), int(last)) for first, last in given)
