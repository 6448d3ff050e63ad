"""`python -m device_hub`: settings from ROLLCALL_* variables, until a signal."""

import contextlib
import gc
import sys

from device_hub.service import service
from device_hub.settings import HubSettings
from shared.runtime import run


def take_all_files() -> None:
    """Let this process open as many files as it may; many systems give a process 1,024 until it asks."""
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems say "no limit" and take less
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def collect_rarely() -> None:
    """A connection is some thirty objects that stay. Looking through all of them for rings after every few hundred new
    ones, as Python does by default, was two fifths of the time that a terminal's way in took."""
    gc.set_threshold(20_000, 20, 20)


if __name__ == "__main__":
    take_all_files()
    collect_rarely()
    run("device-hub", HubSettings, service)
