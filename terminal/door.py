"""What happens at a door: who is heard of opens it, shows on the screen, lights the lamp.

Everything that is learnt comes to `Door.hear` as a value of terminal/events.py, whether a server recognised somebody,
this terminal did by itself, or a card was read. The door opens for a punch that stands in the ledger, and for an order
of the office; for nothing else.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import ValidationError

from shared.contracts.devices import DeviceConfig
from shared.contracts.terminals import MAX_SNAPSHOT
from terminal.display import Scenes, Show
from terminal.events import (
    CardAnswer,
    Channel,
    Command,
    Configured,
    Event,
    Obeyed,
    Punch,
    Result,
    Trouble,
)
from terminal.latch import Latch, SwitchError
from terminal.lights import Light
from terminal.orders import CannotDo, Snapshot

FRESH_S: Final = 10.0
"""a punch that is told later than this after its picture opens nothing and is not shown: its owner has left, and a door
that opens by itself frightens people"""
MAX_OPEN_S: Final = 60.0
REMEMBERED: Final = 256
"""punches that were heard of already; stream and hub both tell of each"""
STANDS: Final = frozenset({"recorded", "repeated"})
"""states of a punch that stands in the ledger: this one, or the one of a moment ago"""

TakePicture = Callable[[int], Awaitable[bytes]]
"""A JPEG of at most so many bytes. Raises CannotDo."""


class Door:
    """One door. `run` does what `hear` and `obey` wish for."""

    def __init__(
        self,
        latch: Latch,
        show: Show,
        *,
        light: Light | None = None,
        log: Callable[[Event], None] = lambda event: None,
    ) -> None:
        """`log` hears every event as well, a punch once, whoever tells of it."""
        self._latch, self._show, self._light, self._log = latch, show, light, log
        self._config, self._wished = DeviceConfig(), Configured(0, {})
        self._scenes = Scenes()
        self._changed = asyncio.Event()
        self._openings: asyncio.Queue[float] = asyncio.Queue(1)
        self._heard: deque[str] = deque(maxlen=REMEMBERED)
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        """the clock that punches are told by: the server's, where there is one"""
        self.take_picture: TakePicture | None = None
        """None: there is no camera"""
        self.restart = asyncio.Event()
        """the office wishes the program to start again, and was told that it does"""

    # ---- what is learnt

    def hear(self, event: Event) -> None:
        """Take note, and do what follows from it."""
        match event:
            case Punch(event=known) if known and known in self._heard:
                return
            case Punch() if event.state in STANDS and self._is_fresh(event):
                self._heard.append(event.event)
                self._open()
            case Punch():  # too late for anybody who stands here
                self._heard.append(event.event)
                self._log(event)
                return
            case CardAnswer(state=state) if state in STANDS:
                self._open()
            case Configured():
                self._configure(event)
            case Obeyed(command=Command(action="restart"), answer=answer) if answer.ok:
                self.restart.set()
            case Result(channel=Channel.HUB):
                return  # the stream brings it as well, and sooner
        self._log(event)
        self._scenes.hear(event, self._clock())
        self._changed.set()

    def _is_fresh(self, punch: Punch) -> bool:
        """A punch without a readable time is nobody's who stands here now."""
        try:
            age = self.now() - datetime.fromisoformat(punch.at)
        except (ValueError, TypeError):
            return False
        return abs(age) <= timedelta(seconds=FRESH_S)

    def _open(self) -> None:
        if self._openings.empty():  # else it opens in a moment anyway
            self._openings.put_nowait(self._config.open_ms / 1000)

    def _configure(self, wished: Configured) -> None:
        try:
            self._config = DeviceConfig.model_validate(dict(wished.config))
        except ValidationError:
            self._log(Trouble("configuration", f"revision {wished.revision} cannot be understood"))
            return
        self._wished = wished
        self._scenes.greeting = self._config.greeting
        if self._light is not None:
            self._light.wish(self._config.fill_light)

    # ---- what the office orders

    async def obey(self, command: Command) -> str | Snapshot:
        """Do it, and say a word about it. Raises CannotDo."""
        match command.action:
            case "open_door":
                return await self._open_by_order(command)
            case "show_message":
                self._scenes.say(
                    str(command.wishes.get("zh") or ""),
                    str(command.wishes.get("en") or ""),
                    self._clock() + _seconds(command, default=10.0, longest=3_600.0),
                )
                self._changed.set()
                return "shown"
            case "take_snapshot" if self.take_picture is not None:
                jpeg = await self.take_picture(MAX_SNAPSHOT)
                self._scenes.pictured(self._clock())
                self._changed.set()
                return Snapshot(jpeg, f"{len(jpeg) / 1000:.0f} kB")
            case "reload_config":
                self._configure(self._wished)
                return f"revision {self._wished.revision}"
            case "restart":
                return "restarting"
        raise CannotDo("unsupported", f"this terminal cannot {command.action}")

    async def _open_by_order(self, command: Command) -> str:
        seconds = _seconds(command, default=self._config.open_ms / 1000, longest=MAX_OPEN_S)
        try:
            await self._latch.open(seconds)
        except SwitchError as error:
            raise CannotDo("failed", str(error)) from None
        return f"open for {seconds:g} s"

    # ---- doing

    async def run(self) -> None:
        """Open and show, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_opening())
            group.create_task(self._keep_showing())

    async def _keep_opening(self) -> None:
        while True:
            seconds = await self._openings.get()
            try:
                await self._latch.open(seconds)
            except SwitchError as error:
                self.hear(Trouble("relay", str(error)))

    async def _keep_showing(self) -> None:
        while True:
            self._changed.clear()
            at = self._clock()
            self._show(self._scenes.at(at))
            ends = self._scenes.ends_at
            try:
                async with asyncio.timeout(max(0.0, ends - at) if ends > at else None):
                    await self._changed.wait()
            except TimeoutError:
                pass

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()


def _seconds(command: Command, *, default: float, longest: float) -> float:
    """The order's own `seconds`. Raises CannotDo."""
    wished = command.wishes.get("seconds")
    if wished is None:
        return default
    if isinstance(wished, bool) or not isinstance(wished, int | float) or not 0 < wished <= longest:
        raise CannotDo("failed", f"{wished!r} is no number of seconds up to {longest:g}")
    return float(wished)
