"""Terminals, on both databases."""

import asyncio

import pytest
from sqlalchemy import select

from registry.handlers import Devices
from registry.store.database import Database
from registry.tables import Audit, Outbox
from shared.contracts.devices import AddDevice, DeviceChanged, FindDevice, ListDevices, RemoveDevice
from shared.errors import Conflict, NotFound


def adding(name: str, sn: str) -> AddDevice:
    return AddDevice(name=name, sn=sn, by="cli")


async def test_a_terminal_is_added_and_announced(devices: Devices, database: Database) -> None:
    device = await devices.add(adding("正门", "SN-1"))
    assert (device.name, device.sn, device.authorised) == ("正门", "SN-1", True)
    assert (await devices.listed(ListDevices())).devices == (device,)
    [body] = await database.read(lambda session: session.scalars(select(Outbox.body)))
    event = DeviceChanged.decode(body)
    assert (event.device_id, event.change, event.by) == (device.device_id, "added", "cli")


async def test_the_same_terminal_again_is_the_same(devices: Devices) -> None:
    answers = await asyncio.gather(*(devices.add(adding("a", "1")) for _ in range(4)))
    assert len(set(answers)) == 1


@pytest.mark.parametrize(("name", "sn", "field"), [("a", "9", "name"), ("z", "1", "sn"), ("a", "2", "name")])
async def test_names_and_serial_numbers_belong_to_one(devices: Devices, name: str, sn: str, field: str) -> None:
    await devices.add(adding("a", "1"))
    await devices.add(adding("b", "2"))
    with pytest.raises(Conflict) as caught:
        await devices.add(adding(name, sn))
    assert (caught.value.field in ("name", "sn") and (name, sn) == ("a", "2")) or caught.value.field == field


async def test_finding_by_name_or_serial_number(devices: Devices) -> None:
    a, b = [await devices.add(adding(*pair)) for pair in (("a", "1"), ("b", "2"))]
    assert (await devices.found(FindDevice(name="a", sn="2"))).devices == (a, b)
    assert (await devices.found(FindDevice(name="a", sn="1"))).devices == (a,)
    assert (await devices.found(FindDevice(name="A", sn="%"))).devices == ()


async def test_a_removed_terminal_is_gone_and_its_id_is_never_given_again(devices: Devices, database: Database) -> None:
    device = await devices.add(adding("a", "1"))
    await devices.remove(RemoveDevice(device_id=device.device_id, by="office"))
    assert (await devices.listed(ListDevices())).devices == ()
    with pytest.raises(NotFound):
        await devices.remove(RemoveDevice(device_id=device.device_id, by="office"))
    assert (await devices.add(adding("a", "1"))).device_id > device.device_id
    trace = await database.read(lambda session: session.scalars(select(Audit.action).order_by(Audit.id)))
    assert list(trace) == ["device added", "device removed", "device added"]


async def test_the_list_comes_in_pages_by_name(devices: Devices) -> None:
    for name in "cab":
        await devices.add(adding(name, f"sn-{name}"))
    assert [d.name for d in (await devices.listed(ListDevices(offset=1, limit=1))).devices] == ["b"]
