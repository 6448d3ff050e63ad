"""The door's own work."""

import asyncio
from typing import cast

import pytest

from device_hub.app import Door
from device_hub.commands import TokenDesk
from device_hub.session import Session, Terms
from shared.health import Health
from shared.runtime import listen


async def test_a_door_that_can_accept_no_more_ends_the_service() -> None:
    def nothing(_: Session) -> None: ...

    sockets = [listen("127.0.0.1", 0)]
    nobody_asks = cast(TokenDesk, None)
    door = Door(nobody_asks, Terms(nothing, nothing, nothing, lambda _, __: None, 20), 1, Health("hub"))
    with pytest.raises(IndexError):
        async with asyncio.timeout(10), door.receiving(sockets.pop, shared=True) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)  # one is its limit: it steps aside
            writer.close()
            await asyncio.Event().wait()
