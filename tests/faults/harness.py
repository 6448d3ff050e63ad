"""A whole system under load, things that break in it, and how it comes back.

The database is a private MariaDB; where this process may mount (root), its files lie on a small disk of their own,
which can be filled. Every fault says from when the recovery counts; then it is measured until every service says that
it is ready, every door gets fresh answers, and the ledger has settled all that was identified before.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Final

import httpx
from sqlalchemy import Engine, create_engine, func, make_url, select
from sqlalchemy.exc import SQLAlchemyError

from registry.tables import Inbox, Outbox
from registry.tables import Punch as PunchRow
from rollcall.keys import Keys
from rollcall.local import System
from rollcall.office import bus_of, ensure_device
from shared.bus import Bus, connect
from shared.bus.topology import EVENTS, LEDGER_CONSUMER
from shared.contracts.base import new_id
from shared.contracts.recognition import Identified
from shared.errors import Unavailable
from shared.testing import eventually
from tests.databases import OwnServer, own_server
from tests.faults.cameras import Door, doors, registered, standing_at
from tests.faults.history import History, Ledger, Punch, Violation, violations
from tests.systems import a_system, died, pid

DEBOUNCE_S: Final = 12.0
"""Longer than until somebody comes again, shorter than until they come a third time: punches and repetitions."""
SETTINGS: Final = {"ROLLCALL_DEBOUNCE_S": str(DEBOUNCE_S), "ROLLCALL_FRAME_INTERVAL_MS": "300"}
RECOGNIZERS: Final = 2
BACK_S: Final = 10.0
"""A service is back by itself within this time of its dependency, in seconds."""
PATIENCE_S: Final = 60.0
"""What is not back after this will not come, in seconds."""
REST_S: Final = 90.0
"""Time for the last events to be settled at the end, in seconds."""
DISK: Final = "256m"
TERMINALS: Final = 2_000
"""More than a table's last extent (1 MiB) has room for."""


@dataclass
class Site:
    """A system at work, with its database and all that is noted."""

    system: System
    database: OwnServer
    ledger: Engine
    places: list[Door]
    history: History = field(default_factory=History)
    disk: Path | None = None
    """the database's own, which can be filled"""

    @property
    def patient(self) -> list[str]:
        """Places that read their answers."""
        return [door.place for door in self.places if door.reads]


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds from the moment that counts: a kill, or the return of what was away."""

    fault: str
    ready_s: float
    results_s: float
    ledger_s: float

    @property
    def back_s(self) -> float:
        """When all was well again."""
        return max(self.ready_s, self.results_s, self.ledger_s)


@dataclass(slots=True)
class Report:
    """What a run came to."""

    recoveries: list[Recovery] = field(default_factory=list)
    history: History = field(default_factory=History)
    ledger: Ledger = field(default_factory=lambda: Ledger((), frozenset(), 0))
    violations: list[Violation] = field(default_factory=list)


Strike = Callable[[Site], Awaitable[None]]
"""Breaks something, and returns when it is mended or will mend itself."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that breaks."""

    name: str
    strike: Strike


def killed(child: str) -> Fault:
    """kill -9; the supervisor starts it again."""
    return _ended(child, signal.SIGKILL, "killed")


def stopped(child: str) -> Fault:
    """Asked politely to end; the supervisor starts it again."""
    return _ended(child, signal.SIGTERM, "restarted")


def _ended(child: str, how: signal.Signals, word: str) -> Fault:
    async def strike(site: Site) -> None:
        old = pid(site.system, child)
        os.kill(old, how)
        await died(site.system, child, old)

    return Fault(f"{child} {word}", strike)


def hung(child: str, seconds: float) -> Fault:
    """It lives, and does nothing; then it goes on as if nothing had been."""

    async def strike(site: Site) -> None:
        await _frozen(pid(site.system, child), seconds)

    return Fault(f"{child} hangs {seconds:.0f} s", strike)


async def _frozen(process: int, seconds: float) -> None:
    os.kill(process, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        os.kill(process, signal.SIGCONT)


def hung_beside_another(seconds: float) -> Fault:
    """One recognizer hangs with its turns in hand, and every door is answered all the same."""

    async def strike(site: Site) -> None:
        async with asyncio.timeout(PATIENCE_S):
            freezing = asyncio.create_task(_frozen(pid(site.system, "recognizer-1"), seconds))
            await asyncio.sleep(0)
            await answered(site)
            await freezing

    return Fault(f"recognizer-1 hangs {seconds:.0f} s", strike)


def broker_killed() -> Fault:
    """kill -9; the supervisor starts it again."""

    async def strike(site: Site) -> None:
        process = site.system.broker.process
        assert process is not None
        process.kill()
        await process.wait()

    return Fault("nats killed", strike)


def broker_hung(seconds: float) -> Fault:
    async def strike(site: Site) -> None:
        process = site.system.broker.process
        assert process is not None
        await _frozen(process.pid, seconds)

    return Fault(f"nats hangs {seconds:.0f} s", strike)


def broker_away(seconds: float) -> Fault:
    """Nobody listens on its port."""

    async def strike(site: Site) -> None:
        broker = site.system.broker
        await broker.stop()
        await asyncio.sleep(seconds)
        await broker.start()

    return Fault(f"nats away {seconds:.0f} s", strike)


def database_away(seconds: float) -> Fault:
    """kill -9, and started again later."""

    async def strike(site: Site) -> None:
        site.database.kill()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(site.database.start)

    return Fault(f"MariaDB away {seconds:.0f} s" if seconds else "MariaDB killed", strike)


def database_hung(seconds: float) -> Fault:
    async def strike(site: Site) -> None:
        assert site.database.process is not None
        await _frozen(site.database.process.pid, seconds)

    return Fault(f"MariaDB hangs {seconds:.0f} s", strike)


def disk_full(seconds: float) -> Fault:
    """Not a byte is left for the database, and it says so; events that come in the meantime must wait."""

    async def strike(site: Site) -> None:
        assert site.disk is not None
        ballast = site.disk / "ballast"
        try:
            await asyncio.to_thread(_fill, ballast)
            await _until_refused(site.system)
            await asyncio.sleep(seconds)
        finally:
            ballast.unlink()

    return Fault(f"database's disk full {seconds:.0f} s", strike)


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 2**12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


async def _until_refused(system: System) -> None:
    """Use up what the tables have left, by new terminals: their news share the outbox with the punches."""
    async with bus_of(system.options.data) as bus:
        for _ in range(TERMINALS):
            try:
                await ensure_device(bus, new_id(), new_id())
            except Unavailable:
                return
    raise AssertionError("the database's disk is not full")


def together(*faults: Fault) -> Fault:
    """All at the same time."""

    async def strike(site: Site) -> None:
        await asyncio.gather(*(fault.strike(site) for fault in faults))

    return Fault(" + ".join(fault.name for fault in faults), strike)


@asynccontextmanager
async def a_site(folder: Path, dice: Random) -> AsyncIterator[Site]:
    """Everything running, people registered, nobody at the doors yet."""
    with ExitStack() as stack:
        stack.enter_context(_settings())
        disk = stack.enter_context(_small_disk())
        server = stack.enter_context(own_server(disk))
        url = server.create()
        ledger = create_engine(make_url(url).set(drivername="mysql+pymysql"), pool_pre_ping=True)
        stack.callback(ledger.dispose)
        async with a_system(folder, recognizers=RECOGNIZERS, database=url) as system:
            await registered(system)
            yield Site(system, server, ledger, await doors(system, dice), disk=disk)


@contextmanager
def _settings() -> Iterator[None]:
    """For all services of the system: they inherit this process's environment."""
    before = {name: os.environ.get(name) for name in SETTINGS}
    os.environ.update(SETTINGS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _small_disk() -> Iterator[Path | None]:
    """A file system of its own; None where this process may not mount."""
    folder = Path(mkdtemp(prefix="rc-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "rollcall", str(folder)], capture_output=True, check=False
    )
    try:
        yield folder if mounted.returncode == 0 else None
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(folder)], check=True)
        shutil.rmtree(folder, ignore_errors=True)


async def run(site: Site, faults: Sequence[Fault], dice: Random, say: Callable[[str], None]) -> Report:
    """One fault after another, under load all the time; then rest, and compare."""
    report = Report(history=site.history)
    async with standing_at(site.system, site.places, site.history, dice):
        await answered(site)
        for fault in faults:
            report.recoveries.append(await recovered(site, fault))
            say(_line(report.recoveries[-1]))
    report.ledger = await at_rest(site)
    report.violations = violations(site.history, report.ledger, DEBOUNCE_S)
    return report


async def recovered(site: Site, fault: Fault) -> Recovery:
    """Strike, and measure. Raises AssertionError for what is not back in PATIENCE_S."""
    began = time.monotonic()
    await fault.strike(site)
    # What mends itself counts from the blow, not from when the supervisor noticed.
    counted = began if fault.name.endswith(("killed", "restarted")) and " + " not in fault.name else time.monotonic()
    shown = {named.event for named in site.history.named}

    async def after(what: Awaitable[None]) -> float:
        await what
        return time.monotonic() - counted

    ready, results, ledger = await asyncio.gather(
        after(all_ready(site.system)), after(answered(site)), after(settled(site, shown))
    )
    return Recovery(fault.name, ready, results, ledger)


async def all_ready(system: System) -> None:
    """Every service says so."""
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:

        async def ready() -> bool:
            try:
                return all([(await client.get(url)).status_code == 200 for url in system.ready_urls.values()])
            except httpx.HTTPError:
                return False

        await eventually(ready, PATIENCE_S, "every service is ready")


async def answered(site: Site) -> None:
    """Every door that reads got two more answers: the first may be of a picture of before."""
    before = site.history.results.copy()

    async def all_moved() -> bool:
        return all(site.history.results[place] >= before[place] + 2 for place in site.patient)

    await eventually(all_moved, PATIENCE_S, "every door is answered")


async def settled(site: Site, events: set[str]) -> None:
    """The ledger knows all of these."""

    async def all_known() -> bool:
        try:
            return events <= await asyncio.to_thread(_inbox, site.ledger)
        except SQLAlchemyError:
            return False

    await eventually(all_known, PATIENCE_S, "every identified face is settled")


async def at_rest(site: Site) -> Ledger:
    """The ledger when nothing moves any more, or when it should have come to rest long ago."""
    keys = Keys.of(site.system.options.data)
    url = site.system.running.nats_url
    async with connect(url, "registry", keys.broker["registry"], name="fault report") as bus:
        until = time.monotonic() + REST_S
        while True:
            accepted = await _accepted(bus)
            ledger = await asyncio.to_thread(_read, site.ledger, accepted)
            rests = ledger.accepted == len(ledger.settled) and not ledger.unsent
            if rests or time.monotonic() > until:
                return ledger
            await asyncio.sleep(0.25)


async def _accepted(bus: Bus) -> int:
    info = await bus.js.stream_info(EVENTS, subjects_filter=Identified.subject)
    return (info.state.subjects or {}).get(Identified.subject, 0)


def _inbox(engine: Engine) -> frozenset[str]:
    with engine.connect() as connection:
        return frozenset(connection.scalars(select(Inbox.event_id).where(Inbox.consumer == LEDGER_CONSUMER)))


def _read(engine: Engine, accepted: int) -> Ledger:
    row = PunchRow
    columns = (row.identified_event, row.st_num, row.place, row.captured_at, row.recorded_at)
    with engine.connect() as connection:
        punches = tuple(Punch(*found) for found in connection.execute(select(*columns).order_by(row.id)))
        unsent = connection.scalar(select(func.count()).select_from(Outbox).where(Outbox.sent_at.is_(None))) or 0
    return Ledger(punches, _inbox(engine), accepted, unsent)


HEAD: Final = "| fault | ready again | doors answered | ledger caught up |\n|---|---|---|---|"


def _line(recovery: Recovery) -> str:
    times = (recovery.ready_s, recovery.results_s, recovery.ledger_s)
    return f"| {recovery.fault} | " + " | ".join(f"{seconds:.1f} s" for seconds in times) + " |"


def summary(report: Report) -> str:
    """What was compared, and every broken promise."""
    history, ledger = report.history, report.ledger
    recorded = sum(told.first_at is None for told in history.told)
    lines = [
        f"{sum(map(len, history.sent.values()))} pictures sent, {history.results.total()} answers shown; "
        f"{ledger.accepted} events accepted, {len(ledger.settled)} settled, {len(ledger.punches)} punches; "
        f'"recorded" shown {recorded} times, "repeated" {len(history.told) - recorded} times.',
        f"Slowest recovery: {max((r.back_s for r in report.recoveries), default=0):.1f} s.",
        f"Broken promises: {len(report.violations)}.",
        *(f"- {violation.kind}: {violation.what}" for violation in report.violations),
    ]
    return "\n".join(lines)
