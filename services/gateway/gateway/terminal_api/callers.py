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
NEWCOMERS: Final = Rate(burst=200, per_second=1 / 900)
"""How many terminals that may not enter yet one address may show the office: a delivery at once, and then so few that
within the week after which silent ones are forgotten they do not fill the list (MAX_PENDING)."""
ONCE_A_DAY: Final = Rate(burst=1, per_second=1 / 86_400)
Answer = TypeVar("Answer", bound=Message)


class Callers:
    """Asks the device-hub. A call that was admitted has used up its token."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._guesses = Throttle(WRONG_SERIALS)
        self._newcomers, self._counted = Throttle(NEWCOMERS), Throttle(ONCE_A_DAY)

    async def issue(self, sent: Sent) -> dict[str, Any]:
        """A fresh token; or, for a terminal with a secret, the challenge that it must answer first. Raises 9001–5."""
        device = parameters.fully_named(sent)
        challenge, answer = (parameters.hexadecimal(sent, name) for name in ("challenge", "answer"))
        room = self._has_room(sent.address)
        asked = IssueToken(name=device.name, sn=device.sn, challenge=challenge, answer=answer, announce=room)
        try:
            issued = await self._not_guessed(sent, device.name, asked)
        except DeviceRefused as error:
            if room and error.number == DeviceCode.PERMISSION_DENIED:
                self._count(sent.address, device)
            raise
        if issued.token:
            return {"token": issued.token}
        denied = DeviceCode.PERMISSION_DENIED
        return {
            "code": int(denied),
            "message": f"{denied.printed}: answer the challenge",
            "challenge": issued.challenge,
        }

    def _has_room(self, address: str) -> bool:
        """Whether this address may show the office one more terminal."""
        try:
            self._newcomers.look(address)
        except TooFast:
            return False
        return True

    def _count(self, address: str, device: parameters.Named) -> None:
        """A terminal was not let in; it asks again and again, and counts once."""
        with contextlib.suppress(TooFast):
            self._counted.take(f"{bucket_of(address)} {device.name} {device.sn}")
            self._newcomers.take(address)

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
