"""What a punch costs: from "somebody was recognised" to "it is in the database, and everybody has heard".

    python -m bench.punches [--punches 2000] [--per-second 20] [--database mysql://…]

A whole local system; this process says what recognizers say and hears what gateways hear. First at a calm rate
(milliseconds from saying to hearing, each written and synced before it is heard), then as fast as it takes them.
"""

import asyncio
import os
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import click
import numpy as np

from rollcall.local import Options, free_port, local_system
from shared.bus import Bus, connect
from shared.contracts.attendance import AttendanceRecorded
from shared.contracts.base import now
from shared.contracts.library import EnrolledFace
from shared.contracts.people import Gender, RegisterStudent
from shared.contracts.recognition import Identified, SourceKind

STUDENTS = 50
APART = timedelta(hours=1)
"""between two sightings of one student: far more than counts as one punch"""
AT_ONCE = 64
"""said and not yet stored by the broker"""
PATIENCE_S = 120.0
TICKS = os.sysconf("SC_CLK_TCK")


class Ears:
    """When each punch was heard of."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self._more = asyncio.Event()

    async def hear(self, event: AttendanceRecorded, _: str) -> None:
        """evt.attendance.recorded"""
        self.at[event.identified_event] = time.perf_counter()
        self._more.set()

    async def all(self, count: int) -> None:
        """Wait for so many; raises TimeoutError after PATIENCE_S."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.at) < count:
                self._more.clear()
                await self._more.wait()


async def register(bus: Bus) -> list[int]:
    """Students with made-up faces; their ids."""
    dice = np.random.default_rng(1)
    ids = []
    for number in range(STUDENTS):
        vector = dice.standard_normal(128).astype("<f4")
        face = EnrolledFace(
            model="bench",
            embedding=(vector / np.linalg.norm(vector)).tobytes(),
            jpeg=b"\xff\xd8" + dice.bytes(2_000),
            box=(0, 0, 100, 100),
        )
        student = RegisterStudent(num=f"B{number}", name=f"B{number}", class_name="B", gender=Gender.MAN, face=face)
        ids.append((await bus.ask(student)).person.student_id)
    return ids


def sightings(students: list[int], count: int) -> list[Identified]:
    """Each a punch of its own; those of one student in the order of their times."""
    begin = now() - APART * (2 + count // len(students))
    return [
        Identified(
            frame_id=f"f{number}",
            student_id=students[number % len(students)],
            place="bench",
            kind=SourceKind.DEVICE,
            source="device-1",
            captured_at=begin + APART * (number // len(students)),
            score=99.0,
        )
        for number in range(count)
    ]


async def at_a_rate(bus: Bus, ears: Ears, events: list[Identified], per_second: float) -> list[float]:
    """Milliseconds from saying to hearing."""
    said: dict[str, float] = {}
    began = time.perf_counter()
    for number, event in enumerate(events):
        await asyncio.sleep(began + number / per_second - time.perf_counter())
        said[event.event_id] = time.perf_counter()
        await bus.record(event)
    await ears.all(len(events))
    return [(ears.at[event_id] - at) * 1e3 for event_id, at in said.items()]


async def at_once(bus: Bus, ears: Ears, events: list[Identified]) -> float:
    """Seconds until the last is heard of."""
    before, began, room = len(ears.at), time.perf_counter(), asyncio.Semaphore(AT_ONCE)

    async def say(event: Identified) -> None:
        async with room:
            await bus.record(event)

    await asyncio.gather(*map(say, events))
    await ears.all(before + len(events))
    return time.perf_counter() - began


def cpu_s(pid: int) -> float:
    """Processor time of a process until now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def measure(punches: int, per_second: float, database: str) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        options = Options(
            data=Path(folder) / "data", port=free_port(), hub_port=free_port(), recognizers=1, database=database
        )
        async with local_system(options, lambda name, line: None, lambda line: None) as system:
            url, keys = system.running.nats_url, system.keys.broker
            async with (
                connect(url, "recognizer", keys["recognizer"]) as says,
                connect(url, "gateway", keys["gateway"]) as hears,
            ):
                ears = Ears()
                await hears.follow(AttendanceRecorded.subject, AttendanceRecorded, ears.hear)
                students = await register(hears)
                calm = max(50, punches // 10)
                events = sightings(students, calm + punches)
                took = np.percentile(await at_a_rate(says, ears, events[:calm], per_second), (50, 99))
                processes = {"registry": system.children["registry"].process, "nats-server": system.broker.process}
                pids = {name: process.pid for name, process in processes.items() if process}
                before = {name: cpu_s(pid) for name, pid in pids.items()}
                seconds = await at_once(says, ears, events[calm:])
                spent = {name: (cpu_s(pid) - before[name]) / punches * 1e3 for name, pid in pids.items()}
    click.echo("| punches | |\n|---|---|")
    click.echo(f"| said to heard at {per_second:.0f}/s, p50 / p99 | {took[0]:.0f} / {took[1]:.0f} ms |")
    click.echo(f"| {punches:,} at once | {punches / seconds:.0f}/s |")
    for name, each in spent.items():
        click.echo(f"| processor of {name} for each, then | {each:.2f} ms |")


@click.command()
@click.option("--punches", type=click.IntRange(100, 1_000_000), default=2_000, show_default=True)
@click.option("--per-second", type=click.FloatRange(1, 1_000), default=20, show_default=True)
@click.option("--database", default="", help="mysql://user:password@host/name  [default: SQLite]")
def main(punches: int, per_second: float, database: str) -> None:
    """Measure what a punch costs."""
    asyncio.run(measure(punches, per_second, database))


if __name__ == "__main__":
    main()
