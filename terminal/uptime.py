"""How long this machine runs: a clock that nobody sets, good until the next boot."""

import time
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Uptime:
    """`boot` names the boot that `ms` counts from; empty where the kernel does not name it (proc(5))."""

    def __init__(self) -> None:
        try:
            self.boot = _BOOT_ID.read_text("ascii").strip()
        except OSError:
            self.boot = ""

    def ms(self) -> int:
        """Milliseconds since the boot, those of a suspension too."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
