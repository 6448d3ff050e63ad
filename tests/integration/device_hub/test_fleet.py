"""A fleet of simulated terminals at real hubs that share one address: there, lost, back; and who enters by secret."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from device_hub.challenges import issue
from rollcall.local import free_port
from shared.bus import Bus
from shared.bus.terminals import order
from shared.bus.topology import PRESENCE
from shared.contracts.base import now
from shared.contracts.devices import DeviceConfig, DevicesConfigured, DeviceState, Proof
from shared.contracts.hubs import Presence
from shared.contracts.terminals import CheckDevice, IssueToken, OpenDoor, TerminalOrder, TerminalPush
from shared.errors import NotAllowed
from shared.testing import eventually
from terminal.admission import Identity, proved_at
from terminal.fleet import Fleet, Squad
from terminal.simulated import SENT_AT
from tests.conftest import Broker
from tests.integration.device_hub.conftest import SECRET as HUB_SECRET
from tests.integration.device_hub.conftest import Registry, Site, StartHub, greet

COUNT = 200
FIRST = 101


def secret(device_id: int) -> str:
    return f"{device_id:064x}"


def enlist(registry: Registry, count: int = COUNT) -> tuple[tuple[str, str], ...]:
    """So many more devices that prove themselves; (serial number, secret)."""
    for device_id in range(FIRST, FIRST + count):
        registry.put(device_id, proof=Proof.SECRET)
        registry.secrets[device_id] = secret(device_id).encode()
    return tuple((f"SN{device_id}", secret(device_id)) for device_id in range(FIRST, FIRST + count))


@asynccontextmanager
async def running_fleet(squad: Squad) -> AsyncIterator[Fleet]:
    fleet = Fleet(squad)
    task = asyncio.create_task(fleet.run())
    try:
        yield fleet
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def online(fleet: Fleet, count: int, welcomed: int) -> Callable[[], Awaitable[bool]]:
    async def so_many() -> bool:
        return (fleet.tally.online, fleet.tally.welcomed >= welcomed) == (count, True)

    return so_many


async def holders(bus: Bus) -> dict[int, str]:
    """Which hub holds which terminal, as the bucket says."""
    bucket = await bus.js.key_value(PRESENCE)
    entries = [await bucket.get(key) for key in await bucket.keys()]
    return {int(entry.key): Presence.decode(entry.value or b"").hub for entry in entries}


async def test_a_fleet_at_two_hubs_behind_one_address_survives_one(
    broker: Broker, registry: Registry, start_hub: StartHub
) -> None:
    port, terminals = free_port(), enlist(registry)
    squad = Squad(hub=f"ws://127.0.0.1:{port}", terminals=terminals, sources=("127.9.0.1", "127.9.0.2"), ramp_s=0.5)
    async with (
        broker.connect("hub") as bus,
        start_hub(instance="hub-b", port=port, share_port=True) as second,
        running_fleet(squad) as fleet,
    ):
        async with start_hub(instance="hub-a", port=port, share_port=True) as first:
            await eventually(online(fleet, COUNT, COUNT), 10, "all are online")
            assert len(first.hub) + len(second.hub) == COUNT
            await eventually(lambda: _all_held(bus), 5, "the bucket says where each is")
        await eventually(online(fleet, COUNT, COUNT + fleet.tally.dropped), 15, "all are back")
        assert len(second.hub) == COUNT
        assert set(fleet.tally.failed) <= {"connection lost", "ConnectionRefusedError", "closed"}
        await _push_to(broker)
        await eventually(lambda: _pushed(fleet), 5, "news arrived")


async def test_a_full_hub_leaves_the_shared_address_to_the_others_until_it_has_room(
    registry: Registry, start_hub: StartHub
) -> None:
    port, terminals = free_port(), enlist(registry, 60)
    async with (
        start_hub(instance="hub-a", port=port, share_port=True, max_terminals=10) as small,
        start_hub(instance="hub-b", port=port, share_port=True) as large,
    ):
        squad = Squad(hub=f"ws://127.0.0.1:{port}", terminals=terminals[:50], ramp_s=0.5)
        async with running_fleet(squad) as fleet:
            await eventually(online(fleet, 50, 50), 20, "all are online")
            assert (len(small.hub), len(large.hub)) == (10, 40)
            assert fleet.tally.failed["HTTP 503"] <= 5  # those that were on their way
        later = Squad(hub=f"ws://127.0.0.1:{port}", terminals=terminals[50:])

        async def some_at_each() -> bool:
            async with running_fleet(later) as fleet:
                await eventually(online(fleet, 10, 10), 10, "ten are online")
                return len(small.hub) > 0 and len(large.hub) > 0

        await eventually(some_at_each, 20, "it listens again")


async def _all_held(bus: Bus) -> bool:
    return len(await holders(bus)) == COUNT


async def _push_to(broker: Broker) -> None:
    async with broker.connect("gateway") as gateway:
        text = json.dumps({"type": "result", SENT_AT: 0, "faces": []})
        subject = TerminalPush.subject_for("hub-b", str(FIRST))
        await gateway.publish(subject, TerminalPush(device_id=FIRST, text=text))
        await gateway.written()


async def _pushed(fleet: Fleet) -> bool:
    return len(fleet.tally.push_ms) == 1


async def test_a_fleets_hearts_beat(registry: Registry, start_hub: StartHub) -> None:
    async with start_hub(heartbeat_s=0.2) as running:
        squad = Squad(hub=f"ws://127.0.0.1:{running.port}", terminals=enlist(registry, 5))
        async with running_fleet(squad) as fleet:
            began = fleet.loop.time()

            async def lived() -> bool:
                return fleet.tally.online == 5 and fleet.loop.time() - began > 2

            await eventually(lived, 10, "five lived for ten heartbeats")
            assert fleet.tally.dropped == 0


async def test_a_fleet_whose_clock_is_wrong_is_asked(registry: Registry, start_hub: StartHub) -> None:
    async with start_hub() as running:
        squad = Squad(hub=f"ws://127.0.0.1:{running.port}", terminals=enlist(registry, 5), ramp_s=0.1)
        async with running_fleet(squad) as fleet:
            fleet.hub_ahead_s = 3_600
            await eventually(online(fleet, 5, 5), 15, "five are online")
            assert fleet.tally.failed["HTTP 401"] >= 1
            assert abs(fleet.hub_ahead_s) < 5


async def test_a_fleet_obeys_and_takes_its_configuration_over(site: Site) -> None:
    squad = Squad(hub=f"ws://127.0.0.1:{site.running.port}", terminals=enlist(site.registry, 5))
    async with running_fleet(squad) as fleet:
        await eventually(online(fleet, 5, 5), 10, "five are online")
        await eventually(lambda: _present(site, FIRST), 5, "everybody knows of it")
        asked = TerminalOrder(device_id=FIRST, order=OpenDoor(), by="test")
        assert (await order(site.gateway, asked)).ok
        ids = tuple(range(FIRST, FIRST + 5))
        began = time.monotonic()
        await site.registry.bus.record(
            DevicesConfigured(ids=ids, revisions=(1,) * 5, config=DeviceConfig(volume=1), by="test")
        )

        async def all_taken() -> bool:
            return fleet.tally.taken == 5

        await eventually(all_taken, 5, "all have taken it over")
        report = fleet.tally.report()
    assert (report.obeyed, report.taken, report.dropped) == (1, 5, 0)
    assert began < report.taken_at < time.monotonic()


async def _present(site: Site, device_id: int) -> bool:
    return await site.presence(device_id) is not None


async def test_devices_in_bulk_are_read_together(site: Site) -> None:
    names = [(f"门{sn.removeprefix('SN')}", sn) for sn, _ in enlist(site.registry, 1_000)]
    await site.registry.announce(0, "many changed")

    async def known() -> bool:
        before = site.registry.asked
        name, sn = names.pop()
        await site.gateway.ask(IssueToken(name=name, sn=sn))
        return site.registry.asked == before

    await eventually(known, 10, "the hub has read them")
    before = site.registry.asked
    for name, sn in names:
        await site.gateway.ask(IssueToken(name=name, sn=sn))
    assert site.registry.asked == before


async def test_what_did_not_change_is_not_read_again(site: Site) -> None:
    site.registry.still = True
    asked = CheckDevice(device_id=999)  # nobody's: the hub looks whether there is news

    async def looked() -> bool:
        with pytest.raises(NotAllowed):
            await site.gateway.ask(asked)
        return site.registry.marked > 5

    await eventually(looked, 5, "the first copy was read, and its mark taken")
    before = site.registry.listed, site.registry.marked
    with pytest.raises(NotAllowed):
        await site.gateway.ask(asked)
    assert (site.registry.listed, site.registry.marked > before[1]) == (before[0], True)


# ---- the door


async def challenge(site: Site) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{site.running.port}/terminal")
    assert answer.status_code == 426
    return str(answer.json()["challenge"])


def enter(site: Site, asked: str, key: str, sn: str) -> connect:
    answer = hmac.new(key.encode(), asked.encode(), hashlib.sha256).hexdigest()
    return connect(
        f"ws://127.0.0.1:{site.running.port}/terminal",
        additional_headers={"Authorization": f"Rollcall {asked}:{answer}:{sn}"},
        compression=None,
        proxy=None,
    )


def enter_now(site: Site, key: str, sn: str, ahead_s: float = 0.0, *, spoilt: bool = False) -> connect:
    moment, proof, sn = proved_at(Identity("", sn, key), now() + timedelta(seconds=ahead_s)).split(":", 2)
    authorization = f"{moment}:{proof[::-1] if spoilt else proof}:{sn}"
    return connect(
        f"ws://127.0.0.1:{site.running.port}/terminal",
        additional_headers={"Authorization": authorization},
        compression=None,
        proxy=None,
    )


@pytest.fixture
async def east(site: Site) -> str:
    """The serial number of a device with a secret, with a colon in it as the office may have typed."""
    site.registry.put(7, sn="E:1", proof=Proof.SECRET)
    site.registry.secrets[7] = secret(7).encode()
    return "E:1"


async def test_who_answers_the_challenge_enters(site: Site, east: str) -> None:
    async with enter(site, await challenge(site), secret(7), east) as socket:
        assert (await greet(socket))["device"] == 7


async def refused(way_in: connect) -> dict[str, object]:
    with pytest.raises(InvalidStatus) as caught:
        await _open(way_in)
    assert caught.value.response.status_code == 401
    body: dict[str, object] = json.loads(caught.value.response.body or b"")
    return body


async def _open(way_in: connect) -> ClientConnection:
    return await way_in


async def test_who_does_not_is_refused(site: Site, east: str) -> None:
    site.registry.put(8, state=DeviceState.SUSPENDED, proof=Proof.SECRET)
    site.registry.secrets[8] = secret(8).encode()
    asked = await challenge(site)
    old = issue(HUB_SECRET.encode(), now().timestamp() - 61)
    foreign = issue(b"somebody else's secret", now().timestamp())
    for way_in in (
        enter(site, asked, secret(9), east),
        enter(site, old, secret(7), east),
        enter(site, foreign, secret(7), east),
        enter(site, asked, secret(8), "SN8"),
        enter(site, asked, secret(1), "SN1"),
        enter(site, asked, "", "SN1"),
        enter(site, asked, secret(7), "nobody"),
        enter(site, "", "", ""),
    ):
        assert (await refused(way_in))["code"] == 9001


async def test_who_knows_the_time_enters_unasked(site: Site, east: str) -> None:
    for ahead_s in (0.0, 25.0, -25.0):
        async with enter_now(site, secret(7), east, ahead_s) as socket:
            assert (await greet(socket))["device"] == 7


async def test_whose_time_or_secret_is_wrong_does_not(site: Site, east: str) -> None:
    site.registry.put(8, state=DeviceState.SUSPENDED, proof=Proof.SECRET)
    site.registry.secrets[8] = secret(8).encode()
    for way_in in (
        enter_now(site, secret(7), east, ahead_s=35),
        enter_now(site, secret(7), east, ahead_s=-35),
        enter_now(site, secret(7), east, spoilt=True),
        enter_now(site, secret(9), east),
        enter_now(site, secret(8), "SN8"),
        enter_now(site, secret(1), "SN1"),
        enter_now(site, secret(7), "nobody"),
        enter_now(site, "", ""),
    ):
        assert (await refused(way_in))["code"] == 9001
