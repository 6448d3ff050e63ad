"""How long to wait before the next try. Pure: the dice are an argument."""

from random import Random

FIRST_S = 0.5
HUB_FIRST_S = 5.0
"""for a hub: when it dies, all its terminals know at once, and it needs some seconds to be back; meanwhile each try is
work for nothing"""
LONGEST_S = 30.0


class Backoff:
    """Exponential with full jitter, so that ten thousand terminals that lost their hub together do not come back
    together."""

    def __init__(self, dice: Random, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> None:
        self._dice, self._first_s, self._longest_s = dice, first_s, longest_s
        self._tries = 0

    def again(self) -> float:
        """Seconds to wait after one more failure."""
        ceiling = min(self._longest_s, self._first_s * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return self._dice.uniform(0, ceiling)

    def patient(self) -> float:
        """Seconds to wait after a refusal that only a person can change: between half the longest and all of it."""
        return self._dice.uniform(self._longest_s / 2, self._longest_s)

    def worked(self) -> None:
        """The connection stands: the next failure is the first one again."""
        self._tries = 0
