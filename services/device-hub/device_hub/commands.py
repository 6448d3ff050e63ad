"""What other services ask of the hub: issue a token, check one, know a device, let a terminal do something."""

import contextlib
import secrets
import time
from collections.abc import Callable
from typing import Literal

from pydantic import ValidationError

from device_hub import challenges, tokens
from device_hub.book import entitled, refusal
from device_hub.deeds import Deeds
from device_hub.directory import Directory
from device_hub.hub import Hub
from device_hub.spent import SpentTokens
from shared.codes import DeviceCode
from shared.contracts.devices import Device, DeviceState, Proof, TokenUse
from shared.contracts.terminals import (
    CheckDevice,
    CheckSerial,
    CheckToken,
    IssuedToken,
    IssueToken,
    OrderOutcome,
    TerminalOrder,
)
from shared.errors import Conflict, Failed, Gone, InvalidInput, NotAllowed, Unavailable
from shared.metrics import nobody_counts


class TokenDesk:
    """Issues and checks tokens against the hub's copy of the devices."""

    def __init__(self, directory: Directory, spent: SpentTokens, secret: bytes, ttl_s: int) -> None:
        self._directory, self._spent, self._secret, self._ttl_s = directory, spent, secret, ttl_s

    async def issue(self, asked: IssueToken) -> IssuedToken:
        """A token for an authorised device, or a challenge for one that proves itself with a secret. An unknown one
        is announced to the office. Raises DeviceRefused (9001, 9003, 9004), Unavailable."""
        # The registry takes 64 characters: no device's name or serial number is longer.
        found = await self._directory.find(asked.name[:64], asked.sn[:64])
        if any(device.state is DeviceState.PENDING and device.sn == asked.sn for device in found):
            with contextlib.suppress(Failed):  # it asks again: the registry forgets who does not
                await self._announced(asked)
        if not found and asked.announce:
            found = await self._announced(asked)
        device = entitled(found, asked.name, asked.sn)
        if device.proof is Proof.SECRET:
            if not asked.answer:
                return IssuedToken(challenge=challenges.issue(self._secret, time.time()))
            self._check_answer(device.device_id, asked)
        claims = tokens.Claims(device.device_id, int(time.time()) + self._ttl_s, secrets.token_bytes(tokens.NONCE))
        return IssuedToken(token=tokens.issue(self._secret, claims), expires_in=self._ttl_s)

    def challenge(self) -> str:
        """For a terminal that is about to connect."""
        return challenges.issue(self._secret, time.time())

    async def admit(self, challenge: str, answer: str, sn: str) -> Device:
        """The authorised device of this serial number, which answered a challenge with its secret: as good as a token,
        and neither the gateway nor the broker hears of it. Raises NotAllowed (9001), Unavailable."""
        if not challenges.holds(self._secret, challenge, time.time()):
            raise _refused("质询无效或已过期", "the challenge is not ours or has expired; get a new one")
        device, secret = await self._with_secret(sn)
        if not challenges.answered(self._secret, secret, challenge, answer, time.time()):
            raise _refused("设备密钥不对", "wrong answer to the challenge")
        return device

    async def admit_now(self, at_ms: str, proof: str, sn: str) -> Device:
        """The same for a terminal that knows our time and was not asked. Raises NotAllowed (9001), Unavailable."""
        if not challenges.is_now(at_ms, time.time()):
            raise _refused("时间与服务器相差太多", "its time is too far from ours; get a challenge")
        device, secret = await self._with_secret(sn)
        if not challenges.proves(secret, at_ms, proof):
            raise _refused("设备密钥不对", "wrong proof of the secret")
        return device

    def secret(self, device_id: int) -> bytes:
        """What a device proves itself with now, empty if with nothing."""
        return self._directory.secret(device_id)

    async def _with_secret(self, sn: str) -> tuple[Device, bytes]:
        device = await self._directory.by_serial(sn)
        if device is None or not device.authorised or device.proof is not Proof.SECRET:
            raise _refused("设备未授权", "the device is not authorised")
        return device, self._directory.secret(device.device_id)

    async def _announced(self, asked: IssueToken) -> tuple[Device, ...]:
        try:
            return (await self._directory.announce(asked.name, asked.sn),)
        except ValidationError:  # longer than any name or serial number: nobody's
            return ()
        except InvalidInput as error:
            raise refusal(DeviceCode.NAME_OR_SERIAL_WRONG, error.zh, error.en) from None
        except Conflict:
            return tuple(await self._directory.find(asked.name[:64], asked.sn[:64]))
        except NotAllowed as error:
            raise refusal(DeviceCode.PERMISSION_DENIED, error.zh, f"Device permission denied: {error.en}") from None

    def _check_answer(self, device_id: int, asked: IssueToken) -> None:
        secret = self._directory.secret(device_id)
        if not challenges.answered(self._secret, secret, asked.challenge, asked.answer, time.time()):
            raise refusal(
                DeviceCode.PERMISSION_DENIED, "设备密钥不对或质询已过期", "Device permission denied: wrong answer"
            )

    async def check(self, asked: CheckToken) -> Device:
        """The authorised device whose token this is. Raises NotAllowed (7, 9001), Unavailable."""
        at = time.time()
        try:
            claims = tokens.read(self._secret, asked.token, at)
        except tokens.Expired:
            raise _refused("令牌已过期", "token refused: expired", DeviceCode.EXPIRED) from None
        except tokens.BadToken as error:
            raise _refused("令牌无效", f"token refused: {error}") from None
        device = await self._authorised(claims.device_id)
        if asked.spend and device.tokens is TokenUse.ONCE and not await self._spent.spend(claims, at):
            raise _refused("令牌已使用过，请重新获取", "token refused: it was used already; get a new one")
        return device

    async def check_device(self, asked: CheckDevice) -> Device:
        """Raises NotAllowed (9001), Unavailable."""
        return await self._authorised(asked.device_id)

    async def check_serial(self, asked: CheckSerial) -> Device:
        """Raises DeviceRefused (9001, 9004), Unavailable."""
        device = entitled(await self._directory.find(asked.name, asked.sn), asked.name, asked.sn)
        if device.proof is not Proof.SERIAL:
            raise refusal(DeviceCode.PERMISSION_DENIED, "请先获取令牌", "Device permission denied: a token is needed")
        return device

    async def _authorised(self, device_id: int) -> Device:
        device = await self._directory.by_id(device_id)
        if device is None and not self._directory.loaded:
            raise Unavailable(en="the devices were not read yet")
        if device is None or not device.authorised:
            raise _refused("设备未授权", "the device is not authorised")
        return device


Ordered = Literal["done", "not_done", "offline", "unanswered"]
"""What came of an order: the terminal did it or said why not, was not there, did not answer in time."""
Told = Callable[[Ordered, float], None]
"""Told of each order that is over, and how many seconds it took."""


class OrderDesk:
    """Hands orders to terminals, and writes down what came of each that was sent."""

    def __init__(self, hub: Hub, deeds: Deeds, told: Told = nobody_counts) -> None:
        self._hub, self._deeds, self._told = hub, deeds, told

    async def order(self, asked: TerminalOrder) -> OrderOutcome:
        """The terminal's answer. Raises Gone, Unavailable."""
        began = time.perf_counter()
        came: Ordered = "unanswered"
        try:
            outcome = await self._ordered(asked)
            came = "done" if outcome.ok else "not_done"
        except Gone:
            came = "offline"
            raise
        finally:
            self._told(came, time.perf_counter() - began)
        return outcome

    async def _ordered(self, asked: TerminalOrder) -> OrderOutcome:
        sent = self._hub.order(asked)
        try:
            outcome = await sent
        except (Gone, Unavailable) as error:
            self._deeds.note(asked, OrderOutcome(ok=False, error=error.code, detail=error.en))
            raise
        self._deeds.note(asked, outcome)
        return outcome


def _refused(zh: str, en: str, number: DeviceCode = DeviceCode.PERMISSION_DENIED) -> NotAllowed:
    return NotAllowed(zh, en, number=int(number))
