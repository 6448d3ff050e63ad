"""Terminals on a real hub over a real broker."""

import asyncio
import json
from urllib.parse import quote

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from shared.contracts.devices import Device, DeviceConfig, DevicesConfigured, DeviceState
from shared.contracts.terminals import CheckDevice
from shared.errors import NotAllowed
from shared.testing import eventually
from tests.integration.device_hub.conftest import Site, StartHub, greet, hear


async def closed(socket: ClientConnection) -> int:
    """Read to the end; the close code."""
    with pytest.raises(ConnectionClosed) as caught:
        async with asyncio.timeout(10):
            while True:
                await socket.recv()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code


async def test_a_terminal_is_welcomed_by_name(site: Site) -> None:
    device = site.registry.devices[1]
    async with site.dial(await site.token(device)) as socket:
        welcome = await greet(socket)
    assert welcome["type"] == "welcome"
    assert (welcome["device"], welcome["name"], welcome["version"], welcome["heartbeat_s"]) == (1, "门1", 1, 20)


async def test_the_token_may_stand_in_the_query(site: Site) -> None:
    token = await site.token(site.registry.devices[1])
    async with connect(f"ws://127.0.0.1:{site.running.port}/terminal?token={token}", proxy=None) as socket:
        assert (await greet(socket))["device"] == 1


async def test_a_ping_is_answered_with_its_id_and_the_hubs_clock(site: Site) -> None:
    async with site.terminal(site.registry.devices[1]) as socket:
        await socket.send('{"type":"ping","id":7}')
        pong = await hear(socket)
        assert (pong["type"], pong["id"]) == ("pong", 7)
        assert pong["time"].endswith("Z")


@pytest.mark.parametrize("token", ["", "0" * 40, "not a token", "é" * 40, "f" * 5_000])
async def test_a_wrong_token_is_refused_before_the_upgrade(site: Site, token: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with connect(f"ws://127.0.0.1:{site.running.port}/terminal?token={quote(token)}", proxy=None):
            pass
    assert caught.value.response.status_code == 401
    assert json.loads(caught.value.response.body or b"")["code"] == 9001


async def test_a_push_reaches_only_its_terminal(site: Site) -> None:
    async with site.terminal(site.registry.devices[1]) as one, site.terminal(site.registry.devices[2]) as two:
        await site.push(1, {"type": "result", "n": 1})
        await site.push(2, {"type": "result", "n": 2})
        await site.push(3, {"type": "result", "n": 3})
        assert await hear(one) == {"type": "result", "n": 1}
        assert await hear(two) == {"type": "result", "n": 2}
        await one.send('{"type":"ping"}')
        assert (await hear(one))["type"] == "pong"


async def test_the_newest_session_of_a_device_wins(site: Site) -> None:
    device = site.registry.devices[1]
    async with site.terminal(device) as old, site.terminal(device) as new:
        assert await hear(old) == {"type": "bye", "reason": "replaced"}
        assert await closed(old) == 4409
        await site.push(1, {"type": "result"})
        assert await hear(new) == {"type": "result"}
        assert len(site.running.hub) == 1


async def test_a_handshake_without_hello_replaces_nobody(site: Site) -> None:
    device = site.registry.devices[1]
    async with site.terminal(device) as old, site.dial(await site.token(device)):
        await site.push(1, {"type": "result"})
        assert await hear(old) == {"type": "result"}


async def test_removing_a_device_cuts_its_connection(site: Site) -> None:
    async with site.terminal(site.registry.devices[1]) as one, site.terminal(site.registry.devices[2]) as two:
        del site.registry.devices[1]
        await site.registry.announce(1, "removed")
        assert await hear(one) == {"type": "bye", "reason": "revoked"}
        assert await closed(one) == 4401
        await site.push(2, {"type": "result"})
        assert await hear(two) == {"type": "result"}


async def test_withdrawing_authorisation_cuts_the_connection(site: Site) -> None:
    async with site.terminal(site.registry.devices[1]) as socket:
        site.registry.put(1, state=DeviceState.SUSPENDED)
        await site.registry.announce(1, "suspended")
        assert await closed(socket) == 4401


async def test_a_suspension_waits_for_no_answer_of_the_registry(site: Site) -> None:
    device = site.registry.devices[1]
    token = await site.token(device)
    async with site.terminal(device) as socket:
        site.registry.answering.clear()
        await site.registry.announce(1, "suspended")
        assert await closed(socket) == 4401
        with pytest.raises(InvalidStatus, match="401"):
            async with site.dial(token):
                pass
        site.registry.answering.set()  # it says: authorised, the office having thought better of it meanwhile
        await eventually(lambda: _may_enter(site, device))


async def test_an_answer_that_may_be_the_older_news_is_asked_for_again(site: Site) -> None:
    device = site.registry.put(4)
    site.registry.answering.clear()
    site.registry.still = True
    asked = site.registry.asked
    await site.registry.announce(4, "authorised")

    async def is_asked() -> bool:
        return site.registry.asked > asked

    await eventually(is_asked)
    async with site.terminal(site.registry.devices[1]) as socket:
        event = DevicesConfigured(ids=(1,), revisions=(5,), config=DeviceConfig(volume=11), by="test")
        await site.registry.bus.record(event)
        assert (await hear(socket))["revision"] == 5
        site.registry.answering.set()
        await eventually(lambda: _may_enter(site, device), 10)


async def _may_enter(site: Site, device: Device) -> bool:
    try:
        return (await site.gateway.ask(CheckDevice(device_id=device.device_id))).authorised
    except NotAllowed:
        return False


@pytest.mark.parametrize("greeted", [True, False])
async def test_a_renewed_secret_cuts_who_came_in_with_the_old_one(site: Site, greeted: bool) -> None:
    device = site.registry.devices[1]
    async with site.terminal(site.registry.devices[2]) as other, site.dial(await site.token(device)) as socket:
        if greeted:
            await greet(socket)
        site.registry.secrets[1] = b"another"
        asked = site.registry.asked
        await site.registry.announce(1, "secret renewed")
        await site.registry.announce(3, "edited")

        async def heard() -> bool:
            return site.registry.asked == asked + 2  # of the second, so the first was learnt

        await eventually(heard)
        if not greeted:
            await socket.send('{"type":"hello","versions":[1]}')
        assert await hear(socket) == {"type": "bye", "reason": "revoked"}
        await other.send('{"type":"ping"}')
        assert (await hear(other))["type"] == "pong"


async def test_a_terminal_is_welcomed_with_what_the_office_wishes_now(site: Site) -> None:
    devices = site.registry.devices
    async with site.terminal(devices[2]) as other, site.dial(await site.token(devices[1])) as socket:
        event = DevicesConfigured(ids=(2, 1), revisions=(5, 5), config=DeviceConfig(volume=11), by="test")
        await site.registry.bus.record(event)
        assert (await hear(other))["revision"] == 5  # so the first one's was heard of too
        welcome = await greet(socket)
        assert (welcome["revision"], welcome["config"]["volume"]) == (5, 11)


async def test_a_device_revoked_between_handshake_and_hello_does_not_get_in(site: Site) -> None:
    async with site.dial(await site.token(site.registry.devices[1])) as socket:
        del site.registry.devices[1]
        await site.registry.announce(1, "removed")

        async def forgotten() -> bool:
            try:
                await site.whose(token)
            except NotAllowed:
                return True
            return False

        token = await site.token(site.registry.devices[2])
        del site.registry.devices[2]
        await site.registry.announce(2, "removed")  # heard after the first, so that one was heard too
        await eventually(forgotten)
        assert await greet(socket) == {"type": "bye", "reason": "revoked"}
        assert await closed(socket) == 4401


@pytest.mark.parametrize(
    ("frame", "code", "close"),
    [
        ("rubbish", "not_json", 4400),
        (b"\xff\xd8", "binary", 4400),
        ('{"type":"ping"}', "out_of_order", 4400),
        ('{"type":"hello","versions":[9]}', "version", 4406),
    ],
)
async def test_rubbish_is_answered_and_closed(site: Site, frame: str | bytes, code: str, close: int) -> None:
    async with site.dial(await site.token(site.registry.devices[1])) as socket:
        await socket.send(frame)
        error = await hear(socket)
        assert (error["type"], error["code"]) == ("error", code)
        assert await closed(socket) == close


async def test_a_frame_too_long_closes_before_it_is_read(site: Site) -> None:
    async with site.terminal(site.registry.devices[1]) as socket:
        await socket.send("x" * 70_000)
        assert await closed(socket) == 1009


async def test_a_flood_is_cut_and_the_others_do_not_notice(site: Site) -> None:
    async with site.terminal(site.registry.devices[1]) as one, site.terminal(site.registry.devices[2]) as two:
        for _ in range(100):
            await one.send('{"type":"ping"}')
        assert await closed(one) == 4429
        await site.push(2, {"type": "result"})
        assert await hear(two) == {"type": "result"}


async def test_a_terminal_that_says_bye_is_gone_at_once(site: Site) -> None:
    async with site.terminal(site.registry.devices[1]) as socket:
        await socket.send('{"type":"bye","reason":"restart"}')
        assert await closed(socket) == 1000
    assert len(site.running.hub) == 0


async def test_answering_websocket_pings_is_life_enough(site: Site, start_hub: StartHub) -> None:
    async with start_hub(instance="hub-b", heartbeat_s=0.1) as quick:
        site.running = quick
        async with site.terminal(site.registry.devices[1]) as socket:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):  # four times the silence that ends a session
                    await socket.recv()
            await socket.send('{"type":"ping","id":1}')
            assert (await hear(socket))["id"] == 1


async def test_a_full_hub_says_try_again(site: Site, start_hub: StartHub) -> None:
    async with start_hub(instance="hub-b", max_terminals=1) as small:
        site.running = small
        async with site.terminal(site.registry.devices[1]):
            with pytest.raises(InvalidStatus) as caught:
                async with site.terminal(site.registry.devices[2]):
                    pass
            assert caught.value.response.status_code == 503
        async with site.terminal(site.registry.devices[2]):
            pass


async def test_two_hundred_terminals_at_once(site: Site) -> None:
    devices = [site.registry.put(device_id) for device_id in range(100, 300)]
    welcomed = asyncio.Barrier(len(devices) + 1)

    async def live(device_id: int) -> dict[str, int]:
        async with site.terminal(site.registry.devices[device_id]) as socket:
            await welcomed.wait()
            return await hear(socket)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        lives = [group.create_task(live(device.device_id)) for device in devices]
        await welcomed.wait()
        assert len(site.running.hub) == len(devices)
        for device in devices:
            await site.push(device.device_id, {"n": device.device_id})
    assert [task.result()["n"] for task in lives] == [device.device_id for device in devices]


async def test_a_stopping_hub_says_so(site: Site, start_hub: StartHub) -> None:
    async with start_hub(instance="hub-b") as other:
        site.running = other
        token = await site.token(site.registry.devices[1])
        dialled = site.dial(token)
        socket = await dialled.__aenter__()
        await greet(socket)
    assert await hear(socket) == {"type": "bye", "reason": "stopping"}
    assert await closed(socket) == 1001
    await dialled.__aexit__(None, None, None)
