"""`rollcall fleet`: thousands of simulated terminals against a running system, and what it cost. Linux only: it reads
/proc, and uses the whole of 127.0.0.0/8 as source addresses."""

import asyncio
import json
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import click
from nats.js.errors import Error as JetStreamError

from rollcall.keys import Keys
from rollcall.local import CannotStart
from rollcall.office import BY, bus_of, need_running
from rollcall.running import Running
from shared.bus import Bus, connect
from shared.bus.topology import PRESENCE
from shared.contracts.devices import MAX_BULK, AddDevices, IssuedSecrets, NewDevice, RemoveDevices
from shared.contracts.hubs import Presence
from shared.contracts.terminals import TerminalPush
from shared.errors import Unavailable
from shared.evaluation.plots import Curve, lines
from shared.runtime import background
from terminal.fleet import SENT_AT, Report, Squad, rss_kib

SPARE_FILES = 500
"""files that a process needs beside its terminals' sockets"""
PER_SOURCE = 8_000
"""terminals from one source address: it has 28,000 ports, and those of lost connections rest for a minute"""
LONGEST_WAIT_S = 300.0
"""for the whole fleet to be online; then the run goes on with those that are"""
TRIES = 5
"""to register a thousand"""
ADDRESSED = 1_000
"""terminals that results are pushed to"""
TICKS_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """What `rollcall fleet` can be told."""

    terminals: int
    seconds: float = 60.0
    processes: int = 0
    """0: as few as the limit of open files allows"""
    ramp_s: float = 0.0
    pushes: float = 0.0
    """results pushed a second"""
    storm: bool = False
    keep: bool = False
    out: Path | None = None


@dataclass(slots=True)
class Worker:
    """A process with a squad, and its last report."""

    process: asyncio.subprocess.Process
    said: Report = field(default_factory=Report)


@dataclass(slots=True)
class Samples:
    """Times of one phase in milliseconds, as the workers thinned them."""

    connect: list[float] = field(default_factory=list)
    echo: list[float] = field(default_factory=list)
    push: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor seconds and resident KiB of a group of processes."""

    cpu_s: float
    rss_kib: int


@dataclass(slots=True)
class Moment:
    """The whole fleet at a time, in seconds since the beginning."""

    at: float
    online: int
    hubs: Usage
    fleet: Usage


class Fleet:
    """The workers together: what they report, and how it went."""

    def __init__(self, workers: Sequence[Worker], hub_pids: Callable[[], list[int]]) -> None:
        self._workers, self._hub_pids = workers, hub_pids
        self._began = time.monotonic()
        self.samples = Samples()
        self.history: list[Moment] = []

    @property
    def online(self) -> int:
        return sum(worker.said.online for worker in self._workers)

    @property
    def welcomed(self) -> int:
        return sum(worker.said.welcomed for worker in self._workers)

    @property
    def dropped(self) -> int:
        return sum(worker.said.dropped for worker in self._workers)

    @property
    def failed(self) -> Counter[str]:
        return sum((Counter(worker.said.failed) for worker in self._workers), Counter())

    async def listen(self, worker: Worker) -> None:
        """Take a worker's reports until it ends. Raises CannotStart when it ends by itself."""
        while line := await _stdout(worker).readline():
            worker.said = said = Report.model_validate_json(line)
            self.samples.connect += said.connect_ms
            self.samples.echo += said.echo_ms
            self.samples.push += said.push_ms
        raise CannotStart(f"a process of the fleet ended with status {await worker.process.wait()}")

    async def watch(self, every_s: float = 1.0) -> None:
        """Keep the history, and show it now and then."""
        while True:
            now = self.moment()
            self.history.append(now)
            if len(self.history) % 5 == 1:
                click.echo(
                    f"{now.at:6.0f} s {now.online:7} online {self.dropped:7} lost {self.failed.total():7} tries failed"
                    f", hubs {now.hubs.rss_kib // 1024} MiB, fleet {now.fleet.rss_kib // 1024} MiB"
                )
            await asyncio.sleep(every_s)

    def moment(self) -> Moment:
        fleet = Usage(
            sum(worker.said.cpu_s for worker in self._workers), sum(worker.said.rss_kib for worker in self._workers)
        )
        return Moment(time.monotonic() - self._began, self.online, usage(self._hub_pids()), fleet)

    async def until_online(self, wanted: int, welcomed: int = 0) -> float:
        """Seconds until so many are online, and so many were welcomed; at most LONGEST_WAIT_S."""
        began = time.monotonic()
        while (self.online < wanted or self.welcomed < welcomed) and time.monotonic() - began < LONGEST_WAIT_S:
            await asyncio.sleep(0.1)
        return time.monotonic() - began

    def new_phase(self) -> Samples:
        """The samples so far; the next phase begins with none."""
        samples, self.samples = self.samples, Samples()
        return samples


def _stdout(worker: Worker) -> asyncio.StreamReader:
    if worker.process.stdout is None:
        raise CannotStart("a process of the fleet has no output")
    return worker.process.stdout


async def fleet(data: Path, options: FleetOptions) -> None:
    """Register the fleet, run it, say what happened, and remove it again."""
    running = need_running(data)
    processes = options.processes or -(-options.terminals // (_file_limit() - SPARE_FILES))
    if options.terminals / processes > _file_limit() - SPARE_FILES:
        raise CannotStart(f"A process may open {_file_limit()} files here; give --processes a larger number.")
    async with bus_of(data) as bus, _registered(bus, options) as (ids, terminals), AsyncExitStack() as stack:
        workers = await stack.enter_async_context(_workers(running, terminals, processes, options.ramp_s))
        crowd = Fleet(workers, lambda: hub_pids(running))
        async with background(crowd.watch(), *map(crowd.listen, workers)):
            table = await _phases(crowd, data, running, ids, options)
    click.echo(table)
    if options.out is not None:
        await asyncio.to_thread(_write, options.out, table, crowd.history)


async def _phases(crowd: Fleet, data: Path, running: Running, ids: Sequence[int], options: FleetOptions) -> str:
    """Ramp, steady, pushes, storm; the table."""
    empty = crowd.moment()
    took = await crowd.until_online(options.terminals)
    up, connects = crowd.moment(), crowd.new_phase()
    rows = [
        ("terminals online", f"{up.online:,} of {options.terminals:,}"),
        ("until all were online", f"{took:.1f} s"),
        ("one terminal's way in", percentiles(connects.connect)),
        ("tries that failed", failures(crowd.failed)),
        (
            "processor per terminal: hubs, fleet",
            f"{_each_ms(empty.hubs, up.hubs, up.online)}, {_each_ms(empty.fleet, up.fleet, up.online)}",
        ),
    ]
    calm = crowd.moment()
    await asyncio.sleep(options.seconds)
    held, echoes = crowd.moment(), crowd.new_phase()
    rows += [
        (f"online after {options.seconds:.0f} s", f"{held.online:,}, lost {crowd.dropped:,}"),
        (
            "memory per terminal: hubs, fleet",
            f"{_kib_each(held.hubs, held.online)}, {_kib_each(held.fleet, held.online)}",
        ),
        ("of one core while idle: hubs, fleet", f"{share(calm, held, 'hubs')}, {share(calm, held, 'fleet')}"),
        ("ping to pong", percentiles(echoes.echo)),
    ]
    if options.pushes:
        sent = await _push(data, running, ids, options)
        await asyncio.sleep(2)
        pushes = crowd.new_phase().push
        rows.append((f"result pushed to its terminal, {options.pushes:.0f}/s, {sent:,} sent", percentiles(pushes)))
    if options.storm:
        rows += await _storm(crowd, running, options)
    return "\n".join(("| | |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)))


async def _storm(crowd: Fleet, running: Running, options: FleetOptions) -> list[tuple[str, str]]:
    """kill -9 of every hub process, at once."""
    before, failed = crowd.welcomed, crowd.failed
    online = crowd.online
    victims = hub_pids(running)
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    click.echo(f"killed {len(victims)} hub process(es)")
    took = await crowd.until_online(online, before + online)
    return [
        (f"all back after kill -9 of {len(victims)} hubs", f"{took:.1f} s ({crowd.online:,} online)"),
        ("tries that failed meanwhile", failures(crowd.failed - failed)),
        ("one terminal's way in, in the storm", percentiles(crowd.new_phase().connect)),
    ]


async def _push(data: Path, running: Running, ids: Sequence[int], options: FleetOptions) -> int:
    """Results for ADDRESSED terminals, evenly over `seconds` / 3, sent as the gateway sends them; how many."""
    async with connect(running.nats_url, "gateway", Keys.of(data).broker["gateway"]) as bus:
        chosen = Random(1).sample(list(ids), min(ADDRESSED, len(ids)))  # noqa: S311 - a sample, no secret
        subjects = [subject for subject in [await _address(bus, device_id) for device_id in chosen] if subject]
        count = int(options.pushes * options.seconds / 3) if subjects else 0
        began = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / options.pushes - time.monotonic()))
            device_id, subject = subjects[number % len(subjects)]
            text = json.dumps({"type": "result", SENT_AT: time.monotonic_ns(), "faces": []})
            await bus.publish(subject, TerminalPush(device_id=device_id, text=text))
    return count


async def _address(bus: Bus, device_id: int) -> tuple[int, str] | None:
    """Where to push to a terminal, as the bucket `presence` says."""
    try:
        entry = await (await bus.js.key_value(PRESENCE)).get(str(device_id))
    except (JetStreamError, TimeoutError):
        return None
    return device_id, TerminalPush.subject_for(Presence.decode(entry.value or b"").hub, str(device_id))


# ---- starting


@asynccontextmanager
async def _registered(bus: Bus, options: FleetOptions) -> AsyncIterator[tuple[list[int], list[tuple[str, str]]]]:
    """The fleet's ids, and its serial numbers with their secrets."""
    new = [NewDevice(name=f"fleet {n:05}", sn=f"FLEET-{n:05}") for n in range(1, options.terminals + 1)]
    ids: list[int] = []
    terminals: list[tuple[str, str]] = []
    began = time.monotonic()
    try:
        for first in range(0, len(new), MAX_BULK):
            part = tuple(new[first : first + MAX_BULK])
            issued = await _add(bus, AddDevices(devices=part, by=BY))
            ids += issued.ids
            terminals += zip((device.sn for device in part), issued.secrets, strict=True)
        click.echo(f"{len(ids)} terminals registered in {time.monotonic() - began:.1f} s")
        yield ids, terminals
    finally:
        for first in range(0, 0 if options.keep else len(ids), MAX_BULK):
            await bus.ask(RemoveDevices(ids=tuple(ids[first : first + MAX_BULK]), by=BY))


async def _add(bus: Bus, asked: AddDevices) -> IssuedSecrets:
    """Safe to repeat: the same terminals get other secrets."""
    for _ in range(TRIES - 1):
        try:
            return await bus.ask(asked)
        except Unavailable:
            await asyncio.sleep(1)
    return await bus.ask(asked)


@asynccontextmanager
async def _workers(
    running: Running, terminals: list[tuple[str, str]], processes: int, ramp_s: float
) -> AsyncIterator[list[Worker]]:
    """The processes, each with its part of the fleet; they end with their stdin."""
    workers: list[Worker] = []
    try:
        for number in range(processes):
            part = tuple(terminals[number::processes])
            addresses = range(1, 2 + len(part) // PER_SOURCE)
            sources = tuple(f"127.1.{number}.{n}" for n in addresses) if "//127." in running.hub_url else ()
            squad = Squad(hub=running.hub_url, terminals=part, sources=sources, ramp_s=ramp_s)
            workers.append(Worker(await _start(squad)))
        yield workers
    finally:
        for worker in workers:
            if worker.process.stdin is not None:
                worker.process.stdin.close()
        await asyncio.gather(*(worker.process.wait() for worker in workers))


async def _start(squad: Squad) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "terminal.fleet",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    if process.stdin is not None:
        process.stdin.write(squad.model_dump_json().encode() + b"\n")
        await process.stdin.drain()
    return process


def _file_limit() -> int:
    """Files that a process may open, after asking for as many as there may be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


# ---- measuring


def hub_pids(running: Running) -> list[int]:
    """The hub processes of this system: children of its supervisor."""
    children = _text(f"/proc/{running.pid}/task/{running.pid}/children").split()
    return [int(pid) for pid in children if "\0device_hub\0" in _text(f"/proc/{pid}/cmdline")]


def usage(pids: Sequence[int]) -> Usage:
    """Of these processes together."""
    return Usage(sum(map(_cpu_s, pids)), sum(map(rss_kib, pids)))


def _cpu_s(pid: int) -> float:
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_S if fields else 0.0


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # the process is gone
        return ""


def percentiles(times: Sequence[float]) -> str:
    """Median and 99 %, from milliseconds."""
    if not times:
        return "–"
    ordered = sorted(times)
    median, late = (ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99))
    return f"p50 {median:,.1f} ms, p99 {late:,.1f} ms"


def failures(failed: Counter[str]) -> str:
    """How many for which reason."""
    return ", ".join(f"{reason}: {count:,}" for reason, count in failed.most_common()) or "none"


def share(first: Moment, last: Moment, whose: str) -> str:
    """The part of one core that was used between two moments."""
    used = getattr(last, whose).cpu_s - getattr(first, whose).cpu_s
    return f"{used / max(0.001, last.at - first.at) * 100:.1f} %"


def _each_ms(first: Usage, last: Usage, count: int) -> str:
    return f"{(last.cpu_s - first.cpu_s) / max(1, count) * 1e3:.2f} ms"


def _kib_each(used: Usage, count: int) -> str:
    return f"{used.rss_kib / max(1, count):.1f} KiB"


def _write(folder: Path, table: str, history: Sequence[Moment]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fleet.md").write_text(table + "\n")
    seconds = [moment.at for moment in history]
    online = Curve("terminals online", seconds, [moment.online for moment in history])
    svg = lines(f"{max(online.y, default=0):,.0f} terminals", "seconds", "terminals online", [online])
    (folder / "fleet.svg").write_text(svg)
    click.echo(f"wrote {folder}/fleet.md and fleet.svg")
