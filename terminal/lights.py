"""The lamp at the door: when it shall burn (`Lamp`, pure), and that it does (`Light`)."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

from shared.contracts.devices import FillLight
from terminal.latch import Switch, SwitchError, turn

DARK: Final = 60.0
"""mean brightness (0–255) below which a face is too dark to be recognised well"""
BRIGHT: Final = 170.0
"""mean brightness above which the lamp is not needed. It is measured with the lamp on, so it lies far above DARK: a
lamp that brightens the picture by less than the gap never flickers"""
SMOOTH: Final = 0.2
"""how much of each new measurement counts"""
RETRY_S: Final = 5.0
"""between two tries to switch a lamp that does not answer"""
HOLD_S: Final = 20.0
"""the lamp stays as it is for so long after a change: people and doors cast shadows"""


class Lamp:
    """One lamp."""

    def __init__(self) -> None:
        self.mode = FillLight.AUTO
        self._on = False
        self._level: float | None = None
        self._changed_at = float("-inf")

    def look(self, brightness: float, at: float) -> bool:
        """Whether it shall burn now. `brightness`: mean of the newest picture, 0–255; `at` in seconds."""
        self._level = brightness if self._level is None else self._level + SMOOTH * (brightness - self._level)
        return self.now(at)

    def now(self, at: float) -> bool:
        """The same without a new picture: the office may have changed the mode."""
        if self.mode is not FillLight.AUTO:
            wanted = self.mode is FillLight.ON
        elif self._level is None or at - self._changed_at < HOLD_S:
            return self._on
        else:
            wanted = self._level < (BRIGHT if self._on else DARK)
        if wanted != self._on:
            self._on, self._changed_at = wanted, at
        return self._on


class Light:
    """A lamp behind a switch, kept as the rule says; off at the end."""

    def __init__(self, switch: Switch, trouble: Callable[[str], None], retry_s: float = RETRY_S) -> None:
        """`trouble` hears why it cannot be switched, once, and an empty text when it can again."""
        self._switch, self._trouble, self._retry_s = switch, trouble, retry_s
        self._lamp = Lamp()
        self._look_again = asyncio.Event()
        self._dark_because = ""

    def look(self, brightness: float) -> None:
        """The newest picture is so bright (0–255)."""
        self._lamp.look(brightness, time.monotonic())
        self._look_again.set()

    def wish(self, mode: FillLight) -> None:
        """The office wishes it so."""
        self._lamp.mode = mode
        self._look_again.set()

    async def run(self) -> None:
        """Switch, until cancelled."""
        burns: bool | None = None
        try:
            while True:
                self._look_again.clear()
                wanted = self._lamp.now(time.monotonic())
                if wanted == burns:
                    await self._look_again.wait()
                    continue
                try:
                    await turn(self._switch, on=wanted)
                    burns = wanted
                except SwitchError as error:
                    if not self._dark_because:
                        self._trouble(str(error))
                    self._dark_because = str(error)
                    await asyncio.sleep(self._retry_s)
                    continue
                if self._dark_because:
                    self._trouble("")
                self._dark_because = ""
        finally:
            with contextlib.suppress(SwitchError):
                await turn(self._switch, on=False)
            await self._switch.close()
