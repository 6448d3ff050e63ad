"""What became of a squad of simulated terminals: counters, and samples of times."""

import os
import time
from collections import Counter
from typing import Final

from pydantic import BaseModel, ConfigDict

SAMPLES: Final = 200
"""times of each kind that one report holds at most"""


class Report(BaseModel):
    """What became of a squad since its last report; times are samples. Counters run from the beginning."""

    model_config = ConfigDict(frozen=True)

    online: int = 0
    welcomed: int = 0
    dropped: int = 0
    """connections that were lost after the welcome"""
    failed: dict[str, int] = {}
    """tries that led to no welcome, by reason"""
    rss_kib: int = 0
    cpu_s: float = 0.0
    connect_ms: tuple[float, ...] = ()
    echo_ms: tuple[float, ...] = ()
    """from a ping of the channel to its pong"""
    push_ms: tuple[float, ...] = ()
    """from the sender on the bus to the terminal"""
    obeyed: int = 0
    taken: int = 0
    """configurations taken over"""
    taken_at: float = 0.0
    """when the last one was, by the machine's monotonic clock in seconds"""


class Tally:
    """Counts what happens in a squad."""

    def __init__(self) -> None:
        self.online = self.welcomed = self.dropped = self.obeyed = self.taken = 0
        self.taken_at = 0.0
        self.failed: Counter[str] = Counter()
        self.connect_ms: list[float] = []
        self.echo_ms: list[float] = []
        self.push_ms: list[float] = []

    def report(self) -> Report:
        """The present state; the samples begin anew."""
        report = Report(
            online=self.online,
            welcomed=self.welcomed,
            dropped=self.dropped,
            failed=dict(self.failed),
            rss_kib=rss_kib(os.getpid()),
            cpu_s=time.process_time(),
            connect_ms=thinned(self.connect_ms),
            echo_ms=thinned(self.echo_ms),
            push_ms=thinned(self.push_ms),
            obeyed=self.obeyed,
            taken=self.taken,
            taken_at=self.taken_at,
        )
        self.connect_ms, self.echo_ms, self.push_ms = [], [], []
        return report


def thinned(times: list[float]) -> tuple[float, ...]:
    """At most SAMPLES of them, evenly from the smallest to the largest, both ends included."""
    ordered = sorted(times)
    if len(ordered) <= SAMPLES:
        return tuple(ordered)
    return tuple(ordered[i * (len(ordered) - 1) // (SAMPLES - 1)] for i in range(SAMPLES))


def rss_kib(pid: int) -> int:
    """Resident memory of a process, in KiB; 0 where there is no /proc, or no process."""
    try:
        with open(f"/proc/{pid}/status") as status:  # noqa: PTH123 - no Path: asked for often
            return next((int(line.split()[1]) for line in status if line.startswith("VmRSS:")), 0)
    except OSError:
        return 0
