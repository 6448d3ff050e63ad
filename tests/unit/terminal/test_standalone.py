"""A box that joins a server while its eye goes on: no punch stays behind."""

import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from shared.vision.feature import Feature
from terminal.library import Known
from terminal.punches import State
from terminal.standalone import Box, Joined, join, open_box

EIGHT = datetime(2026, 3, 2, tzinfo=UTC)
FACE = Feature("sface-2021dec/2", struct.pack("<128f", 1.0, *[0.0] * 127)).packed()
ADA = Known("1", "Ada", (FACE,))


class TheSame(httpx.AsyncBaseTransport):
    """A server whose library stays as it is; `asked` is called before each answer with how often it was asked."""

    def __init__(self, asked: Callable[[int], None]) -> None:
        self._asked, self._count = asked, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/faces/api/getDbs"
        self._count += 1
        self._asked(self._count)
        nothing = {"code": 0, "names": [], "removed": [], "full": False, "more": False, "next": f"{self._count}-a"}
        return httpx.Response(200, json=nothing)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """Ada was registered here, and at the server too."""
    with open_box(tmp_path / "door", b"s") as opened:
        opened.own.put(ADA)
        opened.library.put(ADA)
        yield opened


async def test_a_punch_that_an_eye_holds_while_its_owner_joins_is_sent(box: Box) -> None:
    told: list[Joined] = []
    box.punches.add("1", "Ada", EIGHT, 90, held=True)

    def eye(asked: int) -> None:
        if asked == 2:  # after Ada has joined, before the end
            assert box.punches.add("1", "Ada", EIGHT + timedelta(hours=1), 90, held=True).new

    async def token() -> str:
        return "t"

    async with httpx.AsyncClient(transport=TheSame(eye)) as http:
        assert await join(http, "http://server", token, box, told.append) == (1, 0)
    assert told == [Joined("1", "Ada", "", 1)]
    assert box.punches.counts() == {State.WAITING: 2, State.KEPT: 0, State.REFUSED: 0, State.HELD: 0}


async def test_a_start_lets_go_what_is_held_of_whom_the_server_knows_and_nobody_elses(box: Box) -> None:
    for number, (num, name) in enumerate([("1", "Ada"), ("2", "Bob"), ("3", "Carl"), ("4", "Dora")]):
        box.punches.add(num, name, EIGHT + timedelta(hours=number), 90, held=True)
    assert box.release_joined() == 0  # Ada is registered here: who has that number at the server may be another
    box.own.remove("1")
    box.library.put(Known("2", "Bert", ()))
    box.library.put(Known("3", "Carl", ()))
    assert box.release_joined() == 2
    held = [punch.num for punch in box.punches.rows() if punch.state is State.HELD]
    assert held == ["2", "4"]
