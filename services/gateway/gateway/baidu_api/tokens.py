"""Access tokens: a signed note of whose they are and how long they hold, so every gateway knows every token. Pure.

24.<32 hex: the mac>.2592000.<expiry, unix seconds>.<key id>-<app id>          (V3 §2.1)
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final

from gateway.baidu_api.refusals import refused
from shared.codes import FaceCode

LIFETIME_S: Final = 2_592_000
_SHAPE: Final = re.compile(r"24\.([0-9a-f]{32})\.2592000\.([0-9]{1,11})\.([0-9]{1,18})-([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a token is."""

    key_id: int
    app_id: int


class AccessTokens:
    """Makes and reads them. `secret` is the one that every gateway of an installation shares."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.new(secret.encode(), b"rollcall access token", hashlib.sha256).digest()

    def make(self, owner: Owner, now: float) -> str:
        """A token that holds for LIFETIME_S."""
        expiry = int(now) + LIFETIME_S
        return f"24.{self._mac(expiry, owner)}.{LIFETIME_S}.{expiry}.{owner.key_id}-{owner.app_id}"

    def read(self, token: str, now: float) -> Owner:
        """Raises 100 (not a token), 110 (not one of ours), 111 (its time is over)."""
        found = _SHAPE.fullmatch(token)
        if not found:
            raise refused(FaceCode.INVALID_PARAMETER)
        expiry, owner = int(found[2]), Owner(int(found[3]), int(found[4]))
        if not hmac.compare_digest(found[1], self._mac(expiry, owner)):
            raise refused(FaceCode.TOKEN_INVALID)
        if expiry <= now:
            raise refused(FaceCode.TOKEN_EXPIRED)
        return owner

    def _mac(self, expiry: int, owner: Owner) -> str:
        said = f"{expiry}.{owner.key_id}-{owner.app_id}"
        return hmac.new(self._key, said.encode(), hashlib.sha256).hexdigest()[:32]
