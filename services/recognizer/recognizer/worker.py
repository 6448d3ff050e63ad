"""Taking turns: pull a turn, fetch the source's newest frame, answer it, publish, acknowledge."""

import asyncio
import time
from contextlib import suppress

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext

from recognizer.engines import Engine, Outcome
from recognizer.metrics import Tally, Turned
from shared.bus import Bus
from shared.bus.topology import RECOGNIZER_CONSUMER, TURN_WAIT_S, TURNS
from shared.contracts.base import ContractError, now
from shared.contracts.recognition import AtWork, Frame, FrameCall, Result, Turn, Want
from shared.errors import Gone, RollcallError, Unavailable
from shared.metrics import Metrics
from shared.runtime import background

log = structlog.get_logger("worker")

FETCH_S = 1.0
"""A pull that was open while the broker restarted is lost: short enough not to notice."""

AFTER_ERROR_S = 0.2

KEEP_EVERY_S = TURN_WAIT_S / 4
"""How often a long question says that it is still in work, in seconds: three words may be lost."""


class Worker:
    """`events` carries turns, events and acknowledgements; `frames` carries pictures and results."""

    def __init__(self, events: Bus, frames: Bus, engine: Engine, tally: Tally | None = None) -> None:
        """Without `tally` nobody hears what is counted."""
        self._events, self._frames, self._engine = events, frames, engine
        self._tally = tally or Tally(Metrics("recognizer", "unheard"))

    async def run(self) -> None:
        """One loop of turns, for ever; start several to fetch ahead."""
        pull = await self._bind()
        while True:
            try:
                (turn,) = await pull.fetch(1, timeout=FETCH_S)
            except NatsTimeout:
                continue
            except NatsError as error:
                log.warning("no turns", reason=repr(error))
                await asyncio.sleep(AFTER_ERROR_S)
                continue
            await self._take(turn)

    async def _bind(self) -> JetStreamContext.PullSubscription:
        return await self._events.js.pull_subscribe_bind(RECOGNIZER_CONSUMER, stream=TURNS)

    async def _take(self, turn: Msg) -> None:
        """A turn is acknowledged when its outcome is safe; a turn that fails goes back, to be taken again."""
        try:
            self._tally.turn(await self._serve(turn))
        except ContractError as error:
            self._tally.turn("refused")
            log.warning("turn refused", reason=str(error))
            with suppress(NatsError):  # then it comes again, and is refused again
                await turn.term()
        except (RollcallError, NatsError) as error:  # whatever one gateway answers, others wait for this recognizer
            self._tally.turn("returned")
            log.warning("turn goes back", reason=repr(error))
            await self._give_back(turn)

    async def _serve(self, turn: Msg) -> Turned:
        gateway, source = Turn.parse(turn.subject)
        began = time.perf_counter()
        frame = await self._frame(gateway, source)
        if frame is None:
            await turn.ack()
            return "gone"
        self._tally.fetched(time.perf_counter() - began)
        self._tally.age((now() - frame.captured_at).total_seconds())
        if frame.deadline < now():
            await turn.ack()
            return "late"
        with structlog.contextvars.bound_contextvars(trace=frame.frame_id):
            await self._answer(turn, gateway, frame)
        return "answered"

    async def _frame(self, gateway: str, source: str) -> Frame | None:
        """The source's newest frame; None when it left or its gateway is gone."""
        subject = FrameCall.subject(gateway, source)
        try:
            return await self._frames.ask_at(subject, None, Frame, FrameCall.timeout)
        except (Gone, Unavailable):
            return None

    async def _answer(self, turn: Msg, gateway: str, frame: Frame) -> None:
        """Events first, on disk; then the turn is over; then the result: so the gateway's next turn for this source
        is never refused, and a crash in between costs one picture, never a punch. A question has no event and its
        source no next frame, so its caller need not wait for the broker."""
        if frame.want in (Want.ANSWER, Want.ENROL):
            async with background(self._keep(turn, gateway, frame)):
                outcome = await self._outcome(frame)
        else:
            outcome = await self._outcome(frame)
        self._tally.result(frame.want, outcome.result)
        if frame.want is Want.ANSWER:
            await self._frames.publish(Result.subject_for(gateway, frame.source), outcome.result)
            await turn.ack()  # lost: it comes again, and its frame is gone
            return
        for event in outcome.events:
            await self._events.record(event)
            score, engine = round(event.score, 1), outcome.result.engine
            log.info("identified", student_id=event.student_id, place=event.place, score=score, engine=engine)
        await turn.ack_sync(timeout=1)
        await self._frames.publish(Result.subject_for(gateway, frame.source), outcome.result)

    async def _keep(self, turn: Msg, gateway: str, frame: Frame) -> None:
        """A question about 120 faces takes longer than TURN_WAIT_S, a registration with the cloud may; a look at the
        door never does: if it waits so long, somebody else shall have it. The gateway is told too: after TURN_AGE_S
        the stream has forgotten the turn, and would take a second one."""
        subject, said = AtWork.subject_for(gateway, frame.source), AtWork(source=frame.source)
        while now() < frame.deadline:
            await asyncio.sleep(KEEP_EVERY_S)
            await self._frames.publish(subject, said)
            try:
                await turn.in_progress()
            except NatsError as error:
                log.warning("turn not kept", reason=repr(error))

    async def _outcome(self, frame: Frame) -> Outcome:
        try:
            return await self._engine.answer(frame)
        except RollcallError:
            raise
        except Exception:
            log.exception("engine failed")
            raise Unavailable(en="the engine failed on this frame") from None

    async def _give_back(self, turn: Msg) -> None:
        try:
            await turn.nak(delay=AFTER_ERROR_S)
        except NatsError as error:
            log.warning("turn not given back", reason=repr(error))
