"""The gateway's side of the turns: hands out newest frames, hears results, tells each source's listener."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import structlog
from nats.aio.msg import Msg

from gateway.slots import Slots
from shared.bus import Bus
from shared.bus.topology import TURN_WAIT_S
from shared.contracts.base import Message, new_id, now
from shared.contracts.recognition import AtWork, Frame, FrameCall, Question, Result, SourceKind, Turn, Want
from shared.errors import Gone, Unavailable
from shared.metrics import nobody_counts

log = structlog.get_logger("frames")

PATIENCE_S = TURN_WAIT_S + 0.5
"""After this the turn was redelivered or lost; asking again is harmless while it still waits."""

ANSWER_S = 6.0
"""How long a posted picture with one face waits for its own result, in seconds."""

FACE_S = 0.15
"""How much longer for each further face, in seconds: with all that can be asked a face takes 0.05 on a core."""

Listener = Callable[[Result], None]


class Frames:
    """One per gateway. `submit` for streams, `once` for a single picture that waits for its answer."""

    def __init__(self, gateway_id: str, events: Bus, frames: Bus) -> None:
        self._id = gateway_id
        self._events, self.bus = events, frames
        self._listeners: dict[str, Listener] = {}
        self.slots = Slots()
        self.answered: Callable[[float], None] = nobody_counts
        """told of each result: the time since its frame came, in seconds"""

    async def start(self) -> None:
        """Answer frame calls and hear results; ask again for all turns after a broker restart."""
        await self.bus.serve_at(FrameCall.subject(self._id, "*"), self._hand_out, concurrency=256)
        await self.bus.follow(Result.subject_for(self._id, "*"), Result, self._result)
        await self.bus.follow(AtWork.subject_for(self._id, "*"), AtWork, self._at_work)
        self._events.on_reconnect(self._ask_again)

    def listen(self, source: str, listener: Listener) -> None:
        """Tell `listener` every result of the source; replaces an earlier one."""
        self._listeners[source] = listener

    def leave(self, source: str, listener: Listener) -> None:
        """Forget the source, unless a newer listener has taken it over."""
        if self._listeners.get(source) is listener:
            del self._listeners[source]
            self.slots.forget(source)

    def owned_by(self, source: str, listener: Listener) -> bool:
        """Whether the source still speaks through this listener."""
        return self._listeners.get(source) is listener

    async def submit(self, frame: Frame) -> None:
        """Put a frame into its source's slot. Never waits for recognition, never queues a second frame."""
        if self.slots.put(frame, time.monotonic()):
            await self._ask_for_turn(frame.source)

    async def once(
        self,
        jpeg: bytes,
        *,
        place: str,
        want: Want,
        max_faces: int,
        question: Question | None = None,
        may_leave: bool = False,
        pictures: int = 1,
    ) -> Result:
        """A source with one frame: submit it and wait for its result. `pictures`: how many of one call are looked at
        side by side, and may all wait for one recognizer. Raises Unavailable after `patience_s`."""
        limit_s = patience_s(max_faces, pictures)
        source = f"once-{new_id()}"
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def hear(result: Result) -> None:
            if not answer.done():
                answer.set_result(result)

        self.listen(source, hear)
        try:
            async with asyncio.timeout(limit_s):
                await self.submit(
                    Frame(
                        source=source,
                        kind=SourceKind.UPLOAD,
                        place=place,
                        deadline=now() + timedelta(seconds=limit_s),
                        want=want,
                        max_faces=max_faces,
                        question=question,
                        may_leave=may_leave,
                        jpeg=jpeg,
                    )
                )
                return await answer
        except TimeoutError:
            raise Unavailable(en="no recognizer answered in time") from None
        finally:
            self.leave(source, hear)

    async def watch_turns(self) -> None:
        """Ask again for turns that took too long: their recognizer, or the turn itself, was lost."""
        while True:
            await asyncio.sleep(0.5)
            for source in self.slots.overdue(time.monotonic(), PATIENCE_S):
                await self._ask_for_turn(source)

    async def _ask_for_turn(self, source: str) -> None:
        """No message id and no wait: a second turn of a source is refused by the stream, and that is right."""
        if not await self._events.publish(Turn.subject(self._id, source)):
            log.warning("turn not asked for: no broker", source=source)

    async def _ask_again(self) -> None:
        for source in self.slots.waiting():
            await self._ask_for_turn(source)

    async def _hand_out(self, message: Msg) -> Message:
        source = message.subject.rsplit(".", 1)[1]
        frame = self.slots.take(source, time.monotonic(), now())
        if frame is None:
            raise Gone("画面已过期", "the frame is gone")
        return frame

    async def _at_work(self, said: AtWork, subject: str) -> None:
        self.slots.in_work(said.source, time.monotonic())

    async def _result(self, result: Result, subject: str) -> None:
        if self.slots.settle(result, time.monotonic()):
            await self._ask_for_turn(result.source)
        listener = self._listeners.get(result.source)
        if listener is not None:
            listener(result)
            self.answered((now() - result.captured_at).total_seconds())


def patience_s(max_faces: int, pictures: int = 1) -> float:
    """How long a picture with so many faces waits, beside others of the same call, in seconds: 6 to 24 for one."""
    return ANSWER_S + FACE_S * (max_faces * pictures - 1)
