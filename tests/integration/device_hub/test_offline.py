"""Terminals that recognise by themselves, on a real hub: their punches and the hints, with the registry's double."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from device_hub import offline
from device_hub.hub import Hub
from shared.contracts.devices import DeviceConfig, DeviceMode
from shared.contracts.gallery import FaceChanged
from shared.contracts.offline import KeepPunches, PunchesKept, Refusal, RefusedPunch
from shared.errors import Unavailable
from shared.testing import eventually
from tests.conftest import Broker
from tests.integration.device_hub.conftest import Site, greet, hear

OFFLINE = DeviceConfig(mode=DeviceMode.OFFLINE)
BATCH = {
    "type": "punches",
    "epoch": "e1",
    "last": 9,
    "punches": [{"seq": 7, "time": "2026-01-02T03:04:05.678Z", "who": "20250101", "score": 91.5}],
}
KEPT = PunchesKept(kept=((7, 7),), refused=(RefusedPunch(seq=8, error=Refusal.UNKNOWN),), missing=((1, 6), (9, 9)))
Answer = Callable[[KeepPunches], Awaitable[PunchesKept]]


async def test_punches_are_handed_on_and_answered(site: Site) -> None:
    asked: list[KeepPunches] = []

    async def keep(batch: KeepPunches) -> PunchesKept:
        asked.append(batch)
        return KEPT

    await site.registry.bus.serve(KeepPunches, keep)
    async with site.terminal(site.registry.devices[1]) as socket:
        await socket.send(json.dumps(BATCH))
        assert await hear(socket) == {
            "type": "punches_kept",
            "epoch": "e1",
            "kept": [[7, 7]],
            "refused": [{"seq": 8, "error": "unknown"}],
            "missing": [[1, 6], [9, 9]],
        }
    [batch] = asked
    assert (batch.device_id, batch.epoch, batch.last) == (1, "e1", 9)
    assert [(p.seq, p.who, p.score) for p in batch.punches] == [(7, "20250101", 91.5)]


async def test_without_the_registry_they_shall_come_later(site: Site) -> None:
    async def keep(_: KeepPunches) -> PunchesKept:
        raise Unavailable

    await site.registry.bus.serve(KeepPunches, keep)
    async with site.terminal(site.registry.devices[1]) as socket:
        await socket.send(json.dumps(BATCH))
        answer = await hear(socket)
        assert (answer["type"], answer["epoch"]) == ("punches_later", "e1")
        assert offline.RETRY_S[0] <= answer["retry_s"] <= offline.RETRY_S[1]


async def test_one_batch_at_a_time(site: Site) -> None:
    """What comes while one is in work is not read: the answers are one for each batch that was."""
    arrived, may_go = asyncio.Event(), asyncio.Event()
    asked: list[KeepPunches] = []

    async def keep(batch: KeepPunches) -> PunchesKept:
        asked.append(batch)
        arrived.set()
        await may_go.wait()
        return KEPT

    await site.registry.bus.serve(KeepPunches, keep)
    async with site.terminal(site.registry.devices[1]) as socket:
        await socket.send(json.dumps(BATCH))
        await arrived.wait()
        for _ in range(3):
            await socket.send(json.dumps(BATCH))
        await socket.send('{"type":"ping","id":1}')
        assert (await hear(socket))["type"] == "pong"  # all of them were read
        may_go.set()
        assert (await hear(socket))["type"] == "punches_kept"
        await socket.send('{"type":"ping","id":2}')
        assert (await hear(socket))["id"] == 2
    assert len(asked) == 1


async def news(broker: Broker, revision: int) -> None:
    async with broker.connect("registry") as bus:
        await bus.record(FaceChanged(revision=revision))


async def test_who_keeps_faces_hears_that_there_are_newer_ones(site: Site, broker: Broker) -> None:
    device = site.registry.put(3, config=OFFLINE, config_revision=1)
    await site.registry.announce(3, "added")
    async with (
        site.terminal(device) as here,
        site.dial(await site.token(site.registry.devices[1])) as asks,
        site.terminal(site.registry.devices[2]) as online,
    ):
        await asks.send('{"type":"hello","versions":[1],"faces":true}')
        await hear(asks)
        for revision in (40, 41, 42):
            await news(broker, revision)
        hint = {"type": "library", "revision": 42, "within_s": 1.0}
        assert (await hear(here), await hear(asks)) == (hint, hint)
        await online.send('{"type":"ping","id":1}')
        assert (await hear(online))["type"] == "pong"


async def test_the_office_switches_a_terminal_to_offline(site: Site) -> None:
    hub: Hub = site.running.hub
    async with site.dial(await site.token(site.registry.devices[1])) as socket:
        await greet(socket)
        assert hub.keeping_faces() == []
        site.registry.put(1, config=OFFLINE, config_revision=5)
        await site.registry.announce(1, "edited")
        assert (await hear(socket))["config"]["mode"] == "offline"
        await eventually(lambda: _is(len(hub.keeping_faces()), 1))
        site.registry.put(1, config_revision=6)
        await site.registry.announce(1, "edited")
        assert (await hear(socket))["config"]["mode"] == "online"
        assert hub.keeping_faces() == []


async def _is(found: int, wanted: int) -> bool:
    return found == wanted
