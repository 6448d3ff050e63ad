"""The log of who came and went: a line for each, and a line a second when they are many."""

import asyncio
from collections import Counter
from typing import Final

import structlog

SINGLY: Final = 20
"""lines in a second; a fleet that comes back would spend a twelfth of its hub on them"""

log = structlog.get_logger("hub")


class Comings:
    """Writes the log; counts what is beyond SINGLY in a second and tells the counts at its end."""

    def __init__(self) -> None:
        self._lines = 0
        self._counts: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, event: str, **details: object) -> None:
        """Something happened to one terminal."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(1.0, self._second_over)
        self._lines += 1
        if self._lines <= SINGLY:
            log.info(event, **details)
        else:
            self._counts[event] += 1

    def _second_over(self) -> None:
        self._timer, self._lines = None, 0
        counts, self._counts = self._counts, Counter()
        for event, count in counts.items():
            log.info(f"{event}, and many more", more=count)
