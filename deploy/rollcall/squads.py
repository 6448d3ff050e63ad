"""The processes of `rollcall fleet`, each with its squad of simulated terminals: registered, started, listened to."""

import asyncio
import resource
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import click

from rollcall.fleet_figures import Moment, Samples, Usage, usage
from rollcall.local import CannotStart
from rollcall.office import BY
from rollcall.running import Running
from shared.bus import Bus
from shared.contracts.devices import MAX_BULK, AddDevices, IssuedSecrets, NewDevice, RemoveDevices
from shared.errors import Unavailable
from terminal.fleet import Squad
from terminal.tally import Report

SPARE_FILES = 500
"""files that a process needs beside its terminals' sockets"""
PER_SOURCE = 8_000
"""terminals from one source address: it has 28,000 ports, and those of lost connections rest for a minute"""
LONGEST_WAIT_S = 300.0
"""for the whole fleet to be somewhere; then the run goes on with those that are"""
TRIES = 10
"""to register a thousand"""


@dataclass(slots=True)
class Worker:
    """A process with a squad, and its last report."""

    process: asyncio.subprocess.Process
    said: Report = field(default_factory=Report)


class Crowd:
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

    @property
    def taken(self) -> int:
        """Configurations taken over."""
        return sum(worker.said.taken for worker in self._workers)

    async def until_online(self, wanted: int, welcomed: int = 0) -> float:
        """Seconds until so many are online, and so many were welcomed; at most LONGEST_WAIT_S."""
        return await self._until(lambda: self.online >= wanted and self.welcomed >= welcomed)

    async def until_taken(self, wanted: int) -> float:
        """When so many configurations had been taken over, by the machine's monotonic clock in seconds; after at most
        LONGEST_WAIT_S, when the last one was."""
        await self._until(lambda: self.taken >= wanted)
        return max((worker.said.taken_at for worker in self._workers), default=0.0)

    async def _until(self, holds: Callable[[], bool]) -> float:
        began = time.monotonic()
        while not holds() and time.monotonic() - began < LONGEST_WAIT_S:
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


# ---- starting


def name_of(number: int) -> str:
    """What a simulated terminal is called."""
    return f"fleet {number:05}"


@asynccontextmanager
async def registered(bus: Bus, count: int, *, keep: bool) -> AsyncIterator[tuple[list[int], list[tuple[str, str]]]]:
    """The fleet's ids, and its serial numbers with their secrets."""
    new = [NewDevice(name=name_of(n), sn=f"FLEET-{n:05}") for n in range(1, count + 1)]
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
        for first in range(0, 0 if keep else len(ids), MAX_BULK):
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
async def at_work(
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


def file_limit() -> int:
    """Files that a process may open, after asking for as many as there may be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
