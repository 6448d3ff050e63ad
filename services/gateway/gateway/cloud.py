"""A registration whose face also goes to Baidu's cloud: a saga of two steps, the first of which can be undone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from shared.bus import Bus
from shared.contracts.cloud import PutInCloud, TakeFromCloud
from shared.contracts.people import Registered, RegisterStudent
from shared.errors import Failed, Refused, RollcallError

log = structlog.get_logger("cloud")


@asynccontextmanager
async def in_cloud(bus: Bus, num: str, jpeg: bytes) -> AsyncIterator[str]:
    """The face stands in the cloud while inside, and after it; yields its token. If the block is refused, the face is
    taken out again. Raises Conflict, CloudRefused, CloudAway; then nothing was written.

    After a failure that leaves open whether the student was written, the face stays: under a number that nobody has
    it names nobody, the next registration of the number removes it, and `rollcall baidu reconcile` finds it. So it is
    when this process dies in between.
    """
    token = (await bus.ask(PutInCloud(num=num, jpeg=jpeg))).token
    try:
        yield token
    except Refused:
        await _undo(bus, num, token)
        raise
    except Failed as error:
        log.error("a face may be left in the cloud: see `rollcall baidu reconcile`", reason=error.en)
        raise


async def _undo(bus: Bus, num: str, token: str) -> None:
    try:
        await bus.ask(TakeFromCloud(num=num, token=token))
    except RollcallError as error:
        log.error("a face is left in the cloud: see `rollcall baidu reconcile`", reason=error.en)


async def insist(bus: Bus, asked: RegisterStudent) -> Registered:
    """Ask twice where the first answer was lost: the same request is written once. Raises what the registry raises."""
    try:
        return await bus.ask(asked)
    except Failed:
        return await bus.ask(asked)
