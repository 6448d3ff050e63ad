"""The copy of the devices, and who may have a token."""

import pytest

from device_hub.book import Book, entitled
from shared.contracts.base import now
from shared.contracts.devices import Device, DeviceConfig, DeviceState
from shared.contracts.hubs import HubDevice, HubDevices
from shared.errors import DeviceRefused


def device(device_id: int, name: str, sn: str, state: DeviceState = DeviceState.AUTHORISED) -> Device:
    return Device(device_id=device_id, name=name, sn=sn, state=state, created_at=now())


EAST, WEST = device(1, "东门", "E1"), device(2, "西门", "W2")


def book(*devices: Device) -> Book:
    filled = Book()
    for each in devices:
        filled.put(HubDevice.of(each, f"secret {each.device_id}".encode()))
    return filled


@pytest.mark.parametrize(
    ("name", "sn", "found"),
    [
        ("东门", "E1", {1}),
        ("东门", "W2", {1, 2}),
        ("东门", "?", {1}),
        ("?", "W2", {2}),
        ("?", "?", set()),
        ("", "", set()),
    ],
)
def test_devices_are_found_by_name_or_serial_number(name: str, sn: str, found: set[int]) -> None:
    assert {each.device_id for each in book(EAST, WEST).find(name, sn)} == found


def test_a_change_of_name_leaves_nothing_behind() -> None:
    filled = book(EAST, device(1, "南门", "S1"))
    assert filled.find("东门", "E1") == ()
    assert filled.find("南门", "S1")[0].device_id == 1
    assert len(filled) == 1


def test_dropping_a_device_does_not_drop_another_that_took_its_name() -> None:
    filled = book(EAST, device(3, "东门", "E3"))
    filled.drop(1)
    assert filled.ids() == {3}
    assert (filled.secret(1), filled.secret(3)) == (b"", b"secret 3")
    assert [each.device_id for each in filled.find("东门", "")] == [3]


def test_dropping_what_is_not_there_is_nothing() -> None:
    filled = book(EAST)
    filled.drop(9)
    assert filled.get(1) == EAST


@pytest.mark.parametrize(
    ("found", "name", "sn", "number"),
    [
        ((), "东门", "E1", 9001),
        ((EAST, WEST), "东门", "W2", 9004),
        ((EAST,), "东门", "E9", 9004),
        ((WEST,), "东门", "W2", 9004),
        ((device(4, "北门", "N4", DeviceState.SUSPENDED),), "北门", "N4", 9001),
        ((device(4, "北门", "N4", DeviceState.PENDING),), "北门", "N4", 9001),
        ((device(4, "北门", "N4", DeviceState.SUSPENDED),), "北门", "N9", 9004),
    ],
)
def test_who_gets_no_token_is_told_why(found: tuple[Device, ...], name: str, sn: str, number: int) -> None:
    with pytest.raises(DeviceRefused) as caught:
        entitled(found, name, sn)
    assert caught.value.number == number


def test_the_authorised_device_is_entitled() -> None:
    assert entitled((EAST,), "东门", "E1") == EAST


def test_packed_and_unpacked_it_is_the_same_device() -> None:
    config = DeviceConfig(greeting="你好", open_ms=500)
    full = Device(**EAST.model_dump(exclude={"classes", "config"}), classes=("一班", "二班"), config=config)
    [again] = HubDevices.decode(HubDevices.of([HubDevice.of(full, b"key")]).encode()).rows()
    assert (again.device(), again.secret) == (full, b"key")
    assert "key" not in repr(again)


def test_no_devices_are_no_columns() -> None:
    assert list(HubDevices.decode(HubDevices.of([]).encode()).rows()) == []


def test_the_same_again_changes_nothing() -> None:
    filled = book(EAST, EAST)
    assert (len(filled), filled.find("东门", "E1")) == (1, (EAST,))
