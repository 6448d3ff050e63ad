"""How a terminal makes up with a server that is back: batches, answers, hints; the hub is a list of frames."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from shared.runtime import background
from shared.testing import eventually
from terminal.admission import Identity, Server
from terminal.client import Terminal
from terminal.events import Configured, Delivered, Ended, Event, Trouble
from terminal.library import Library, LibraryFull
from terminal.orders import CannotDo
from terminal.punches import PunchStore, State, StoreFull
from terminal.reserve import MODE, STORAGE, FaceKeeper, Reserve, Teller
from terminal.sealing import CannotOpen, open_vault
from tests.unit.terminal.full_disk import full_disk

EIGHT = datetime(2026, 3, 2, tzinfo=UTC)


class Hub:
    """Keeps what it hears."""

    def __init__(self, teller: Teller) -> None:
        self.frames: list[dict[str, Any]] = []
        self._teller = teller

    async def send(self, text: str) -> None:
        self.frames.append(json.loads(text))

    async def heard(self, count: int) -> dict[str, Any]:
        """The last of so many frames."""

        async def there() -> bool:
            return len(self.frames) >= count

        await eventually(there)
        assert len(self.frames) == count
        return self.frames[-1]

    def answer(self, **fields: Any) -> None:
        usual = {"type": "punches_kept", "epoch": self.frames[-1]["epoch"], "kept": [], "refused": [], "missing": []}
        self._teller.heard(usual | fields)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[PunchStore]:
    made = PunchStore(tmp_path / "punches.db", open_vault(tmp_path, b"s"))
    yield made
    made.close()


@asynccontextmanager
async def telling(store: PunchStore, events: list[Event]) -> AsyncIterator[tuple[Teller, Hub]]:
    teller = Teller(store, events.append, storage_again_s=0.05)
    hub = Hub(teller)
    async with background(teller.run(hub.send)):
        yield teller, hub


def seqs(frame: dict[str, Any]) -> list[int]:
    return [punch["seq"] for punch in frame["punches"]]


async def test_it_asks_first_and_tells_what_is_new(store: PunchStore) -> None:
    events: list[Event] = []
    async with telling(store, events) as (teller, hub):
        assert seqs(await hub.heard(1)) == []
        hub.answer()
        await eventually(lambda: _is(events, [Delivered(0, 0, 0)]))
        store.add("1", "Ada", EIGHT, 90)
        teller.look()
        assert seqs(await hub.heard(2)) == [1]
        hub.answer(kept=[[1, 1]])
        await eventually(lambda: _is(events, [Delivered(0, 0, 0), Delivered(1, 0, 0)]))
        store.add("2", "Bob", EIGHT, 90)
        teller.look()
        assert seqs(await hub.heard(3)) == [2]
        hub.answer(refused=[{"seq": 2, "error": "unknown"}])
        await eventually(lambda: _is(events, [Delivered(0, 0, 0), Delivered(1, 0, 0), Delivered(0, 0, 1)]))


async def test_later_means_the_same_again(store: PunchStore) -> None:
    store.add("1", "Ada", EIGHT, 90)
    async with telling(store, []) as (_, hub):
        first = await hub.heard(1)
        hub.answer(type="punches_later", retry_s=0)
        assert await hub.heard(2) == first


async def test_an_answer_that_the_disk_does_not_take_is_asked_for_again(store: PunchStore, tmp_path: Path) -> None:
    store.add("1", "Ada", EIGHT, 90)
    events: list[Event] = []
    async with telling(store, events) as (_, hub):
        first = await hub.heard(1)
        with full_disk(tmp_path):
            hub.answer(kept=[[1, 1]])
            assert await hub.heard(2) == first
        hub.answer(kept=[[1, 1]])
        await eventually(lambda: _is(store.counts()[State.KEPT], 1))
        await eventually(lambda: _is(len(events), 3))
    assert isinstance(events[0], Trouble) and events[0].what == STORAGE and events[0].reason
    assert events[1:] == [Delivered(1, 0, 0), Trouble(STORAGE, "")]


async def test_a_mode_that_cannot_be_noted_holds_and_is_noted_when_it_is_told_again(
    store: PunchStore, tmp_path: Path
) -> None:
    heard: list[Event] = []
    reserve = Reserve(Library(tmp_path / "library", open_vault(tmp_path, b"s")), store)
    terminal = Terminal(
        Identity("门", "E-1"), Server("http://127.0.0.1:9", "ws://127.0.0.1:9"), heard.append, reserve=reserve
    )
    offline = Configured(1, {"mode": "offline"})
    with full_disk(tmp_path):
        terminal.hear(offline)
    assert [event.what for event in heard if isinstance(event, Trouble)] == [STORAGE]
    assert store.noted(MODE) == ""
    terminal.hear(offline)
    assert store.noted(MODE) == "offline"
    with full_disk(tmp_path):  # nothing new: nothing is written
        terminal.hear(offline)
    assert len([event for event in heard if isinstance(event, Trouble)]) == 1


async def test_answers_that_nobody_waits_for_change_nothing(store: PunchStore) -> None:
    events: list[Event] = []
    async with telling(store, events) as (teller, hub):
        teller.heard({"type": "punches_kept"})
        await hub.heard(1)
        hub.answer()
        hub.answer(kept=[[1, 9]])
        await eventually(lambda: _is(events, [Delivered(0, 0, 0)]))


async def test_faces_are_fetched_at_the_start_and_after_hints() -> None:
    fetched, changes = list[int](), list[int]()

    async def update() -> bool:
        fetched.append(len(fetched))
        return len(fetched) != 2

    keeper = FaceKeeper(update, lambda: changes.append(len(fetched)), lambda event: None, Random(1))
    async with background(keeper.run()):
        for count in (1, 2, 3):
            await eventually(lambda count=count: _is(fetched, list(range(count))))
            keeper.hint(0)
        await eventually(lambda: _is(changes, [1, 3, 4]))


async def test_faces_are_fetched_when_the_office_says_so_and_it_is_told_what_came_of_it() -> None:
    fetched, errors, gate = list[int](), list[Exception](), asyncio.Event()

    async def update() -> bool:
        await gate.wait()
        fetched.append(len(fetched))
        if errors:
            raise errors.pop()
        return False

    keeper = FaceKeeper(update, lambda: None, lambda event: None, Random(1))
    async with background(keeper.run()):
        assert await keeper.update_now(wait_s=0.05) == "the faces are being fetched"
        gate.set()
        assert await keeper.update_now() == "the faces are up to date"
        errors.append(Ended("no token: 9001"))
        with pytest.raises(CannotDo, match="no token: 9001"):
            await keeper.update_now()
        assert await keeper.update_now() == "the faces are up to date"
    assert len(fetched) >= 4


@pytest.mark.parametrize(
    "error",
    [Ended("no token: 9001"), LibraryFull("more than 50000 people"), OSError("full"), CannotOpen("library is damaged")],
)
async def test_what_fails_is_told_and_tried_again(error: Exception) -> None:
    events: list[Event] = []
    failures = [error]

    async def update() -> bool:
        if failures:
            raise failures.pop()
        return False

    async with background(FaceKeeper(update, lambda: None, events.append, Random(1)).run()):
        await eventually(lambda: _is(events, [Trouble("library", str(error)), Trouble("library", "")]))


async def test_a_change_that_could_not_be_followed_up_is_followed_up_later() -> None:
    failures, changes = [StoreFull("disk full")], list[int]()

    async def update() -> bool:
        return not changes and len(failures) == 1

    def changed() -> None:
        if failures:
            raise failures.pop()
        changes.append(1)

    async with background(FaceKeeper(update, changed, lambda event: None, Random(1)).run()):
        await eventually(lambda: _is(changes, [1]))


async def _is(found: object, wanted: object) -> bool:
    return found == wanted
