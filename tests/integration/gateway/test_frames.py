"""The gateway's slots and the recognizers' turns together, over a real broker."""

import asyncio
from contextlib import suppress

import pytest
from nats.aio.msg import Msg

from gateway.frames import ANSWER_S, PATIENCE_S, Frames, patience_s
from recognizer.engines import Outcome
from recognizer.worker import Worker
from shared.bus.topology import TURN_AGE_S
from shared.contracts.base import Message
from shared.contracts.gallery import LibraryDelta
from shared.contracts.recognition import Frame, FrameCall, Question, Result, Turn, Want
from shared.errors import Internal, NotAllowed, RollcallError
from shared.runtime import background
from tests.conftest import Broker

JPEG = b"\xff\xd8\xff\xd9"
LONG_S = TURN_AGE_S + PATIENCE_S + 0.5
"""by then the stream has forgotten the turn, and the gateway would ask for another"""


async def passed(seconds: float) -> None:
    """Time is what these tests are about: nothing else happens meanwhile that could be waited for."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


class Engine:
    """Answers after `seconds`; what `breaks` is set for, never."""

    revision = waiting = 0
    name = "local"

    def __init__(self, seconds: float = 0.0, *, breaks: bool = False) -> None:
        self._seconds, self._breaks = seconds, breaks
        self.asked: list[str] = []
        self.taken = asyncio.Event()

    async def answer(self, frame: Frame) -> Outcome:
        self.asked.append(frame.source)
        self.taken.set()
        if self._breaks:
            await asyncio.Event().wait()
        await passed(self._seconds)
        return Outcome(Result(frame_id=frame.frame_id, source=frame.source, captured_at=frame.captured_at))

    async def apply(self, delta: LibraryDelta) -> None:
        raise AssertionError("there is no library here")

    async def reset(self) -> None:
        raise AssertionError("there is no library here")


async def asked(frames: Frames, faces: int = 120) -> Result:
    return await frames.once(JPEG, place="api", want=Want.ANSWER, max_faces=faces, question=Question())


def test_more_faces_and_pictures_may_take_longer() -> None:
    assert patience_s(1) == ANSWER_S
    assert patience_s(1) < patience_s(20) < patience_s(120) < 25
    assert patience_s(1, pictures=8) == patience_s(8)


async def test_a_question_that_outlives_its_turn_is_worked_on_once(broker: Broker) -> None:
    engine = Engine(LONG_S)
    async with (
        broker.connect("gateway") as events,
        broker.connect("gateway", frames=True) as pictures,
        broker.connect("recognizer") as turns,
        broker.connect("recognizer", frames=True) as looks,
    ):
        frames = Frames("g1", events, pictures)
        await frames.start()
        one, other = (Worker(turns, looks, engine) for _ in range(2))
        async with background(frames.watch_turns(), one.run(), other.run()):
            result = await asked(frames)
    assert engine.asked == [result.source]


async def test_a_question_whose_recognizer_dies_late_goes_to_another(broker: Broker) -> None:
    """After the stream has forgotten the turn nobody but the gateway can give it to somebody else."""
    dying, healthy = Engine(breaks=True), Engine()
    async with (
        broker.connect("gateway") as events,
        broker.connect("gateway", frames=True) as pictures,
        broker.connect("recognizer") as turns,
        broker.connect("recognizer", frames=True) as looks,
    ):
        frames = Frames("g1", events, pictures)
        await frames.start()
        async with background(frames.watch_turns()):
            answer = asyncio.create_task(asked(frames))
            async with background(Worker(turns, looks, dying).run()):
                await dying.taken.wait()
                await passed(TURN_AGE_S + 0.5)
            async with background(Worker(turns, looks, healthy).run()):
                result = await answer
    assert dying.asked == healthy.asked == [result.source]


@pytest.mark.parametrize("error", [Internal("内部错误", "a bug"), NotAllowed("不允许", "no")])
async def test_a_gateway_that_answers_with_an_error_ends_no_recognizer(broker: Broker, error: RollcallError) -> None:
    engine, sick = Engine(), asyncio.Event()

    async def fail(_: Msg) -> Message:
        sick.set()
        raise error

    async with (
        broker.connect("gateway") as events,
        broker.connect("gateway", frames=True) as pictures,
        broker.connect("recognizer") as turns,
        broker.connect("recognizer", frames=True) as looks,
    ):
        await pictures.serve_at(FrameCall.subject("sick", "*"), fail)
        frames = Frames("g1", events, pictures)
        await frames.start()
        async with background(Worker(turns, looks, engine).run()):
            await events.publish(Turn.subject("sick", "s"))
            await sick.wait()
            result = await asked(frames)
    assert engine.asked == [result.source]
