"""Three ways from cameras to recognizers over NATS, for bench.scale: Rollcall's turns, a JetStream stream that keeps
the latest picture of each source, and a core queue group. All carry the same messages to the same engine.

    python -m bench.queues '{"way": "group", …}'     a worker, started by bench.scale
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal, Protocol

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import ConsumerConfig, DiscardPolicy, StorageType, StreamConfig
from pydantic import BaseModel, SecretStr

from gateway.frames import Frames
from recognizer.engines import Engine, Outcome
from recognizer.engines.local import local_engine
from recognizer.settings import RecognizerSettings
from recognizer.worker import Worker
from shared.bus import connect
from shared.bus.topology import TURN_WAIT_S
from shared.contracts.gallery import LibraryDelta
from shared.contracts.recognition import Frame, Result
from shared.runtime import background

STREAM = "LATEST"
CONSUMER = "workers"
STAND_IN_S = 0.02
"""what a picture takes in the stand-in engine, in seconds"""
READY = "ready"

Hear = Callable[[Result], None]


class Way(Protocol):
    """The cameras' end of a queue."""

    @property
    def name(self) -> str: ...

    async def send(self, frame: Frame) -> None:
        """Offer the newest picture of a source; never waits for its answer."""

    def forget(self) -> None:
        """The cameras are gone; nothing that still waits is of interest."""


class Turns:
    """Rollcall's own: the gateway's slots and turns."""

    name = "Rollcall: turns, newest frame"

    def __init__(self, frames: Frames, hear: Hear) -> None:
        self._frames, self._hear = frames, hear
        self._sources: set[str] = set()

    async def send(self, frame: Frame) -> None:
        if frame.source not in self._sources:
            self._sources.add(frame.source)
            self._frames.listen(frame.source, self._hear)
        await self._frames.submit(frame)

    def forget(self) -> None:
        for source in self._sources:
            self._frames.leave(source, self._hear)
        self._sources.clear()


class Plain:
    """A picture is a message; who takes it is up to the broker."""

    def __init__(self, name: str, prefix: str, client: Client) -> None:
        self.name, self._prefix, self._client = name, prefix, client

    async def send(self, frame: Frame) -> None:
        await self._client.publish(f"{self._prefix}.{frame.source}", frame.encode())

    def forget(self) -> None:
        """Those of before are known by their time."""


@asynccontextmanager
async def turns(url: str, password: str, hear: Hear) -> AsyncIterator[Way]:
    """A gateway's part, in this process."""
    async with (
        connect(url, "gateway", password, name="bench events") as events,
        connect(url, "gateway", password, name="bench frames", frames=True) as pictures,
    ):
        frames = Frames("bench", events, pictures)
        await frames.start()
        async with background(frames.watch_turns()):
            yield Turns(frames, hear)


@asynccontextmanager
async def plain(url: str, hear: Hear) -> AsyncIterator[tuple[Way, Way]]:
    """The latest-wins stream and the queue group, on one broker."""
    client = await nats.connect(url)

    async def heard(message: Msg) -> None:
        hear(Result.decode(message.data))

    try:
        await client.jetstream().add_stream(
            StreamConfig(
                name=STREAM,
                subjects=["latest.*"],
                storage=StorageType.MEMORY,
                max_msgs_per_subject=1,
                discard=DiscardPolicy.OLD,
                max_age=5,
            )
        )
        await client.jetstream().add_consumer(
            STREAM, ConsumerConfig(durable_name=CONSUMER, ack_wait=TURN_WAIT_S, max_deliver=-1, mem_storage=True)
        )
        await client.subscribe("answer.*", cb=heard)
        yield (
            Plain("JetStream, latest of each source", "latest", client),
            Plain("core queue group", "group", client),
        )
    finally:
        await client.close()


# ---- the workers' end


class Job(BaseModel):
    """What a worker is told."""

    way: Literal["turns", "latest", "group"]
    url: str
    password: str = ""
    stand_in: bool = False
    number: int = 1


class StandIn:
    """An engine that takes STAND_IN_S for a picture, one after another, and no processor: it shows the queues alone."""

    name = "stand-in"
    revision = 0
    waiting = 0
    faces: Mapping[str, int] = {}

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def answer(self, frame: Frame) -> Outcome:
        async with self._turn:
            began = time.perf_counter()
            await asyncio.sleep(STAND_IN_S)
            took_ms = 1000 * (time.perf_counter() - began)
        return Outcome(
            Result(frame_id=frame.frame_id, source=frame.source, captured_at=frame.captured_at, took_ms=took_ms)
        )

    async def apply(self, delta: LibraryDelta) -> None:
        """It has no library."""

    async def reset(self) -> None:
        """It has no library."""

    async def ready(self) -> None:
        """It always is."""


LOOK_AHEAD = RecognizerSettings(nats_password=SecretStr("")).look_ahead


async def work(job: Job) -> None:
    """Take pictures until killed."""
    async with AsyncExitStack() as stack:
        engine = await _engine(stack, job)
        takers = await _takers(stack, job, engine)
        sys.stdout.write(READY + "\n")
        sys.stdout.flush()
        async with background(*takers):
            await asyncio.Event().wait()


async def _engine(stack: AsyncExitStack, job: Job) -> Engine:
    if job.stand_in:
        return StandIn()
    return await stack.enter_async_context(local_engine(RecognizerSettings(nats_password=SecretStr(""))))


async def _takers(stack: AsyncExitStack, job: Job, engine: Engine) -> list[Coroutine[Any, Any, None]]:
    """Loops that pull; none for the group, which is pushed to."""
    if job.way == "turns":
        open_buses = [connect(job.url, "recognizer", job.password, frames=frames) for frames in (False, True)]
        events, frames = [await stack.enter_async_context(bus) for bus in open_buses]
        worker = Worker(events, frames, engine)
        return [worker.run() for _ in range(LOOK_AHEAD)]
    client = await nats.connect(job.url, error_cb=_too_slow)
    stack.push_async_callback(client.close)
    if job.way == "latest":
        return [_take_latest(client, engine) for _ in range(LOOK_AHEAD)]
    await _join_group(client, engine)
    return []


async def _too_slow(error: Exception) -> None:
    """A plain worker drops pictures once its own buffer is full; that is part of what is measured."""


async def _take_latest(client: Client, engine: Engine) -> None:
    pull = await client.jetstream().pull_subscribe_bind(CONSUMER, stream=STREAM)
    while True:
        try:
            (message,) = await pull.fetch(1, timeout=1)
        except NatsTimeout:
            continue
        await _answer(client, engine, message)
        await message.ack()


async def _join_group(client: Client, engine: Engine) -> None:
    async def take(message: Msg) -> None:
        await _answer(client, engine, message)

    await client.subscribe("group.*", queue="workers", cb=take)
    await client.flush()


async def _answer(client: Client, engine: Engine, message: Msg) -> None:
    outcome = await engine.answer(Frame.decode(message.data))
    await client.publish(f"answer.{outcome.result.source}", outcome.result.encode())


if __name__ == "__main__":
    asyncio.run(work(Job.model_validate_json(sys.argv[1])))
