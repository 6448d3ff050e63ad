"""Tokens that were used up: the KV bucket `spent`, one for all hubs.

Of all that create the same key, the broker lets one. An entry goes by itself when the token's time is over, and the
bucket is bounded: while it is full no token is taken, which is safe, and said (Unavailable).
"""

import math

import structlog
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError
from nats.js.errors import KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from device_hub.tokens import Claims
from shared.bus import Bus
from shared.bus.topology import SPENT
from shared.errors import Unavailable

log = structlog.get_logger("spent")


class SpentTokens:
    """Spends tokens."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._bucket: KeyValue | None = None

    async def spend(self, claims: Claims, now: float) -> bool:
        """Use a token up; False if it was already. Raises Unavailable: nobody knows, so it shall not count."""
        try:
            if self._bucket is None:
                self._bucket = await self._bus.js.key_value(SPENT)
            await self._bucket.create(claims.name, b"", msg_ttl=max(1, math.ceil(claims.expires - now)))
        except KeyWrongLastSequenceError:
            return False
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            log.warning("token not spent", reason=repr(error))
            raise Unavailable(en="tokens cannot be checked now") from None
        return True
