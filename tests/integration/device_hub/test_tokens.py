"""Tokens over the bus: who gets one, whose it is, with the registry there and away."""

import pytest
from pydantic import SecretStr
from websockets.exceptions import InvalidStatus

from shared.contracts.devices import CheckToken, IssueToken
from shared.errors import DeviceRefused, NotAllowed, Unavailable
from shared.testing import eventually
from tests.conftest import Broker
from tests.integration.device_hub.conftest import Registry, Site, StartHub


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
        for port in (other, site.running):
            site.running = port
            async with site.dial(tokens[0]):
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
