"""Cards where no server answers."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from terminal.admission import Identity, Server
from terminal.cards import CardDesk
from terminal.door import Door
from terminal.events import CardAnswer
from terminal.latch import Latch
from terminal.library import Known
from terminal.offline_cards import FULL, Owner, keep_card, owner_of
from terminal.program import by_server
from terminal.punches import State
from terminal.reserve import Reserve
from terminal.standalone import Box, by_itself, open_box
from tests.unit.terminal.full_disk import full_disk
from tests.unit.terminal.switch_double import SwitchDouble

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
NOWHERE = Server("http://127.0.0.1:1", "")


def known(num: str, name: str) -> Known:
    return Known(num, name, ())


THEIRS = {k.num: k for k in (known("1", "Ada"), known("2", "Bob"), known("3", "Twin"), known("4", "Twin"))}
OWN = {k.num: k for k in (known("1", "Ada"), known("2", "Carl"), known("7", "Dora"))}


@pytest.mark.parametrize(
    ("card", "owner"),
    [
        ("1", Owner(known("1", "Ada"), held=False)),
        ("2", None),  # the server's Bob, or the box's Carl
        ("3", Owner(known("3", "Twin"), held=False)),
        ("7", Owner(known("7", "Dora"), held=True)),
        ("Bob", Owner(known("2", "Bob"), held=False)),
        ("Twin", None),
        ("Dora", None),
        ("8", None),
    ],
)
def test_whose_card_it_is(card: str, owner: Owner | None) -> None:
    assert owner_of(card, THEIRS, OWN) == owner


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    with open_box(tmp_path / "door", b"s") as opened:
        opened.library.put(known("1", "Ada"))
        yield opened


async def test_a_card_is_kept_where_no_server_answers_and_goes_to_it_later(box: Box) -> None:
    reserve = Reserve(box.library, box.punches, own=box.own)

    async def keep(card: str, at: datetime) -> CardAnswer:
        assert at == NOW
        return await keep_card(reserve, card, at)

    desk = CardDesk(Identity("东门", "E-1"), NOWHERE, lambda: NOW, patience_s=0.2, keep=keep)
    assert await desk.present("1") == CardAnswer("1", "kept")
    assert await desk.present("1") == CardAnswer("1", "kept")
    assert (await desk.present("7")).problem_en == "This card is nobody's"
    box.own.put(known("7", "Dora"))
    assert await desk.present("7") == CardAnswer("7", "kept")
    stored = [(s.num, s.name, s.state, s.at) for s in box.punches.rows()]
    assert stored == [("1", "Ada", State.WAITING, NOW), ("7", "Dora", State.HELD, NOW)]


async def test_the_door_with_a_server_that_is_away_and_the_door_without_one_keep_cards(box: Box) -> None:
    door = Door(Latch(SwitchDouble(), lambda reason: None), lambda scene: None)
    box.own.put(known("7", "Dora"))
    reserve = Reserve(box.library, box.punches, own=box.own)
    alone = by_itself(reserve)(door, None)
    assert [(await alone.present(card)).state for card in ("1", "7", "8")] == ["kept", "kept", ""]
    box.library.put(known("2", "Bob"))
    away = by_server(Identity("东门", "E-1"), NOWHERE, reserve)(door, None)
    assert await away.present("2") == CardAnswer("2", "kept")


async def test_a_full_disk_promises_nothing(box: Box, tmp_path: Path) -> None:
    reserve = Reserve(box.library, box.punches)
    with full_disk(tmp_path / "door"):
        assert await keep_card(reserve, "1", NOW) == CardAnswer("1", "", *FULL)
    assert await keep_card(reserve, "1", NOW) == CardAnswer("1", "kept")


async def test_a_damaged_copy_still_knows_who_was_in_it(box: Box, tmp_path: Path) -> None:
    (tmp_path / "door" / "library").write_bytes(b"x" * 40)
    assert await keep_card(Reserve(box.library, box.punches), "1", NOW) == CardAnswer("1", "kept")
