"""The students' copy in Baidu's cloud: a registration's first step and its undoing, and every later change."""

import asyncio
from typing import Final

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout

from shared.baidu.client import Cloud
from shared.baidu.twin import OURS, PATIENCE_S, drop_face, drop_user, is_ours, make_equal, tokens_of, truth_of
from shared.bus import Bus
from shared.bus.topology import CLOUD_CONSUMER, EVENTS
from shared.contracts.base import ContractError, Done
from shared.contracts.cloud import CloudFace, PutInCloud, TakeFromCloud
from shared.contracts.people import StudentChanged
from shared.errors import CloudAway, CloudRefused, Conflict, RollcallError

log = structlog.get_logger("cloud")

PULL_S: Final = 2.0
AGAIN_S: Final = 5.0
"""A change that the cloud could not be told comes again after this time, in seconds, for ever."""
AFTER_ERROR_S: Final = 0.5
PUT_S: Final = PutInCloud.timeout - 1.0
"""The gateway that asked shall hear of a failure, not of silence."""


class CloudDesk:
    """Any recognizer may answer; all share one durable consumer."""

    def __init__(self, bus: Bus, cloud: Cloud, group: str) -> None:
        self._bus, self._cloud, self._group = bus, cloud, group

    async def serve(self) -> None:
        """Answer the gateways."""
        await self._bus.serve(PutInCloud, self.put)
        await self._bus.serve(TakeFromCloud, self.take)

    async def put(self, asked: PutInCloud) -> CloudFace:
        """Raises Conflict, CloudRefused, CloudAway."""
        try:
            async with asyncio.timeout(PUT_S):
                return CloudFace(token=await self._put(asked))
        except TimeoutError:
            raise CloudAway(en=f"the cloud did not take the face in within {PUT_S:.0f} s") from None

    async def _put(self, asked: PutInCloud) -> str:
        """The registry is asked first: a face that stood under another student's number, be it for a second, could be
        taken for that student."""
        if (await truth_of(self._bus, asked.num)).faces:
            raise Conflict("学号已被注册", "the student number is already taken", field="num")
        if await tokens_of(self._cloud, self._group, asked.num):
            if not await is_ours(self._cloud, self._group, asked.num):
                raise Conflict(
                    "百度云中已有此学号的用户，请联系管理员", "the cloud has a user of this number", field="num"
                )
            log.info("left over from a registration that did not end: removed", num=asked.num)
            await drop_user(self._cloud, self._group, asked.num)
        return await self._cloud.add(asked.jpeg, self._group, asked.num, OURS, within=PATIENCE_S)

    async def take(self, asked: TakeFromCloud) -> Done:
        """Raises CloudAway. If somebody else has the number, their faces may have been taken for left over: they are
        put back."""
        await drop_face(self._cloud, self._group, asked.num, asked.token)
        truth = await truth_of(self._bus, asked.num)
        if truth.faces:
            await make_equal(self._bus, self._cloud, self._group, asked.num, truth, upload=False)
        return Done()

    # ---- later changes

    async def follow(self) -> None:
        """Do in the cloud what was done to students here, for ever."""
        pull = await self._bus.js.pull_subscribe_bind(CLOUD_CONSUMER, stream=EVENTS)
        while True:
            try:
                (message,) = await pull.fetch(1, timeout=PULL_S)
            except (NatsTimeout, TimeoutError):
                continue
            except NatsError as error:
                log.warning("no events to be had", reason=repr(error))
                await asyncio.sleep(AFTER_ERROR_S)
                continue
            await self._take_in(message)

    async def _take_in(self, message: Msg) -> None:
        """Acknowledged when the cloud is as the registry: to do it twice changes nothing."""
        try:
            changed = StudentChanged.decode(message.data)
            for num in filter(None, (changed.num_before, changed.num)):  # a photo stands under one number at a time
                truth = await truth_of(self._bus, num)
                if await make_equal(self._bus, self._cloud, self._group, num, truth, upload=False):
                    log.info("cloud follows", change=changed.change, student_id=changed.student_id)
        except ContractError as error:
            log.error("event refused for good", reason=str(error))
            await self._say(message, None)
        except CloudRefused as error:
            log.error("the cloud refuses this student: see `rollcall baidu reconcile`", reason=error.en)
            await self._say(message, None)
        except RollcallError as error:
            log.warning("cloud not told yet", reason=error.en)
            await self._say(message, AGAIN_S)
        else:
            await self._say(message, None)

    async def _say(self, message: Msg, again_s: float | None) -> None:
        try:
            await (message.ack() if again_s is None else message.nak(delay=again_s))
        except NatsError as error:
            log.warning("not acknowledged", reason=repr(error))
