"""Which terminal calls: its token, or its name and serial number where the office lets these be enough."""

import contextlib
from typing import Any, Final, TypeVar

from gateway.terminal_api import parameters
from gateway.terminal_api.reading import Sent
from gateway.terminal_api.refusals import refused
from gateway.throttle import Rate, Throttle, TooFast, bucket_of
from shared.bus import Bus
from shared.codes import DeviceCode
from shared.contracts.base import Command, Message
from shared.contracts.devices import Device
from shared.contracts.terminals import CheckDevice, CheckSerial, CheckToken, IssueToken
from shared.errors import DeviceRefused

WRONG_SERIALS: Final = Rate(burst=10, per_second=0.1)
"""How often one address may err in one name's serial number. The name stands on the wall; where the office lets the
two be enough, the number is all that keeps others out."""
Answer = TypeVar("Answer", bound=Message)


class Callers:
    """Asks the device-hub. A call that was admitted has used up its token."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._guesses = Throttle(WRONG_SERIALS)

    async def issue(self, sent: Sent) -> dict[str, Any]:
        """A fresh token; or, for a terminal with a secret, the challenge that it must answer first. Raises 9001–5."""
        device = parameters.fully_named(sent)
        challenge, answer = (parameters.hexadecimal(sent, name) for name in ("challenge", "answer"))
        asked = IssueToken(name=device.name, sn=device.sn, challenge=challenge, answer=answer)
        issued = await self._not_guessed(sent, device.name, asked)
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
            return await self._by_serial(sent, said)
        device = await self._bus.ask(CheckToken(token=token, spend=True))
        if said.name not in ("", device.name) or said.sn not in ("", device.sn):
            raise refused(DeviceCode.NAME_SERIAL_MISMATCH, "令牌属于另一台设备", "the token is another device's")
        return device

    async def _by_serial(self, sent: Sent, said: parameters.Named) -> Device:
        if not said.name or not said.sn:
            raise parameters.missing("token")
        return await self._not_guessed(sent, said.name, CheckSerial(name=said.name, sn=said.sn))

    async def _not_guessed(self, sent: Sent, name: str, asked: Command[Answer]) -> Answer:
        """Ask, unless this address has been wrong about this name too often (8)."""
        guesser = f"{bucket_of(sent.address)} {name}"
        try:
            self._guesses.look(guesser)
        except TooFast as error:
            raise refused(DeviceCode.PAUSE, error.zh, error.en) from None
        try:
            return await self._bus.ask(asked)
        except DeviceRefused as error:
            if error.number == DeviceCode.NAME_SERIAL_MISMATCH:
                with contextlib.suppress(TooFast):
                    self._guesses.take(guesser)
            raise

    async def still_authorised(self, device_id: int) -> Device:
        """Raises 9001."""
        return await self._bus.ask(CheckDevice(device_id=device_id))
