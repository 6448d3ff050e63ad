"""One, two, three recognizers: how much faster, how fair, how fresh. Beside two plain NATS queues in the same run.

    python -m bench.scale [--recognizers 1,2,3] [--seconds 10] [--sources 100] [--stand-in]

The sources live in this process and send sample photos as 640×480 JPEGs. With the real engine, Rollcall is a whole
local system with its recognizer processes; the others are as many processes with the same engine on another
nats-server. Each phase measures everybody in turn: all sources always waiting (frames/s); half of what the fastest
took (milliseconds from capture to answer); five times that, sent by the clock (age, fairness). "Age" is from capture
until work on the picture begins, with the way back of the answer. `--stand-in`: an engine that only sleeps 20 ms,
which shows what the queues do where each recognizer has a core of its own.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from random import Random

import click
import numpy as np

from bench.queues import READY, STAND_IN_S, Job, Way, plain, turns
from bench.recognizer import camera_frames
from rollcall.broker import find_server, start_broker, stop_broker
from rollcall.local import Options, free_port, local_system
from shared.bus.topology import NEEDS
from shared.contracts.base import now
from shared.contracts.recognition import Frame, Result, SourceKind
from shared.runtime import background

OVERLOAD = 5
"""times what the fastest can take"""
HALF = 0.5
WARM_S = 3.0
"""Answers of the first seconds are not counted."""
EACH = 20
"""How often a source is served in the overload at least, on average: with less, whole numbers alone look unfair."""
JITTER = 0.1
"""A camera's clock is no better."""
QUIET_S = 1.5
PATIENCE_S = 90.0


@dataclass(slots=True)
class Heard:
    """The answers of one phase."""

    began_at: float
    latency_ms: list[float] = field(default_factory=list)
    age_ms: list[float] = field(default_factory=list)
    served: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Row:
    """What one way did with one number of recognizers."""

    capacity: float = 0.0
    calm: tuple[float, float] = (0.0, 0.0)
    """p50, p99 in ms"""
    overload: float = 0.0
    age: tuple[float, float] = (0.0, 0.0)
    periods: float = 0.0
    """age p99 in periods of a source"""
    jain: float = 0.0
    served: tuple[int, int] = (0, 0)
    """least, most"""


class Cameras:
    """All sources, and what is answered to them. `phase` tells the answers of one phase from those of another."""

    def __init__(self, jpegs: Sequence[bytes], sources: int, dice: Random) -> None:
        self._jpegs, self._dice = jpegs, dice
        self.names = [f"camera-{number}" for number in range(sources)]
        self._numbers = count()
        self._phase = ""
        self._heard, self._heard_at = Heard(0.0), 0.0
        self._answered: Callable[[str], None] = lambda _: None

    def hear(self, result: Result) -> None:
        """An answer came."""
        self._heard_at = time.monotonic()
        if not result.frame_id.startswith(self._phase):
            return
        self._answered(result.source)
        if time.monotonic() < self._heard.began_at:
            return
        took = (now() - result.captured_at).total_seconds() * 1000
        self._heard.latency_ms.append(took)
        self._heard.age_ms.append(took - result.took_ms)
        self._heard.served[result.source] += 1

    async def always_waiting(self, way: Way, seconds: float) -> Heard:
        """Each source sends its next picture when it has the answer to the last."""
        wanted: asyncio.Queue[str] = asyncio.Queue()

        async def send_all() -> None:
            for source in self.names:
                wanted.put_nowait(source)
            while True:
                await self._send(way, await wanted.get())

        return await self._measure(way, seconds, send_all, wanted.put_nowait)

    async def by_the_clock(self, way: Way, seconds: float, period_s: float) -> Heard:
        """Each source sends every `period_s`, whatever comes back."""

        async def camera(source: str) -> None:
            due = time.monotonic() + period_s * self._dice.random()
            while True:
                await asyncio.sleep(due - time.monotonic())
                due += period_s * self._dice.uniform(1 - JITTER, 1 + JITTER)
                await self._send(way, source)

        async def send_all() -> None:
            async with asyncio.TaskGroup() as group:
                for source in self.names:
                    group.create_task(camera(source))

        return await self._measure(way, seconds, send_all, lambda _: None)

    async def quiet(self) -> None:
        """Return when what was still under way has been answered or given up."""
        while time.monotonic() - self._heard_at < QUIET_S:
            await asyncio.sleep(0.1)

    async def _measure(
        self, way: Way, seconds: float, send_all: Callable[[], object], answered: Callable[[str], None]
    ) -> Heard:
        self._phase = f"p{next(self._numbers)}-"
        self._heard, self._answered = Heard(time.monotonic() + WARM_S), answered
        async with background(send_all()):
            await asyncio.sleep(WARM_S + seconds)
        heard, self._heard, self._phase = self._heard, Heard(float("inf")), "between phases"
        way.forget()
        return heard

    async def _send(self, way: Way, source: str) -> None:
        await way.send(
            Frame(
                frame_id=f"{self._phase}{next(self._numbers)}",
                source=source,
                kind=SourceKind.WEB,
                place="bench",
                deadline=now() + timedelta(seconds=5),
                streaming=True,
                jpeg=self._dice.choice(self._jpegs),
            )
        )


def jain(served: Sequence[int]) -> float:
    """Jain's index of fairness: 1 when all got the same, 1/n when one got all. 0 when nobody got anything."""
    squares = sum(x * x for x in served)
    return sum(served) ** 2 / (len(served) * squares) if squares else 0.0


@asynccontextmanager
async def workers(jobs: Sequence[Job]) -> AsyncIterator[None]:
    """A process for each while inside; yields when all are ready."""
    processes = []
    try:
        for job in jobs:
            command = [sys.executable, "-m", "bench.queues", job.model_dump_json()]
            processes.append(await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE))
        async with asyncio.timeout(PATIENCE_S):
            for process in processes:
                if process.stdout is None or (await process.stdout.readline()).strip() != READY.encode():
                    raise click.ClickException("a worker did not start")
        yield
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


@asynccontextmanager
async def plain_server(folder: Path) -> AsyncIterator[str]:
    """A nats-server with JetStream and nothing else set; its URL."""
    port, store = free_port(), folder / "plain"
    command = [str(find_server()), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(store), "-l", f"{store}.log"]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await _listens(port):
                await asyncio.sleep(0.05)
        yield f"nats://127.0.0.1:{port}"
    finally:
        await stop_broker(process)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def rollcall(folder: Path, recognizers: int, cameras: Cameras, stand_in: bool) -> AsyncIterator[Way]:
    """The system, and a way into it."""
    async with AsyncExitStack() as stack:
        if stand_in:
            passwords = dict.fromkeys(NEEDS, "bench")
            port = free_port()
            broker = await start_broker(folder / "nats", port=port, monitor_port=free_port(), passwords=passwords)
            stack.push_async_callback(stop_broker, broker)
            url = f"nats://127.0.0.1:{port}"
            jobs = [Job(way="turns", url=url, password="bench", stand_in=True) for _ in range(recognizers)]
            way = await stack.enter_async_context(turns(url, "bench", cameras.hear))
            await stack.enter_async_context(workers(jobs))
            yield way
            return
        options = Options(data=folder / "data", port=free_port(), hub_port=free_port(), recognizers=recognizers)
        system = await stack.enter_async_context(local_system(options, lambda name, line: None, lambda line: None))
        yield await stack.enter_async_context(
            turns(system.running.nats_url, system.keys.broker["gateway"], cameras.hear)
        )


@asynccontextmanager
async def everybody(folder: Path, recognizers: int, cameras: Cameras, stand_in: bool) -> AsyncIterator[list[Way]]:
    """All three ways, each with so many recognizers, which are idle but for the one that is measured."""
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(rollcall(folder, recognizers, cameras, stand_in))
        url = await stack.enter_async_context(plain_server(folder))
        others = await stack.enter_async_context(plain(url, cameras.hear))
        jobs = [Job(way="latest", url=url, stand_in=stand_in) for _ in range(recognizers)]
        jobs += [Job(way="group", url=url, stand_in=stand_in) for _ in range(recognizers)]
        await stack.enter_async_context(workers(jobs))
        yield [ours, *others]


async def measure(ways: Sequence[Way], cameras: Cameras, seconds: float) -> dict[str, Row]:
    """All phases, each of everybody before the next."""
    rows = {way.name: Row() for way in ways}
    for way in ways:
        heard = await cameras.always_waiting(way, seconds)
        rows[way.name].capacity = len(heard.latency_ms) / seconds
        await cameras.quiet()
    best = max(row.capacity for row in rows.values())
    if not best:
        raise click.ClickException(f"nobody recognised anything within {seconds:.0f} s: give --seconds more")
    for way in ways:
        heard = await cameras.by_the_clock(way, seconds, len(cameras.names) / (HALF * best))
        rows[way.name].calm = _percentiles(heard.latency_ms)
        await cameras.quiet()
    period = len(cameras.names) / (OVERLOAD * best)
    long = max(seconds, EACH * len(cameras.names) / best)
    for way in ways:
        row, heard = rows[way.name], await cameras.by_the_clock(way, long, period)
        served = [heard.served[name] for name in cameras.names]
        row.overload = len(heard.latency_ms) / long
        row.age = _percentiles(heard.age_ms)
        row.periods = row.age[1] / 1000 / period
        row.jain, row.served = jain(served), (min(served), max(served))
        if way is not ways[-1]:  # the group's workers still hold minutes of work, and end with it
            await cameras.quiet()
    return rows


def _percentiles(milliseconds: Sequence[float]) -> tuple[float, float]:
    if not milliseconds:
        return float("nan"), float("nan")
    p50, p99 = np.percentile(milliseconds, (50, 99))
    return float(p50), float(p99)


HEAD = (
    "| recognizers | queue | frames/s | × one | capture → answer at half, p50 / p99 ms | ×5: frames/s "
    "| age at work, p50 / p99 ms | p99 in periods | Jain | served, least – most |\n" + "|---" * 10 + "|"
)


def line(recognizers: int, name: str, row: Row, one: float) -> str:
    """A row of the table; `one`: frames/s with the first number of recognizers."""
    ratio = row.capacity / one if one else float("nan")
    calm, age = (f"{p50:.0f} / {p99:.0f}" for p50, p99 in (row.calm, row.age))
    return (
        f"| {recognizers} | {name} | {row.capacity:.1f} | {ratio:.2f} | {calm} | {row.overload:.1f} "
        f"| {age} | {row.periods:.2f} | {row.jain:.3f} | {row.served[0]} – {row.served[1]} |"
    )


async def compare(numbers: Sequence[int], seconds: float, sources: int, stand_in: bool, jpegs: Sequence[bytes]) -> None:
    """The whole table, a block as soon as it is measured."""
    click.echo(HEAD)
    ones: dict[str, float] = {}
    for recognizers in numbers:
        cameras = Cameras(jpegs, sources, Random(1))
        with tempfile.TemporaryDirectory(prefix="rollcall-scale-") as folder:
            async with everybody(Path(folder), recognizers, cameras, stand_in) as ways:
                rows = await measure(ways, cameras, seconds)
        for name, row in rows.items():
            click.echo(line(recognizers, name, row, ones.setdefault(name, row.capacity)))


@click.command(help=__doc__)
@click.option("--recognizers", default="1,2,3", show_default=True)
@click.option("--seconds", default=10.0, show_default=True, help="of a phase; the overload takes longer where it must")
@click.option("--sources", default=100, show_default=True)
@click.option("--stand-in", is_flag=True, help="an engine that only sleeps")
@click.option("--cache", type=click.Path(path_type=Path), default=Path(".cache/faces"), show_default=True)
def main(recognizers: str, seconds: float, sources: int, stand_in: bool, cache: Path) -> None:
    """Command line."""
    engine = f"STAND-IN engine ({STAND_IN_S * 1000:.0f} ms of sleep)" if stand_in else "the real engine"
    click.echo(f"{engine}, {sources} sources, {os.cpu_count()} cores, phases of {seconds:.0f} s or more\n")
    numbers = [int(number) for number in recognizers.split(",")]
    asyncio.run(compare(numbers, seconds, sources, stand_in, camera_frames(cache)))


if __name__ == "__main__":
    main()
