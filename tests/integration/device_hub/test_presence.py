"""Where terminals are, told through the broker: on connect, on leaving, after the broker lost its memory."""

import asyncio
from datetime import datetime

import pytest
from nats.js.errors import Error as JetStreamError

from device_hub.presence import Lease, PresenceKeeper
from shared.bus import Bus
from shared.bus.terminals import AT_ONCE, connected, held_by
from shared.bus.topology import HUBS, LEASE_S, PRESENCE
from shared.contracts.base import new_id, now
from shared.contracts.hubs import HubLease, Presence
from shared.errors import Unavailable
from shared.runtime import background
from shared.testing import eventually
from tests.conftest import Broker
from tests.integration.device_hub.conftest import Registry, Site, StartHub, hear


async def entry_of(bus: Bus, device_id: int) -> Presence | None:
    bucket = await bus.js.key_value(PRESENCE)
    try:
        return Presence.decode((await bucket.get(str(device_id))).value or b"")
    except (JetStreamError, TimeoutError):
        return None


async def lease_of(bus: Bus, hub: str) -> HubLease | None:
    """As the hub's own user reads it: no other user may."""
    try:
        return HubLease.decode((await (await bus.js.key_value(HUBS)).get(hub)).value or b"")
    except (JetStreamError, TimeoutError):
        return None


async def test_presence_names_the_hub_and_goes_with_the_terminal(site: Site) -> None:
    async def is_here() -> bool:
        presence = await site.presence(1)
        return presence is not None and presence.hub == "hub-a"

    async def is_gone() -> bool:
        return await site.presence(1) is None

    async with site.terminal(site.registry.devices[1]):
        await eventually(is_here)
    await eventually(is_gone)


async def test_a_terminal_that_vanishes_without_a_word_is_gone_too(site: Site) -> None:
    async def is_gone() -> bool:
        return await site.presence(1) is None

    async with site.terminal(site.registry.devices[1]) as socket:
        await eventually(lambda: is_here(site, 1))
        socket.transport.abort()
        await eventually(is_gone)


async def is_here(site: Site, device_id: int) -> bool:
    return await site.presence(device_id) is not None


async def test_no_presence_before_hello(site: Site) -> None:
    token = await site.token(site.registry.devices[1])
    async with site.dial(token), site.terminal(site.registry.devices[2]):
        await eventually(lambda: is_here(site, 2))
        assert await site.presence(1) is None


async def test_the_replaced_session_does_not_take_the_new_ones_presence_away(site: Site) -> None:
    device = site.registry.devices[1]
    async with site.terminal(device) as old:
        await eventually(lambda: is_here(site, 1))
        first = await site.presence(1)
        async with site.terminal(device):
            assert (await hear(old))["reason"] == "replaced"

            async def is_anew() -> bool:
                presence = await site.presence(1)
                return presence is not None and first is not None and presence.session != first.session

            await eventually(is_anew)
            await old.wait_closed()
            # Anything the old session had to say was said before this one's presence appears.
            async with site.terminal(site.registry.devices[2]):
                await eventually(lambda: is_here(site, 2))
            assert await is_anew()


async def test_a_terminal_that_comes_to_another_hub_ends_its_older_connection(site: Site, start_hub: StartHub) -> None:
    device, here = site.registry.devices[1], site.running
    async with start_hub(instance="hub-b") as other, site.terminal(device) as old:
        await eventually(lambda: is_here(site, 1))
        site.running = other
        async with site.terminal(device):
            assert (await hear(old))["reason"] == "replaced"

            async def is_there() -> bool:
                presence = await site.presence(1)
                return presence is not None and presence.hub == "hub-b"

            await old.wait_closed()
            await eventually(is_there)
            assert (len(here.hub), len(other.hub)) == (0, 1)
            site.running = here


async def test_who_is_connected_is_seen_from_afar_and_a_dead_hubs_word_counts_for_nothing(site: Site) -> None:
    """As the gateway and the command line look it up, more terminals than are looked up at once among them."""
    several = range(1, 2 * AT_ONCE)
    async with site.broker.connect("hub") as other, site.broker.connect("cli") as office:
        said = Presence(hub="hub-z", session=new_id(), since=now())
        await (await other.js.key_value(PRESENCE)).put("2", said.encode())
        async with site.terminal(site.registry.devices[1]):
            await eventually(lambda: is_here(site, 1))
            for bus in (site.gateway, office):
                assert {key: each.hub for key, each in (await connected(bus, several)).items()} == {1: "hub-a"}
                assert (await held_by(bus, several))[2] == said
        assert await connected(site.gateway, []) == {}


async def test_another_hubs_entry_is_left_alone(site: Site, broker: Broker) -> None:
    elsewhere = Presence(hub="hub-z", session=new_id(), since=now())
    async with broker.connect("hub") as other:
        bucket = await other.js.key_value(PRESENCE)
        async with site.terminal(site.registry.devices[1]), site.terminal(site.registry.devices[2]):
            await eventually(lambda: is_here(site, 1))
            await eventually(lambda: is_here(site, 2))
            await bucket.put("1", elsewhere.encode())

        async def second_is_gone() -> bool:
            return await site.presence(2) is None

        await eventually(second_is_gone)
        assert await site.presence(1) == elsewhere


async def test_a_hub_that_was_killed_forgets_its_former_life(
    broker: Broker, registry: Registry, start_hub: StartHub
) -> None:
    async with broker.connect("hub") as other:
        bucket = await other.js.key_value(PRESENCE)
        await bucket.put("7", Presence(hub="hub-a", session=new_id(), since=now()).encode())
        await bucket.put("8", Presence(hub="hub-b", session=new_id(), since=now()).encode())
        await bucket.put("9", b"rubbish")
        async with start_hub(look_back_after_s=0):

            async def is_forgotten() -> bool:
                return await entry_of(other, 7) is None

            await eventually(is_forgotten)
            assert (await entry_of(other, 8)) is not None


async def test_a_stopping_hub_takes_its_presence_and_its_lease_with_it(site: Site, start_hub: StartHub) -> None:
    async with site.broker.connect("hub") as observer:

        async def is_leased() -> bool:
            return await lease_of(observer, "hub-b") is not None

        async with start_hub(instance="hub-b") as other:
            site.running = other
            await eventually(is_leased)
            dialled = site.terminal(site.registry.devices[1])
            await dialled.__aenter__()
            await eventually(lambda: is_here(site, 1))
        assert await site.presence(1) is None
        assert await lease_of(observer, "hub-b") is None
        await dialled.__aexit__(None, None, None)


async def test_the_lease_counts_the_terminals_and_is_renewed_before_it_ends(site: Site) -> None:
    async with site.broker.connect("hub") as observer, site.terminal(site.registry.devices[1]):
        bucket = await observer.js.key_value(HUBS)
        first = (await bucket.get("hub-a")).revision

        async def is_renewed() -> bool:
            return (await bucket.get("hub-a")).revision != first

        await eventually(is_renewed, timeout=LEASE_S / 2)
        assert await lease_of(observer, "hub-a") == HubLease(hub="hub-a", terminals=1)


async def test_presence_and_lease_are_back_after_kill_9_of_the_broker(site: Site) -> None:
    """The buckets live in the broker's memory; terminals stay connected through all of it."""
    async with site.terminal(site.registry.devices[1]) as one, site.terminal(site.registry.devices[2]):
        await eventually(lambda: is_here(site, 1))
        await site.broker.kill()
        await one.send('{"type":"ping","id":1}')
        assert (await hear(one))["type"] == "pong"
        await site.broker.start()

        async def all_back() -> bool:
            return site.gateway.is_connected and await is_here(site, 1) and await is_here(site, 2)

        await eventually(all_back, timeout=20)
        await site.push(1, {"type": "result"})
        assert await hear(one) == {"type": "result"}
        async with site.broker.connect("hub") as observer:

            async def lease_is_back() -> bool:
                return await lease_of(observer, "hub-a") == HubLease(hub="hub-a", terminals=2)

            await eventually(lease_is_back)


async def test_who_leaves_while_the_broker_is_away_is_gone_when_it_is_back(site: Site) -> None:
    async with site.terminal(site.registry.devices[2]):
        async with site.terminal(site.registry.devices[1]):
            await eventually(lambda: is_here(site, 1))
            await eventually(lambda: is_here(site, 2))
            await site.broker.kill()
        await site.broker.start()

        async def settled() -> bool:
            return site.gateway.is_connected and await is_here(site, 2)

        await eventually(settled, timeout=20)
        assert await site.presence(1) is None


async def test_what_waited_for_the_broker_does_not_overwrite_the_newer_hubs_entry(broker: Broker) -> None:
    async with broker.connect("hub") as bus:
        told: list[tuple[int, datetime]] = []
        keeper = PresenceKeeper(bus, "hub-a", lambda *came: told.append(came))
        for device_id in (1, 2):
            keeper.connected(device_id, new_id(), now())
        elsewhere = Presence(hub="hub-z", session=new_id(), since=now())
        await (await bus.js.key_value(PRESENCE)).put("1", elsewhere.encode())
        await keeper.repeat()
        async with background(keeper.keep()):
            assert await keeper.settle(10)
        second = await entry_of(bus, 2)
        assert told == [(1, elsewhere.since)]
        assert await entry_of(bus, 1) == elsewhere and second is not None and second.hub == "hub-a"


async def test_a_hub_is_ready_while_its_lease_is_renewed(broker: Broker) -> None:
    async with broker.connect("hub") as bus:
        lease = Lease(bus, "hub-a", PresenceKeeper(bus, "hub-a", lambda *came: None))
        with pytest.raises(Unavailable):
            await lease.ready()

        async def ready() -> bool:
            return lease.age_s() < LEASE_S

        async with background(lease.renew()):
            await eventually(ready)
            await lease.ready()


async def test_a_lease_that_was_given_up_is_not_renewed(broker: Broker) -> None:
    """A hub says the rest of its farewell after it, for longer than renewals are apart."""
    async with broker.connect("hub") as bus:
        lease = Lease(bus, "hub-a", PresenceKeeper(bus, "hub-a", lambda *came: None))
        renewing = asyncio.create_task(lease.renew())
        await eventually(lambda: _is_leased(bus))
        await lease.end()
        async with asyncio.timeout(LEASE_S):
            await renewing
        assert not await _is_leased(bus)


async def _is_leased(bus: Bus) -> bool:
    return await lease_of(bus, "hub-a") is not None
