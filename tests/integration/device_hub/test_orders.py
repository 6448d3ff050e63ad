"""Orders to terminals: over real hubs and a real broker, by the terminal's real client or a hand-held WebSocket."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from device_hub.session import MAX_ORDERS
from shared.bus.terminals import order
from shared.bus.topology import LEASE_S
from shared.contracts.base import now
from shared.contracts.devices import Device, DeviceConfig, DevicesConfigured
from shared.contracts.hubs import Presence
from shared.contracts.terminals import (
    MAX_SNAPSHOT,
    OpenDoor,
    Order,
    OrderOutcome,
    ShowMessage,
    TakeSnapshot,
    TerminalOrder,
)
from shared.errors import Gone, Unavailable
from shared.testing import eventually
from tests.integration.device_hub.conftest import Site, StartHub, hear

OPEN = OpenDoor(reason="fire drill")
AT_ONCE_S = 10.0
"""of the half a minute that these orders may take"""


def asked(device_id: int = 1, wish: Order = OPEN, **fields: Any) -> TerminalOrder:
    return TerminalOrder(device_id=device_id, order=wish, by="office", **fields)


@asynccontextmanager
async def present(site: Site, device: Device) -> AsyncIterator[ClientConnection]:
    """A terminal that was welcomed, and of whom everybody knows."""
    async with site.terminal(device) as socket:
        await eventually(lambda: knows(site, device.device_id))
        yield socket


async def knows(site: Site, device_id: int) -> bool:
    return await site.presence(device_id) is not None


async def ack(socket: ClientConnection, ok: bool = True, **fields: Any) -> dict[str, Any]:
    """Answer the next command; what it was."""
    frame = await hear(socket)
    assert frame["type"] == "command"
    await socket.send(json.dumps({"type": "ack", "id": frame["id"], "ok": ok, **fields}))
    return frame


async def logged(site: Site, number: int) -> None:
    async def so_many() -> bool:
        return len(site.registry.deeds) == number

    await eventually(so_many)


async def test_the_terminals_answer_comes_back_and_is_logged(site: Site) -> None:
    async with present(site, site.registry.devices[1]) as socket:
        before = now()
        answer = asyncio.create_task(order(site.gateway, asked(order_id="o1", within_s=3)))
        frame = await ack(socket, detail="opened")
        assert await answer == OrderOutcome(ok=True, detail="opened")
    assert (frame["id"], frame["action"], frame["seconds"], frame["reason"]) == ("o1", "open_door", None, "fire drill")
    deadline = datetime.fromisoformat(frame["deadline"])
    assert before + timedelta(seconds=3) <= deadline <= now() + timedelta(seconds=3)
    await logged(site, 1)
    [deed] = site.registry.deeds.values()
    assert (deed.device_id, deed.by, deed.action, deed.done) == (1, "office", "open_door", True)
    assert deed.detail == "fire drill · opened"


async def test_a_terminal_that_refuses_is_heard(site: Site) -> None:
    async with present(site, site.registry.devices[1]) as socket:
        answer = asyncio.create_task(order(site.gateway, asked(wish=ShowMessage(zh="你好"))))
        await ack(socket, ok=False, error="unsupported", detail="no display")
        assert await answer == OrderOutcome(ok=False, error="unsupported", detail="no display")
    await logged(site, 1)
    [deed] = site.registry.deeds.values()
    assert (deed.done, deed.detail) == (False, "你好 · unsupported · no display")


async def test_the_largest_picture_comes_through_and_is_in_no_log(site: Site) -> None:
    jpeg = b"\xff\xd8\xff" + bytes(range(256)) * ((MAX_SNAPSHOT - 5) // 256) + b"\xff\xd9"
    async with present(site, site.registry.devices[1]) as socket:
        answer = asyncio.create_task(order(site.gateway, asked(wish=TakeSnapshot())))
        frame = await ack(socket, detail="45 kB", picture=base64.b64encode(jpeg).decode())
        assert frame["action"] == "take_snapshot"
        assert await answer == OrderOutcome(ok=True, detail="45 kB", picture=jpeg)
    await logged(site, 1)
    [deed] = site.registry.deeds.values()
    assert (deed.action, deed.detail) == ("take_snapshot", "45 kB")


async def test_a_terminal_that_is_away_is_said_to_be_at_once(site: Site) -> None:
    async with asyncio.timeout(AT_ONCE_S):
        with pytest.raises(Gone, match="offline"):
            await order(site.gateway, asked(within_s=30))


async def test_the_command_line_may_order_too(site: Site) -> None:
    async with site.broker.connect("cli") as cli, present(site, site.registry.devices[1]) as socket:
        answer = asyncio.create_task(order(cli, asked()))
        await ack(socket)
        assert (await answer).ok
        with pytest.raises(Gone):
            await order(cli, asked(2))


async def test_of_two_hubs_the_right_one_is_asked(site: Site, start_hub: StartHub) -> None:
    async with start_hub(instance="hub-b") as other, present(site, site.registry.devices[1]) as one:
        site.running = other
        async with present(site, site.registry.devices[2]) as two:
            for device_id, socket in ((1, one), (2, two)):
                answer = asyncio.create_task(order(site.gateway, asked(device_id)))
                await ack(socket, detail=f"door {device_id}")
                assert (await answer).detail == f"door {device_id}"


async def test_a_terminal_that_moved_is_found_at_its_new_hub(site: Site, start_hub: StartHub) -> None:
    device = site.registry.devices[1]
    async with start_hub(instance="hub-b") as other, present(site, device):
        site.running = other
        async with site.terminal(device) as moved:

            async def is_there() -> bool:
                presence = await site.presence(1)
                return presence is not None and presence.hub == "hub-b"

            await eventually(is_there)
            answer = asyncio.create_task(order(site.gateway, asked()))
            await ack(moved)
            assert (await answer).ok


async def test_a_dead_hubs_terminals_are_offline_at_once(site: Site) -> None:
    """Its presence entries stand until somebody reviews them; its lease, for LEASE_S; nobody listens from now on."""
    async with site.broker.connect("hub") as observer:
        await (await observer.js.key_value("presence")).put(
            "1", Presence(hub="hub-z", session="s", since=now()).encode()
        )
        await eventually(lambda: knows(site, 1))
        async with asyncio.timeout(LEASE_S / 3):
            with pytest.raises(Gone):
                await order(site.gateway, asked(within_s=30))
            await (await observer.js.key_value("hubs")).put("hub-z", b"\x83\xa1v\x01\xa3hub\xa5hub-z\xa9terminals\x01")
            with pytest.raises(Gone):
                await order(site.gateway, asked(within_s=30))


async def test_a_terminal_that_never_answers_is_not_waited_for(site: Site) -> None:
    async with present(site, site.registry.devices[1]) as socket:
        with pytest.raises(Unavailable, match="nobody knows whether it was done"):
            await order(site.gateway, asked(order_id="o1", within_s=0.2))
        assert (await hear(socket))["id"] == "o1"
        await socket.send('{"type":"ack","id":"o1","ok":true}')  # too late: nobody waits, nothing breaks
        answer = asyncio.create_task(order(site.gateway, asked(order_id="o2")))
        assert (await ack(socket))["id"] == "o2"
        assert (await answer).ok
    await logged(site, 2)
    assert [deed.done for deed in site.registry.deeds.values()] == [False, True]


async def test_a_silent_terminal_does_not_hold_the_others_up(site: Site) -> None:
    async with present(site, site.registry.devices[1]), present(site, site.registry.devices[2]) as two:
        silent = [asyncio.create_task(order(site.gateway, asked(within_s=2))) for _ in range(MAX_ORDERS)]
        answer = asyncio.create_task(order(site.gateway, asked(2)))
        await ack(two)
        assert (await answer).ok
        assert not any(task.done() for task in silent)
        assert all(isinstance(e, Unavailable) for e in await asyncio.gather(*silent, return_exceptions=True))


async def test_more_orders_than_a_terminal_may_have_are_refused_at_once(site: Site) -> None:
    async with present(site, site.registry.devices[1]) as socket:
        waiting = [asyncio.create_task(order(site.gateway, asked(within_s=10))) for _ in range(MAX_ORDERS)]
        frames = [await hear(socket) for _ in waiting]
        with pytest.raises(Unavailable, match="too many orders"):
            await order(site.gateway, asked())
        for frame in frames:
            await socket.send(json.dumps({"type": "ack", "id": frame["id"], "ok": True}))
        assert all(outcome.ok for outcome in await asyncio.gather(*waiting))
    await logged(site, MAX_ORDERS)


async def test_an_order_that_is_out_already_is_not_sent_again(site: Site) -> None:
    async with present(site, site.registry.devices[1]) as socket:
        first = asyncio.create_task(order(site.gateway, asked(order_id="o1")))
        frame = await hear(socket)
        again = asyncio.create_task(order(site.gateway, asked(order_id="o1")))
        other = asyncio.create_task(order(site.gateway, asked(order_id="o2")))
        assert (await ack(socket))["id"] == "o2"
        await socket.send(json.dumps({"type": "ack", "id": frame["id"], "ok": True, "detail": "once"}))
        assert [(await each).detail for each in (first, again, other)] == ["once", "once", ""]


@pytest.mark.parametrize("change", ["removed", "suspended"])
async def test_a_terminal_that_is_revoked_meanwhile_answers_no_more(site: Site, change: str) -> None:
    async with present(site, site.registry.devices[1]) as socket:
        answer = asyncio.create_task(order(site.gateway, asked(within_s=30)))
        await hear(socket)
        del site.registry.devices[1]
        await site.registry.announce(1, change)
        async with asyncio.timeout(AT_ONCE_S):
            with pytest.raises(Gone, match="nobody knows"):
                await answer
            with pytest.raises(Gone):
                await order(site.gateway, asked())


async def test_a_terminal_that_leaves_meanwhile_is_said_to_be_gone(site: Site) -> None:
    async with present(site, site.registry.devices[1]) as socket:
        answer = asyncio.create_task(order(site.gateway, asked(within_s=30)))
        await hear(socket)
        socket.transport.abort()
        await _gone(answer)


async def _gone(answer: Awaitable[OrderOutcome]) -> None:
    async with asyncio.timeout(AT_ONCE_S):
        with pytest.raises(Gone, match="nobody knows"):
            await answer


async def test_answers_to_nothing_are_ignored(site: Site) -> None:
    async with site.terminal(site.registry.devices[1]) as socket:
        await socket.send('{"type":"ack","id":"never sent","ok":true}')
        await socket.send('{"type":"battery","percent":87}')
        await socket.send('{"type":"ping","id":3}')
        assert (await hear(socket))["id"] == 3


async def test_deeds_wait_for_the_registry(site: Site) -> None:
    site.registry.away = True
    async with present(site, site.registry.devices[1]) as socket:
        answer = asyncio.create_task(order(site.gateway, asked()))
        await ack(socket)
        assert (await answer).ok
        site.registry.away = False
        await logged(site, 1)


# ---- configuration and clocks


async def test_a_change_of_the_configuration_is_sent_and_what_was_taken_is_told(site: Site) -> None:
    device = site.registry.put(1, config_revision=1, config=DeviceConfig(volume=10))
    await site.registry.announce(1, "edited")
    async with site.dial(await site.token(device)) as socket:
        await socket.send('{"type":"hello","versions":[1]}')
        welcome = await hear(socket)
        assert welcome["config"].keys() == DeviceConfig.model_fields.keys()
        site.registry.put(1, config_revision=2, config=DeviceConfig(volume=11))
        await site.registry.announce(1, "edited")
        frame = await hear(socket)
        while frame["revision"] < 2:  # the first change, if the hub had not heard of it before the handshake
            frame = await hear(socket)
        assert (frame["type"], frame["config"]["volume"]) == ("config", 11)
        await socket.send('{"type":"config_taken","revision":2}')
        await socket.send('{"type":"ping"}')
        assert (await hear(socket))["type"] == "pong"
    await site.running.hub.close()

    async def is_told() -> bool:
        sighting = site.registry.seen.get(1)
        return sighting is not None and sighting.config_taken == 2

    await eventually(is_told, timeout=15)


async def test_a_change_of_the_name_alone_is_no_news_to_a_terminal(site: Site) -> None:
    async with site.terminal(site.registry.devices[1]) as socket:
        site.registry.put(1, place="一号楼")
        await site.registry.announce(1, "edited")
        site.registry.put(1, place="一号楼", config_revision=1)
        await site.registry.announce(1, "edited")
        assert (await hear(socket))["revision"] == 1


async def test_a_configuration_for_many_is_told_without_asking_the_registry(site: Site) -> None:
    devices = site.registry.devices
    async with site.terminal(devices[1]) as one, site.terminal(devices[2]) as two, site.terminal(devices[3]) as three:
        before = site.registry.asked, site.registry.listed
        event = DevicesConfigured(ids=(2, 1, 99), revisions=(7, 5, 1), config=DeviceConfig(volume=11), by="test")
        await site.registry.bus.record(event)
        frames = [await hear(one), await hear(two)]
        assert [(frame["revision"], frame["config"]["volume"]) for frame in frames] == [(5, 11), (7, 11)]
        await site.registry.bus.record(event.model_copy(update={"revisions": (6, 5, 1)}))  # late, and the same again
        await site.registry.bus.record(event.model_copy(update={"ids": (3,), "revisions": (1,)}))
        assert (await hear(three))["revision"] == 1
        for socket in (one, two):
            await socket.send('{"type":"ping"}')
            assert (await hear(socket))["type"] == "pong"
        assert (site.registry.asked, site.registry.listed) == before


async def test_how_far_a_clock_is_off_is_told(site: Site) -> None:
    async with site.dial(await site.token(site.registry.devices[1])) as socket:
        ahead = (now() + timedelta(hours=1)).isoformat()
        await socket.send(json.dumps({"type": "hello", "versions": [1], "time": ahead}))
        await hear(socket)
        stepped = (now() - timedelta(minutes=5)).isoformat()
        await socket.send(json.dumps({"type": "ping", "time": stepped}))
        await hear(socket)

    async def is_told() -> bool:
        sighting = site.registry.seen.get(1)
        return sighting is not None and sighting.clock_offset_ms is not None

    await eventually(is_told, timeout=15)
    assert -301_000 < (site.registry.seen[1].clock_offset_ms or 0) < -299_000
