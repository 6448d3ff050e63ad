"""The hub's copy of the devices, and who may have a token. Pure."""

from collections.abc import Iterable

from shared.codes import DeviceCode
from shared.contracts.devices import Device, DeviceState, HubDevice
from shared.errors import DeviceRefused


class Book:
    """Devices by id, by name and by serial number; and the secrets of those that have one."""

    def __init__(self) -> None:
        self._by_id: dict[int, Device] = {}
        self._secrets: dict[int, bytes] = {}
        self._by_name: dict[str, Device] = {}
        self._by_sn: dict[str, Device] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, device_id: int) -> Device | None:
        return self._by_id.get(device_id)

    def ids(self) -> set[int]:
        return set(self._by_id)

    def find(self, name: str, sn: str) -> tuple[Device, ...]:
        """Those that bear this name or this serial number: none, one or two."""
        found = (self._by_name.get(name), self._by_sn.get(sn))
        return tuple({device.device_id: device for device in found if device is not None}.values())

    def secret(self, device_id: int) -> bytes:
        """Empty if it has none."""
        return self._secrets.get(device_id, b"")

    def put(self, known: HubDevice) -> None:
        """Add or replace; whoever held its name or serial number before no longer does."""
        device, secret = known.device, known.secret.get_secret_value()
        self.drop(device.device_id)
        if secret:
            self._secrets[device.device_id] = secret
        self._by_id[device.device_id] = device
        self._by_name[device.name] = device
        self._by_sn[device.sn] = device

    def drop(self, device_id: int) -> None:
        """Forget a device, if it is known."""
        device = self._by_id.pop(device_id, None)
        if device is None:
            return
        self._secrets.pop(device_id, None)
        for index, key in ((self._by_name, device.name), (self._by_sn, device.sn)):
            holder = index.get(key)
            if holder is not None and holder.device_id == device_id:
                del index[key]


def entitled(found: Iterable[Device], name: str, sn: str) -> Device:
    """The one device that bears both this name and this serial number, if it is authorised.

    Raises DeviceRefused with seed 004's number: 9001 unknown or not authorised, 9004 name and serial number
    do not belong together.
    """
    for device in (candidates := tuple(found)):
        if device.name == name and device.sn == sn:
            return _authorised(device)
    if candidates:
        raise refusal(
            DeviceCode.NAME_SERIAL_MISMATCH, "设备名称与序列号不符", "Device name and the serial number mismatched"
        )
    raise refusal(DeviceCode.PERMISSION_DENIED, "设备未登记", "Device permission denied: unknown device")


def _authorised(device: Device) -> Device:
    match device.state:
        case DeviceState.PENDING:
            raise refusal(
                DeviceCode.PERMISSION_DENIED,
                "设备正在等待办公室授权",
                "Device permission denied: it waits for the office to authorise it",
            )
        case DeviceState.SUSPENDED:
            raise refusal(DeviceCode.PERMISSION_DENIED, "设备已停用", "Device permission denied: suspended")
    return device


def refusal(number: DeviceCode, zh: str, en: str) -> DeviceRefused:
    """A refusal with seed 004's code."""
    return DeviceRefused(zh, en, number=int(number))
