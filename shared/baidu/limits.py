"""How hard the cloud may be pressed: calls per second, waits after a refusal, and when to stop asking. Pure: clock and
chance are arguments."""

import random
import time
from collections.abc import Callable
from enum import Enum

Clock = Callable[[], float]
"""seconds, from any fixed moment"""


class TokenBucket:
    """`rate` calls per second, evenly spaced: Baidu counts by the second, so a burst on top would be refused."""

    def __init__(self, rate: float, clock: Clock = time.monotonic) -> None:
        self._gap = 1.0 / rate
        self._clock = clock
        self._next = clock()

    def wait_s(self) -> float:
        """How long a call would have to wait if it were taken now, in seconds."""
        return max(0.0, self._next - self._clock())

    def take(self, longest_s: float) -> float | None:
        """Take the next free moment; the seconds until then, or None, and nothing is taken, if that is too long."""
        wait = self.wait_s()
        if wait > longest_s:
            return None
        self._next = max(self._next, self._clock()) + self._gap
        return wait


def backoff_s(attempt: int, *, first: float, longest: float, chance: Callable[[], float] = random.random) -> float:
    """Seconds to wait after refusal number `attempt` (0 is the first): from half to all of a doubling time, so that
    those who were refused together do not come back together."""
    doubled = min(longest, first * 2.0 ** min(attempt, 30))
    return doubled * (0.5 + 0.5 * chance())


class State(Enum):
    """Of a circuit breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half open"


class Breaker:
    """After `failures` in a row nobody asks for `rest_s`; then one call tries, and decides for all."""

    def __init__(self, failures: int, rest_s: float, clock: Clock = time.monotonic) -> None:
        self._limit, self._rest, self._clock = failures, rest_s, clock
        self._failed = 0
        self._opened: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        if self._opened is None:
            return State.CLOSED
        return State.HALF_OPEN if self._clock() - self._opened >= self._rest else State.OPEN

    def admits(self) -> bool:
        """Whether a call could go now; changes nothing."""
        return self.state is State.CLOSED or (self.state is State.HALF_OPEN and not self._probing)

    def enter(self) -> bool:
        """Whether this call may go. Whoever got True says how it went: `succeeded`, `failed` or `left`."""
        if not self.admits():
            return False
        self._probing = self.state is State.HALF_OPEN
        return True

    def succeeded(self) -> None:
        """The cloud answered, be it with a refusal."""
        self._failed, self._opened, self._probing = 0, None, False

    def failed(self) -> None:
        """No answer, not in time, or not an answer."""
        self._failed += 1
        if self._probing or self._failed >= self._limit:
            self._opened = self._clock()
        self._probing = False

    def left(self) -> None:
        """The call was given up before anything could be learned from it."""
        self._probing = False
