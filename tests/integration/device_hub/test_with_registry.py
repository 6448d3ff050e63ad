"""The hub with the real registry on SQLite: the office adds a terminal, it connects, the office removes it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from websockets.exceptions import InvalidStatus

from device_hub.challenges import answer_to
from registry import service as registry_service
from registry.settings import RegistrySettings
from shared.contracts.devices import (
    AddDevice,
    AuthoriseDevice,
    DeviceState,
    ListDevices,
    Proof,
    RemoveDevice,
    SuspendDevice,
)
from shared.contracts.terminals import IssueToken
from shared.errors import DeviceRefused, Refused
from shared.testing import eventually
from tests.conftest import PASSWORDS, Broker
from tests.integration.device_hub.conftest import Registry, Site, StartHub, greet, hear


@pytest.fixture
async def real_site(broker: Broker, tmp_path: Path, start_hub: StartHub) -> AsyncIterator[Site]:
    settings = RegistrySettings(
        nats_url=broker.url,
        nats_password=SecretStr(PASSWORDS["registry"]),
        database=SecretStr(f"sqlite+aiosqlite:///{tmp_path}/rollcall.db"),
        library_key=SecretStr("ab" * 32),
    )
    async with registry_service.service(settings), start_hub() as running, broker.connect("gateway") as gateway:
        yield Site(broker, Registry(gateway), gateway, running)


async def test_a_terminals_life_from_the_office_to_the_cut(real_site: Site) -> None:
    device = (await real_site.gateway.ask(AddDevice(name="东门", sn="E-1", proof=Proof.SERIAL, by="office"))).device
    async with real_site.dial(await real_site.token(device)) as socket:
        assert (await greet(socket))["name"] == "东门"
        await real_site.gateway.ask(RemoveDevice(device_id=device.device_id, by="office"))
        assert await hear(socket) == {"type": "bye", "reason": "revoked"}
    with pytest.raises(DeviceRefused) as caught:
        await real_site.token(device)
    assert caught.value.number == 9001


async def test_a_terminal_added_again_is_another_device(real_site: Site) -> None:
    """Tokens name the device by its id, so an id must never be used twice."""
    first = (await real_site.gateway.ask(AddDevice(name="东门", sn="E-1", proof=Proof.SERIAL, by="office"))).device
    token = await real_site.token(first)
    await real_site.gateway.ask(RemoveDevice(device_id=first.device_id, by="office"))
    second = (await real_site.gateway.ask(AddDevice(name="东门", sn="E-1", proof=Proof.SERIAL, by="office"))).device
    assert second.device_id != first.device_id

    async def new_one_is_known() -> bool:
        """To the hub, which hears of both changes a moment later."""
        try:
            return (await real_site.whose(await real_site.token(second))).device_id == second.device_id
        except Refused:
            return False

    await eventually(new_one_is_known)
    async with real_site.dial(await real_site.token(second)) as socket:
        assert (await greet(socket))["device"] == second.device_id
    with pytest.raises(InvalidStatus, match="401"):
        async with real_site.dial(token):
            pass


async def test_a_new_terminal_waits_is_let_in_with_a_secret_and_is_cut_when_suspended(real_site: Site) -> None:
    ask = real_site.gateway.ask
    with pytest.raises(DeviceRefused, match="waits for the office") as caught:
        await ask(IssueToken(name="东门", sn="E-1"))
    assert caught.value.number == 9001
    [waiting] = (await ask(ListDevices(state=DeviceState.PENDING))).devices
    issued = await ask(AuthoriseDevice(device_id=waiting.device_id, proof=Proof.SECRET, by="office"))
    secret = issued.secret.get_secret_value().encode()

    async def challenged() -> str:
        return (await ask(IssueToken(name="东门", sn="E-1"))).challenge

    challenge = await challenged()
    for wrong in ("0" * 64, answer_to(b"another", challenge)):
        with pytest.raises(DeviceRefused, match="wrong answer"):
            await ask(IssueToken(name="东门", sn="E-1", challenge=challenge, answer=wrong))
    right = IssueToken(name="东门", sn="E-1", challenge=challenge, answer=answer_to(secret, challenge))
    token = (await ask(right)).token
    async with real_site.dial(token) as socket:
        assert (await greet(socket))["device"] == waiting.device_id
        await ask(SuspendDevice(device_id=waiting.device_id, by="office"))
        assert await hear(socket) == {"type": "bye", "reason": "revoked"}
    with pytest.raises(DeviceRefused, match="suspended"):
        await ask(IssueToken(name="东门", sn="E-1"))
