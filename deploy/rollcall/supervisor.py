"""Child processes: started, their logs shown under their names, restarted with back-off, stopped politely."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from shared.runtime import TETHER

Show = Callable[[str, str], None]
"""Shows one line of a named process."""

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
STEADY_S = 30.0
"""A process that lived this long is well again: its next restart waits FIRST_PAUSE_S only."""

POLITE_S = 12.0
"""From SIGTERM to SIGKILL, in seconds: longer than a hub's farewell, however slow those are who hear it."""

LINE = 64 * 1024


def say(show: Show, name: str, line: str) -> None:
    """Show a line, whether or not somebody still reads (`rollcall up | head`) and whatever his terminal can write: who
    watches over a process goes on."""
    with contextlib.suppress(OSError, ValueError):
        show(name, line)


@dataclass(slots=True)
class Child:
    """One service process. Its stdin is a pipe held by this process: when the supervisor is gone, it ends too."""

    name: str
    module: str
    env: Mapping[str, str]
    show: Show
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    _stopping: bool = field(default=False)

    async def keep_running(self) -> None:
        """Start, and start again whenever it ends or could not be started, until `stop`."""
        pause = FIRST_PAUSE_S
        while not self._stopping:
            began = time.monotonic()
            try:
                end = f"ended with status {await self._run_once()}"
            except OSError as error:  # no memory, no descriptor, no process: perhaps soon there is
                end = f"cannot be started ({error})"
            if self._stopping:
                return
            pause = FIRST_PAUSE_S if time.monotonic() - began > STEADY_S else min(pause * 2, LONGEST_PAUSE_S)
            say(self.show, self.name, f"{end}; starting again in {pause:.1f} s")
            self.restarts += 1
            await asyncio.sleep(pause)

    async def _run_once(self) -> int:
        """Its exit status. Raises OSError if it cannot be started."""
        process = self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self.module,
            env={**os.environ, **self.env, TETHER: "1"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE,
            start_new_session=True,  # Ctrl-C reaches the supervisor only, which stops its children in order
        )
        if self._stopping:  # `stop` came while it was being started, and saw the one before
            process.terminate()
        if process.stdout is not None:
            await self._pump(process.stdout)
        return await process.wait()

    async def _pump(self, output: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await output.readline()
            except ValueError:  # a line longer than LINE: its beginning is dropped
                continue
            if not line:
                return
            say(self.show, self.name, line.decode(errors="replace").rstrip())

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after POLITE_S."""
        self._stopping = True
        process = self.process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(POLITE_S):
                await process.wait()
        except TimeoutError:
            say(self.show, self.name, "did not stop in time: killed")
            process.kill()
            await process.wait()

    def kill(self) -> None:
        """kill -9, to see what happens."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
