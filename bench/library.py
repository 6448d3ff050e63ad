"""How long a recognizer takes to load a library, and how much memory it needs.

Pages of 2,000 users with one face each (random unit vectors) go through the messages that the registry sends. Each
size in a process of its own, in seconds of the processor, so that other work on the machine adds little to them;
`--broker` sends the pages through a real nats-server to the recognizer's own loader and takes the time on the clock.
"""

import asyncio
import gc
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from recognizer.gallery import Gallery
from recognizer.index import Index
from recognizer.library import Library
from rollcall.broker import start_broker, stop_broker
from rollcall.local import free_port
from shared.bus import connect
from shared.bus.topology import NEEDS
from shared.contracts.gallery import FaceRow, GalleryFaces, GroupUsers, LibraryChanges, LibraryDelta, UserRow
from shared.contracts.recognition import Hunt
from shared.vision.embedder import DIMENSIONS, model_id

MODEL = model_id(flip=False)
PAGE = 2_000
WHERE = Hunt(app_id=1, groups=("students",), users=5)


def vectors(count: int, seed: int) -> np.ndarray:
    """Random unit vectors."""
    drawn = np.random.default_rng(seed).standard_normal((count, DIMENSIONS)).astype(np.float32)
    unit: np.ndarray = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


def page(first: int, last: int, head: int, *, students: bool) -> LibraryDelta:
    """Users `first` to `last`, one face each; the revision is the last one's number."""
    numbers = range(first, last + 1)
    users = [UserRow(n, f"2026{n:07d}", f"学生 {n}", n if students else 0) for n in numbers]
    faces = [FaceRow(n, n, vector.tobytes()) for n, vector in zip(numbers, vectors(len(numbers), first), strict=True)]
    return LibraryDelta(
        revision=last,
        head=head,
        users=(GroupUsers.of(1, 1, "students", users),),
        faces=(GalleryFaces.of(MODEL, faces),),
    )


def pages(count: int, *, students: bool) -> Iterator[bytes]:
    """All of a library, as sent."""
    for first in range(1, count + 1, PAGE):
        yield page(first, min(first + PAGE - 1, count), count, students=students).encode()


def resident() -> float:
    """Megabytes of this process that are in memory."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


class Holder:
    """What the local engine holds of a library, without its networks."""

    def __init__(self) -> None:
        self.gallery, self.index = Gallery(MODEL), Index(MODEL)
        self.decoding = self.in_gallery = self.in_index = 0.0

    def read(self, message: bytes) -> LibraryDelta:
        """A page from the wire."""
        start = time.process_time()
        delta = LibraryDelta.decode(message)
        self.decoding += time.process_time() - start
        return delta

    def take(self, delta: LibraryDelta) -> None:
        """A page into both."""
        start = time.process_time()
        self.gallery.apply(delta)
        middle = time.process_time()
        self.index.apply(delta)
        self.in_gallery += middle - start
        self.in_index += time.process_time() - middle


def milliseconds(work: object) -> float:
    """Of one call, of processor time."""
    start = time.process_time()
    work()  # type: ignore[operator]
    return (time.process_time() - start) * 1000


def load(count: int, students: bool) -> str:
    """One line of the table."""
    before, holder, size = resident(), Holder(), 0
    for message in pages(count, students=students):
        size += len(message)
        holder.take(holder.read(message))
    held = resident() - before
    probe, new = vectors(1, 10**9), page(count + 1, count + 1, count + 1, students=students)
    search = min(milliseconds(lambda: holder.gallery.search(probe, WHERE)) for _ in range(5))
    add = milliseconds(lambda: holder.take(new))
    drop = milliseconds(lambda: holder.take(LibraryDelta(revision=count + 2, head=count + 2, removed_groups=(1,))))
    assert len(holder.gallery) == len(holder.index) == 0
    who = "students" if students else "users"
    seconds = [holder.decoding, holder.in_gallery, holder.in_index]
    cells = [f"{count:,} {who}", f"{size / 1e6:,.0f}", *(f"{s:.2f}" for s in (*seconds, sum(seconds)))]
    cells += [f"{held:,.0f}", f"{held * 1e6 / count:,.0f}", f"{search:.1f}", f"{add:.1f}", f"{drop:.0f}"]
    return "| " + " | ".join(cells) + " |"


class Loaded(Holder):
    """The holder as the engine that the recognizer's loader fills."""

    @property
    def revision(self) -> int:
        return self.index.revision

    async def apply(self, delta: LibraryDelta) -> None:
        await asyncio.to_thread(self.take, delta)

    async def reset(self) -> None:
        raise RuntimeError("nothing is restored here")

    async def answer(self, frame: object) -> None:
        raise RuntimeError("nobody asks here")


async def through_the_broker(count: int) -> str:
    """Seconds for the recognizer's own loader; the pages are made as they are asked for."""
    passwords = dict.fromkeys(NEEDS, "bench")
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        broker = await start_broker(Path(folder), port=port, monitor_port=free_port(), passwords=passwords)
        url = f"nats://127.0.0.1:{port}"
        try:
            async with connect(url, "registry", "bench") as registry, connect(url, "recognizer", "bench") as bus:
                making = 0.0

                async def changes(command: LibraryChanges) -> LibraryDelta:
                    nonlocal making
                    start = time.perf_counter()
                    last = min(command.since + command.limit, count)
                    made = page(command.since + 1, last, count, students=False)
                    making += time.perf_counter() - start
                    return made

                await registry.serve(LibraryChanges, changes)
                engine, start = Loaded(), time.perf_counter()
                await Library(bus, engine, "bench").load()  # type: ignore[arg-type]
                took = time.perf_counter() - start
                assert len(engine.gallery) == count
                return f"{count:,} users through a nats-server: {took:.2f} s, of which {making:.2f} s made the pages"
        finally:
            await stop_broker(broker)


@click.command(help=__doc__)
@click.argument("faces", nargs=-1, type=int)
@click.option("--students", is_flag=True, help="every user is a student: in the door's index too")
@click.option("--broker", is_flag=True, help="through a real nats-server")
def main(faces: tuple[int, ...], students: bool, broker: bool) -> None:
    """Command line."""
    sizes = faces or (10_000, 100_000, 1_000_000)
    if broker:
        for count in sizes:
            print(asyncio.run(through_the_broker(count)))
        return
    print("| library | MB sent | decode s | gallery s | index s | load s | MB held | bytes a face |", end="")
    print(" search ms | add one ms | drop group ms |\n" + "|---" * 11 + "|")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as own:
        for count in sizes:
            print(own.apply(load, (count, students)), flush=True)


if __name__ == "__main__":
    main()
