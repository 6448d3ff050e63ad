"""What opens a door, and what does not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.contracts.devices import FillLight
from shared.contracts.terminals import MAX_SNAPSHOT
from shared.runtime import background
from shared.testing import eventually
from terminal.display import IDLE, Kind, Scene
from terminal.door import FRESH_S, Door
from terminal.events import (
    Answer,
    CardAnswer,
    CardRead,
    Channel,
    Command,
    Configured,
    Event,
    Face,
    Obeyed,
    Presence,
    Punch,
    Result,
    Seen,
    Trouble,
)
from terminal.latch import Latch
from terminal.lights import Light
from terminal.orders import CannotDo, Snapshot
from tests.unit.terminal.switch_double import SwitchDouble

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
QUICK = Configured(1, {"open_ms": 100, "fill_light": "off", "greeting": "早上好"})


class Site:
    """A door, and what it did."""

    def __init__(self, broken: bool = False) -> None:
        self.switch, self.lamp = SwitchDouble(broken), SwitchDouble()
        self.scenes, self.told = list[Scene](), list[Event]()
        self.latch = Latch(self.switch, lambda reason: None, retry_s=0.02)
        self.light = Light(self.lamp, lambda reason: None)
        self.door = Door(self.latch, self.scenes.append, light=self.light, log=self.told.append)
        self.door.take_picture = self.picture
        self.door.now = lambda: NOW

    async def picture(self, max_bytes: int) -> bytes:
        assert max_bytes == MAX_SNAPSHOT
        return b"jpeg"

    @property
    def openings(self) -> int:
        return sum(self.switch.states)

    async def settles(self, openings: int) -> None:
        """Wait until it opened so often and is locked again."""

        async def is_locked() -> bool:
            return self.openings >= openings and bool(self.switch.states) and not self.switch.states[-1]

        await eventually(is_locked, 5)
        assert self.openings == openings


@asynccontextmanager
async def a_site(broken: bool = False) -> AsyncIterator[Site]:
    site = Site(broken)
    async with site.latch, background(site.door.run(), site.light.run()):
        site.door.hear(QUICK)
        yield site


def punch(state: str = "recorded", event: str = "e1", ago_s: float = 1, channel: Channel = Channel.STREAM) -> Punch:
    return Punch(channel, state, event, "艾达", "01", (NOW - timedelta(seconds=ago_s)).isoformat())


def ordered(action: str, **wishes: Any) -> Command:
    return Command("1", action, wishes, NOW + timedelta(seconds=5))


@pytest.mark.parametrize(
    "event", [punch(), punch("repeated"), CardAnswer("01", "recorded"), CardAnswer("1", "repeated")]
)
async def test_what_stands_in_the_ledger_opens(event: Event) -> None:
    async with a_site() as site:
        site.door.hear(event)
        await site.settles(1)
        opened, closed = site.switch.turned[-2:]
        assert 0.1 <= closed[0] - opened[0] < 3
        assert event in site.told


@pytest.mark.parametrize(
    "event",
    [
        Result(Channel.STREAM, (Face("identified", "艾达", "01", 99),)),
        Result(Channel.STREAM, (Face("unknown"),)),
        Seen(Presence.NEAR),
        CardRead("01"),
        CardAnswer("01", "", "没有", "nobody"),
        punch("refused"),
        punch(ago_s=FRESH_S + 1),
        punch(ago_s=-FRESH_S - 1),
        Punch(Channel.STREAM, "recorded", "e", "艾达", "01", "soon"),
        Punch(Channel.STREAM, "recorded", "e", "艾达", "01", "2026-01-02T03:04:05"),
        Obeyed(ordered("open_door"), Answer(ok=True)),
    ],
)
async def test_nothing_else_does(event: Event) -> None:
    async with a_site() as site:
        site.door.hear(event)
        site.door.hear(punch(event="the first that may"))
        await site.settles(1)
        kinds = [scene.kind for scene in site.scenes]
        assert kinds[-1] is Kind.RECORDED


async def test_a_punch_that_both_channels_tell_of_opens_once() -> None:
    async with a_site() as site:
        site.door.hear(punch())
        await site.settles(1)
        site.door.hear(punch(channel=Channel.HUB))
        site.door.hear(punch(event="e2"))
        await site.settles(2)
        assert [event for event in site.told if isinstance(event, Punch)] == [punch(), punch(event="e2")]


async def test_a_late_punch_is_told_but_not_shown() -> None:
    async with a_site() as site:
        late = punch(ago_s=60)
        site.door.hear(late)
        assert site.told[-1] == late
        site.door.hear(Seen(Presence.NOBODY))
        assert {scene.kind for scene in site.scenes} <= {Kind.IDLE}


async def test_a_relay_that_does_not_open_is_told() -> None:
    async with a_site(broken=True) as site:
        site.door.hear(punch())

        async def is_told() -> bool:
            return Trouble("relay", "the relay does not answer") in site.told

        await eventually(is_told)
        site.switch.broken = False


async def test_orders() -> None:
    async with a_site() as site:
        assert await site.door.obey(ordered("open_door", seconds=None, reason="")) == "open for 0.1 s"
        await site.settles(1)
        assert await site.door.obey(ordered("open_door", seconds=0.2)) == "open for 0.2 s"
        await site.settles(2)
        assert await site.door.obey(ordered("show_message", zh="你好", en="hello", seconds=2.0)) == "shown"
        assert await site.door.obey(ordered("reload_config")) == "revision 1"
        assert await site.door.obey(ordered("take_snapshot")) == Snapshot(b"jpeg", "0 kB")

        async def is_shown() -> bool:
            return site.scenes[-1].kind is Kind.MESSAGE

        await eventually(is_shown)


@pytest.mark.parametrize("seconds", [0, -1, 61, "3", True, float("nan")])
async def test_an_opening_without_sense_is_refused(seconds: object) -> None:
    async with a_site() as site:
        with pytest.raises(CannotDo, match="no number of seconds"):
            await site.door.obey(ordered("open_door", seconds=seconds))


async def test_orders_that_cannot_be_done_are_refused() -> None:
    async with a_site(broken=True) as site:
        with pytest.raises(CannotDo, match="does not answer"):
            await site.door.obey(ordered("open_door"))
        for action in ("update_faces", "dance"):
            with pytest.raises(CannotDo, match=f"cannot {action}"):
                await site.door.obey(ordered(action))
        with pytest.raises(CannotDo, match="cannot take_snapshot"):
            await Door(site.latch, site.scenes.append).obey(ordered("take_snapshot"))
        site.switch.broken = False


async def test_a_restart_comes_after_the_answer() -> None:
    async with a_site() as site:
        restarting = ordered("restart")
        assert await site.door.obey(restarting) == "restarting"
        assert not site.door.restart.is_set()
        site.door.hear(Obeyed(restarting, Answer(ok=True)))
        assert site.door.restart.is_set()


async def test_the_configuration_lights_the_lamp() -> None:
    async with a_site() as site:
        site.door.hear(Configured(2, {"fill_light": FillLight.ON.value, "unknown": 1}))
        await site.lamp.comes_to(True)
        site.door.hear(Configured(3, {"open_ms": -1}))
        assert Trouble("configuration", "revision 3 cannot be understood") in site.told
        assert await site.door.obey(ordered("reload_config")) == "revision 2"


async def test_scenes_end_by_themselves() -> None:
    async with a_site() as site:
        site.door.hear(Result(Channel.STREAM, (Face("unknown"),)))

        async def is_over() -> bool:
            kinds = [scene.kind for scene in site.scenes]
            return Kind.UNKNOWN in kinds and site.scenes[-1] == IDLE

        await eventually(is_over)
