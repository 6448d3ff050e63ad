"""What other services ask of the hub: issue a token, check one."""

import time

from device_hub import tokens
from device_hub.book import entitled
from device_hub.directory import Directory
from shared.contracts.devices import CheckToken, Device, IssuedToken, IssueToken
from shared.errors import NotAllowed, Unavailable


class TokenDesk:
    """Issues and checks tokens against the hub's copy of the devices."""

    def __init__(self, directory: Directory, secret: bytes, ttl_s: int) -> None:
        self._directory, self._secret, self._ttl_s = directory, secret, ttl_s

    async def issue(self, asked: IssueToken) -> IssuedToken:
        """A token for an authorised device. Raises DeviceRefused (9001, 9004), Unavailable."""
        # FindDevice takes 64 characters: no device's name or serial number is longer.
        found = await self._directory.find(asked.name[:64], asked.sn[:64])
        device = entitled(found, asked.name, asked.sn)
        token = tokens.issue(self._secret, device.device_id, int(time.time()) + self._ttl_s)
        return IssuedToken(token=token, expires_in=self._ttl_s)

    async def check(self, asked: CheckToken) -> Device:
        """The authorised device whose token this is. Raises NotAllowed, Unavailable."""
        try:
            claims = tokens.read(self._secret, asked.token, time.time())
        except tokens.BadToken as error:
            raise NotAllowed("令牌无效或已过期", f"token refused: {error}") from None
        device = await self._directory.by_id(claims.device_id)
        if device is None and not self._directory.loaded:
            raise Unavailable(en="the devices were not read yet")
        if device is None or not device.authorised:
            raise NotAllowed("设备未授权", "the device is not authorised")
        return device
