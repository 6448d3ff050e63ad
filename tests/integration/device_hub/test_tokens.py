"""Tokens over the bus: who gets one, whose it is, with the registry there and away."""

import asyncio
import time

import pytest
from pydantic import SecretStr
from websockets.exceptions import InvalidStatus

from device_hub.tokens import Claims, issue
from shared.bus.topology import SPENT
from shared.contracts.devices import Proof, TokenUse
from shared.contracts.terminals import CheckDevice, CheckSerial, CheckToken, IssueToken
from shared.errors import DeviceRefused, NotAllowed, Unavailable
from shared.testing import eventually
from tests.conftest import Broker
from tests.integration.device_hub.conftest import SECRET, Registry, Site, StartHub, greet


async def test_a_token_names_its_device(site: Site) -> None:
    device = site.registry.devices[1]
    issued = await site.gateway.ask(IssueToken(name=device.name, sn=device.sn))
    assert issued.expires_in == 900
    assert await site.whose(issued.token) == device


@pytest.mark.parametrize(
    ("name", "sn", "number"),
    [
        ("无此门", "SN0", 9001),
        ("门4", "SN4", 9001),
        ("门1", "SN2", 9004),
        ("门1", "SN0", 9004),
        ("无此门", "SN1", 9004),
        ("门1" + "x" * 200, "SN1", 9004),
        ("x" * 256, "y" * 256, 9001),
    ],
)
async def test_refusals_carry_seed_004s_numbers(site: Site, name: str, sn: str, number: int) -> None:
    with pytest.raises(DeviceRefused) as caught:
        await site.gateway.ask(IssueToken(name=name, sn=sn))
    assert caught.value.number == number


async def test_known_devices_cost_the_registry_nothing(site: Site) -> None:
    async def is_read() -> bool:
        before = site.registry.asked
        await site.token(site.registry.devices[1])
        return site.registry.asked == before

    await eventually(is_read)
    before = site.registry.asked
    for _ in range(20):
        await site.whose(await site.token(site.registry.devices[1]))
    assert site.registry.asked == before


async def test_a_device_just_added_gets_its_token_without_waiting_for_news(site: Site) -> None:
    device = site.registry.put(77)
    assert await site.whose(await site.token(device)) == device


async def test_a_removed_devices_token_is_worth_nothing(site: Site) -> None:
    token = await site.token(site.registry.devices[1])
    del site.registry.devices[1]
    await site.registry.announce(1, "removed")

    async def is_refused() -> bool:
        try:
            await site.whose(token)
        except NotAllowed:
            return True
        return False

    await eventually(is_refused)


@pytest.mark.parametrize("token", ["", "0" * 40, "rubbish"])
async def test_forged_tokens_are_refused(site: Site, token: str) -> None:
    with pytest.raises(NotAllowed):
        await site.whose(token)


async def test_another_installations_token_is_refused(site: Site, broker: Broker, start_hub: StartHub) -> None:
    token = await site.token(site.registry.devices[1])
    async with start_hub(instance="hub-b", token_secret=SecretStr("another secret, just as long as it")) as other:
        site.running = other
        with pytest.raises(InvalidStatus, match="401"):
            async with site.dial(token):
                pass


async def test_any_hub_checks_any_hubs_token_of_a_device_it_never_heard_of(site: Site, start_hub: StartHub) -> None:
    async with start_hub(instance="hub-b") as other:
        device = site.registry.put(78)
        tokens = [await site.token(device) for _ in range(4)]
        for token, running in zip(tokens, (other, site.running) * 2, strict=True):
            site.running = running
            async with site.dial(token):
                pass


async def test_with_the_registry_away_known_devices_go_on_and_unknown_ones_are_told_to_wait(
    broker: Broker, start_hub: StartHub
) -> None:
    async with broker.connect("gateway") as gateway, start_hub():
        async with broker.connect("registry") as bus:
            registry = Registry(bus)
            device = registry.put(1)
            await registry.start()
            token = (await gateway.ask(IssueToken(name=device.name, sn=device.sn))).token
        await gateway.ask(IssueToken(name=device.name, sn=device.sn))
        assert await gateway.ask(CheckToken(token=token)) == device
        with pytest.raises(Unavailable):
            await gateway.ask(IssueToken(name="无此门", sn="SN0"))
        with pytest.raises(DeviceRefused):
            await gateway.ask(IssueToken(name=device.name, sn="SN0"))


async def test_a_hub_that_starts_before_the_registry_serves_as_soon_as_it_is_there(
    broker: Broker, start_hub: StartHub
) -> None:
    async with broker.connect("gateway") as gateway, start_hub():
        with pytest.raises(Unavailable):
            await gateway.ask(IssueToken(name="门1", sn="SN1"))
        async with broker.connect("registry") as bus:
            registry = Registry(bus)
            device = registry.put(1)
            await registry.start()
            token = (await gateway.ask(IssueToken(name=device.name, sn=device.sn))).token
            assert await gateway.ask(CheckToken(token=token)) == device


async def test_more_devices_than_one_page(broker: Broker, registry: Registry, start_hub: StartHub) -> None:
    for device_id in range(1_000, 5_500):
        registry.put(device_id)
    async with broker.connect("gateway") as gateway, start_hub():
        before = registry.asked

        async def all_are_known() -> bool:
            nonlocal before
            before = registry.asked
            await gateway.ask(IssueToken(name="门5499", sn="SN5499"))
            await gateway.ask(IssueToken(name="门1000", sn="SN1000"))
            return registry.asked == before

        await eventually(all_are_known)
        for device_id in range(1_000, 5_500, 500):
            await gateway.ask(IssueToken(name=f"门{device_id}", sn=f"SN{device_id}"))
        assert registry.asked == before


# ---- tokens that are good once


async def spent(site: Site, token: str) -> int:
    """0 if it was good, else the number of the refusal."""
    try:
        await site.gateway.ask(CheckToken(token=token, spend=True))
    except NotAllowed as error:
        return error.number
    return 0


async def test_a_token_is_good_once(site: Site) -> None:
    token = await site.token(site.registry.devices[1])
    assert [await spent(site, token) for _ in range(3)] == [0, 9001, 9001]
    assert await spent(site, await site.token(site.registry.devices[1])) == 0


async def test_of_many_that_spend_one_token_at_two_hubs_one_may(site: Site, start_hub: StartHub) -> None:
    async with start_hub(instance="hub-b"):
        token = await site.token(site.registry.devices[1])
        answers = await asyncio.gather(*(spent(site, token) for _ in range(32)))
    assert sorted(answers) == [0] + [9001] * 31


async def test_a_hub_that_restarts_remembers(site: Site, start_hub: StartHub) -> None:
    token = await site.token(site.registry.devices[1])
    assert await spent(site, token) == 0
    async with start_hub(instance="hub-b"):
        assert await spent(site, token) == 9001


async def test_timed_tokens_are_good_until_they_expire(site: Site) -> None:
    device = site.registry.put(50, tokens=TokenUse.TIMED)
    token = await site.token(device)
    assert [await spent(site, token) for _ in range(3)] == [0, 0, 0]


async def test_an_expired_token_says_so(site: Site) -> None:
    claims = Claims(1, int(time.time()) - 1, b"\0" * 4)
    assert await spent(site, issue(SECRET.encode(), claims)) == 7


async def test_a_connection_spends_its_token(site: Site) -> None:
    token = await site.token(site.registry.devices[1])
    async with site.dial(token) as socket:
        await greet(socket)
    with pytest.raises(InvalidStatus, match="401"):
        async with site.dial(token):
            pass


async def test_what_was_spent_goes_with_the_tokens_life(site: Site) -> None:
    """And until then it is kept: an entry's own time to live is the token's."""
    claims = Claims(1, int(time.time()) + 2, b"\0" * 4)
    token = issue(SECRET.encode(), claims)
    assert await spent(site, token) == 0
    async with site.broker.connect("hub") as hub:

        async def remembered() -> int:
            return int((await hub.js.stream_info(f"KV_{SPENT}")).state.messages)

        assert await remembered() == 1

        async def is_gone() -> bool:
            return await remembered() == 0

        await eventually(is_gone, 10)
    assert await spent(site, token) == 7


async def test_serial_numbers_are_proof_only_where_the_office_says_so(site: Site) -> None:
    trusted = site.registry.devices[1]
    assert await site.gateway.ask(CheckSerial(name=trusted.name, sn=trusted.sn)) == trusted
    careful = site.registry.put(51, proof=Proof.SECRET)
    for name, sn, number in (
        (careful.name, careful.sn, 9001),
        (trusted.name, careful.sn, 9004),
        ("门4", "SN4", 9001),
        ("无此门", "SN0", 9001),
    ):
        with pytest.raises(DeviceRefused) as caught:
            await site.gateway.ask(CheckSerial(name=name, sn=sn))
        assert caught.value.number == number


async def test_a_device_is_known_by_its_id_while_it_is_authorised(site: Site) -> None:
    assert (await site.gateway.ask(CheckDevice(device_id=1))).name == "门1"
    for device_id in (4, 99):
        with pytest.raises(NotAllowed):
            await site.gateway.ask(CheckDevice(device_id=device_id))
