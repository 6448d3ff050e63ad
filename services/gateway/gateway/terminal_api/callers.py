"""Which terminal calls: its token, or its name and serial number where the office lets these be enough."""

from typing import Any

from gateway.terminal_api import parameters
from gateway.terminal_api.reading import Sent
from gateway.terminal_api.refusals import refused
from shared.bus import Bus
from shared.codes import DeviceCode
from shared.contracts.devices import Device
from shared.contracts.terminals import CheckDevice, CheckSerial, CheckToken, IssueToken


class Callers:
    """Asks the device-hub. A call that was admitted has used up its token."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def issue(self, sent: Sent) -> dict[str, Any]:
        """A fresh token; or, for a terminal with a secret, the challenge that it must answer first. Raises 9001–5."""
        device = parameters.fully_named(sent)
        challenge, answer = (parameters.hexadecimal(sent, name) for name in ("challenge", "answer"))
        asked = IssueToken(name=device.name, sn=device.sn, challenge=challenge, answer=answer)
        issued = await self._bus.ask(asked)
        if issued.token:
            return {"token": issued.token}
        denied = DeviceCode.PERMISSION_DENIED
        return {
            "code": int(denied),
            "message": f"{denied.printed}: answer the challenge",
            "challenge": issued.challenge,
        }

    async def admit(self, sent: Sent) -> Device:
        """The authorised terminal that calls. Raises 7, 9001, 9003–9005."""
        said, token = parameters.named(sent), parameters.token(sent)
        if not token:
            return await self._by_serial(said)
        device = await self._bus.ask(CheckToken(token=token, spend=True))
        if said.name not in ("", device.name) or said.sn not in ("", device.sn):
            raise refused(DeviceCode.NAME_SERIAL_MISMATCH, "令牌属于另一台设备", "the token is another device's")
        return device

    async def _by_serial(self, said: parameters.Named) -> Device:
        if not said.name or not said.sn:
            raise parameters.missing("token")
        return await self._bus.ask(CheckSerial(name=said.name, sn=said.sn))

    async def still_authorised(self, device_id: int) -> Device:
        """Raises 9001."""
        return await self._bus.ask(CheckDevice(device_id=device_id))
