"""The hub's copy of the devices, and who may have a token. Pure."""

from collections.abc import Iterable

from shared.codes import DeviceCode
from shared.contracts.devices import Device, DeviceState
from shared.contracts.hubs import HubDevice
from shared.errors import DeviceRefused


class Book:
    """Devices by id, by name and by serial number. Kept packed: 0.5 KiB each, and every hub has all of them."""

    def __init__(self) -> None:
        self._by_id: dict[int, HubDevice] = {}
        self._by_name: dict[str, HubDevice] = {}
        self._by_sn: dict[str, HubDevice] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, device_id: int) -> Device | None:
        known = self._by_id.get(device_id)
        return None if known is None else known.device()

    def ids(self) -> set[int]:
        return set(self._by_id)

    def is_authorised(self, device_id: int) -> bool:
        known = self._by_id.get(device_id)
        return known is not None and known.authorised

    def config_revision(self, device_id: int) -> int | None:
        """None for a device that is not known."""
        known = self._by_id.get(device_id)
        return None if known is None else known.config_revision

    def find(self, name: str, sn: str) -> tuple[Device, ...]:
        """Those that bear this name or this serial number: none, one or two."""
        found = (self._by_name.get(name), self._by_sn.get(sn))
        return tuple({known.device_id: known.device() for known in found if known is not None}.values())

    def secret(self, device_id: int) -> bytes:
        """Empty if it has none."""
        known = self._by_id.get(device_id)
        return b"" if known is None else known.secret

    def put(self, known: HubDevice) -> bool:
        """Add or replace; whoever held its name or serial number before no longer does. Whether its secret is another
        one than before, or none, or the first."""
        earlier = self._by_id.get(known.device_id)
        if earlier == known:
            return False
        self.drop(known.device_id)
        self._by_id[known.device_id] = self._by_name[known.name] = self._by_sn[known.sn] = known
        return earlier is not None and earlier.secret != known.secret

    def configure(self, device_id: int, revision: int, config: str) -> bool:
        """Another configuration (JSON) for a device; False if it is not known, or in a newer one already."""
        known = self._by_id.get(device_id)
        if known is None or known.config_revision >= revision:
            return False
        self.put(known._replace(config_revision=revision, config=config))
        return True

    def suspend(self, device_id: int) -> None:
        """It is authorised no more, if it is known, until it is put again."""
        known = self._by_id.get(device_id)
        if known is not None:
            self.put(known._replace(state=DeviceState.SUSPENDED.value))

    def drop(self, device_id: int) -> None:
        """Forget a device, if it is known."""
        known = self._by_id.pop(device_id, None)
        if known is None:
            return
        if self._by_name.get(known.name) is known:
            del self._by_name[known.name]
        if self._by_sn.get(known.sn) is known:
            del self._by_sn[known.sn]


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
