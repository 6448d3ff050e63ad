"""Token buckets per client address, in bounded memory."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from shared.errors import Refused

REMEMBERED = 10_000
"""Addresses kept; the longest silent one is forgotten first, and by then its bucket is usually full again."""


class TooFast(Refused):
    """`number` is how many seconds to wait."""

    code = "too_fast"


@dataclass(frozen=True, slots=True)
class Rate:
    """A burst, and what flows back every second."""

    burst: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Rates:
    """The gateway's limits. A whole school may sit behind one address, so they stop floods, not classrooms."""

    clock_in: Rate = Rate(burst=120, per_second=40)
    """forty kiosks that post once a second"""
    register: Rate = Rate(burst=40, per_second=1)
    """a computer room that registers together, then one a second"""
    challenge: Rate = Rate(burst=40, per_second=0.2)
    """attempts at a challenge; who guesses what will be asked is right once in 22"""
    password: Rate = Rate(burst=8, per_second=0.1)
    """guesses; argon2 also costs us a tenth of a second each"""


class Throttle:
    """One bucket for each address."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic, remembered: int = REMEMBERED) -> None:
        self._rate, self._clock, self._remembered = rate, clock, remembered
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: str) -> None:
        """Spend one token of this address. Raises TooFast."""
        who, at = bucket_of(address), self._clock()
        left = self._left(who, at)
        self._remember(who, (left - 1 if left >= 1 else left, at))
        self._refuse(left)

    def look(self, address: str) -> None:
        """Raises TooFast if this address has no token; spends none."""
        self._refuse(self._left(bucket_of(address), self._clock()))

    def _left(self, who: str, at: float) -> float:
        left, since = self._buckets.get(who, (self._rate.burst, at))
        return min(self._rate.burst, left + (at - since) * self._rate.per_second)

    def _refuse(self, left: float) -> None:
        if left < 1:
            wait = max(1, round((1 - left) / self._rate.per_second + 0.5))
            raise TooFast(f"操作太频繁，请 {wait} 秒后再试", f"Too many requests, please wait {wait} s", number=wait)

    def _remember(self, who: str, bucket: tuple[float, float]) -> None:
        self._buckets[who] = bucket
        self._buckets.move_to_end(who)
        while len(self._buckets) > self._remembered:
            self._buckets.popitem(last=False)


def bucket_of(address: str) -> str:
    """Whose bucket an address uses: an IPv6 host owns its whole /64, so that is one client."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
