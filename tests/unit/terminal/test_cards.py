"""Card readers over real descriptors, and what the server says of a card."""

import asyncio
import json
import os
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from shared.runtime import background
from shared.testing import eventually
from terminal import cards
from terminal.admission import Identity, Server
from terminal.cards import AGAIN_S, CardDesk, Cards, Lines, ReaderError, open_reader, read_cards
from terminal.events import CardAnswer, CardRead, Event

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


# ---- lines


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n", b"\x03"])
def test_a_number_ends_with_its_line(end: bytes) -> None:
    lines = Lines()
    assert lines.feed(b"\x022026", 0) == []
    assert lines.feed(b"001" + end, 0) == ["2026001"]


def test_several_at_once_and_what_is_left() -> None:
    lines = Lines()
    assert lines.feed(b"1\n2\n3", 0) == ["1", "2"]
    assert lines.feed(b"4\n", 0) == ["34"]


def test_a_card_that_stays_is_read_once() -> None:
    lines = Lines()
    assert lines.feed(b"7\n7\n", 0) == ["7"]
    assert lines.feed(b"7\n", AGAIN_S - 1) == []
    assert lines.feed(b"8\n7\n", AGAIN_S) == ["8", "7"]
    assert lines.feed(b"7\n", 2 * AGAIN_S + 1) == ["7"]


@pytest.mark.parametrize("noise", [b"\n", b" \n", b"\xff\xfe\n", b"a b\n", "张三\n".encode(), b"x" * 129 + b"\n"])
def test_noise_is_no_card(noise: bytes) -> None:
    assert Lines().feed(noise, 0) == []


def test_an_endless_line_is_not_kept() -> None:
    lines = Lines()
    for _ in range(100):
        assert lines.feed(b"9" * 1_000, 0) == []
    assert lines.feed(b"\n5\n", 0) == ["5"]


# ---- readers


@asynccontextmanager
async def reading(address: str) -> AsyncIterator[tuple[list[str], list[str]]]:
    """The numbers that were read, and what was told of trouble."""
    heard, troubles = list[str](), list[str]()
    async with background(read_cards(open_reader(address), heard.append, troubles.append)):
        yield heard, troubles


async def comes(heard: list[str], *numbers: str) -> None:
    """Wait until these were read."""

    async def so_far() -> bool:
        return heard == list(numbers)

    await eventually(so_far, 10, f"{numbers} are read")


async def test_a_fifo_is_made_and_read_whoever_writes(tmp_path: Path) -> None:
    fifo = tmp_path / "card"
    async with reading(f"fifo:{fifo}") as (heard, troubles):

        async def is_there() -> bool:
            return fifo.is_fifo()

        await eventually(is_there)
        await asyncio.to_thread(fifo.write_text, "2026001\n")
        await comes(heard, "2026001")
        await asyncio.to_thread(fifo.write_text, "2026002\n")
        await comes(heard, "2026001", "2026002")
    assert troubles == []
    assert fifo.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["serial:{}?baud=19200", "tty:{}"])
async def test_a_serial_reader_and_a_console(kind: str) -> None:
    reader, device = os.openpty()
    tty.setraw(device)
    try:
        async with reading(kind.format(os.ttyname(device))) as (heard, troubles):

            async def is_read() -> bool:
                os.write(reader, b"\x022026001\x03")  # what comes before it is open is thrown away
                return bool(heard)

            await eventually(is_read)
            assert (heard, troubles) == (["2026001"], [])
    finally:
        os.close(reader)
        os.close(device)


async def test_a_reader_that_is_plugged_in_later(tmp_path: Path) -> None:
    device = tmp_path / "reader"
    async with reading(f"tty:{device}") as (heard, troubles):

        async def complains() -> bool:
            return bool(troubles)

        await eventually(complains)
        assert troubles == [f"The card reader {device} cannot be opened: No such file or directory"]
        os.mkfifo(device)
        descriptor = os.open(device, os.O_RDWR)
        try:
            os.write(descriptor, b"5\n")
            await comes(heard, "5")
        finally:
            os.close(descriptor)
        assert troubles[-1] == ""


async def test_a_file_is_no_reader(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("5\n")
    for kind, words in (("tty", "this is a file"), ("fifo", "is no FIFO")):
        async with reading(f"{kind}:{tmp_path}/file") as (_, troubles):

            async def complains(troubles: list[str] = troubles) -> bool:
                return bool(troubles)

            await eventually(complains)
            assert words in troubles[0]


@pytest.mark.parametrize("address", ["", "serial:", "serial:/dev/x?baud=fast", "tty:/dev/x?speed=1", "nfc:/dev/x"])
def test_addresses_that_name_no_reader(address: str) -> None:
    with pytest.raises(ReaderError, match="write stdin"):
        open_reader(address)


# ---- the server's answer


@asynccontextmanager
async def a_server(*answers: dict[str, Any] | None) -> AsyncIterator[tuple[Server, list[dict[str, str]]]]:
    """Gives a token whenever it is asked for one, and then one of the answers for each card (None: it hangs up); what
    it was sent."""
    sent: list[dict[str, str]] = []
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                length = int(head.lower().partition("content-length: ")[2].split()[0])
                form = {name: value for name, [value] in parse_qs((await reader.readexactly(length)).decode()).items()}
                if "/token" in head.splitlines()[0]:
                    said: dict[str, Any] | None = {"code": 0, "token": "t" * 40}
                else:
                    assert "/faces/api/clinetFeedback" in head.splitlines()[0]
                    sent.append(form)
                    said = left.pop(0)
                if said is None:
                    break
                body = json.dumps(said).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Server(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", ""), sent


async def test_a_card_makes_a_punch() -> None:
    async with a_server({"code": 0, "state": "recorded"}, {"code": 0, "state": "repeated"}) as (server, sent):
        desk = CardDesk(Identity("东门", "E-1"), server, lambda: NOW)
        assert await desk.present("2026001") == CardAnswer("2026001", "recorded")
        assert await desk.present("2026001") == CardAnswer("2026001", "repeated")
    assert sent[0] == {"token": "t" * 40, "faceName": "2026001", "time": f"{NOW.timestamp():.3f}", "seq": "1"}
    assert sent[1]["seq"] == "2"


async def test_a_card_that_is_sent_again_keeps_its_time_and_number() -> None:
    async with a_server(None, {"code": 1}, {"code": 0, "state": "recorded"}) as (server, sent):
        desk = CardDesk(Identity("东门", "E-1"), server, lambda: datetime.now(UTC))
        assert (await desk.present("2026001")).state == "recorded"
    assert len(sent) == 3
    assert len({(form["time"], form["seq"]) for form in sent}) == 1


@pytest.mark.parametrize(
    ("code", "words"), [(73731, "nobody's"), (5, "nobody's"), (9001, "refuses cards"), (2, "refuses cards")]
)
async def test_a_card_that_the_server_refuses(code: int, words: str) -> None:
    async with a_server({"code": code, "message": "no"}) as (server, _):
        answer = await CardDesk(Identity("东门", "E-1"), server, lambda: NOW).present("2026001")
    assert answer.state == ""
    assert words in answer.problem_en
    assert answer.problem


async def test_without_a_server_the_owner_is_told_to_try_again() -> None:
    nowhere = Server("http://127.0.0.1:1", "")
    answer = await CardDesk(Identity("东门", "E-1"), nowhere, lambda: NOW, patience_s=0.3).present("1")
    assert (answer.state, answer.problem_en) == ("", cards.UNREACHABLE[1])


async def test_cards_are_presented_one_after_another_and_not_without_end() -> None:
    heard, go = list[Event](), asyncio.Event()

    async def present(number: str) -> CardAnswer:
        await go.wait()
        return CardAnswer(number, "recorded")

    desk = Cards(present, heard.append)
    for number in range(2 * cards.MAX_WAITING):
        desk.read(str(number))
    go.set()
    async with background(desk.run()):

        async def all_done() -> bool:
            return len(heard) == 2 * cards.MAX_WAITING

        await eventually(all_done)
    assert heard[:3] == [CardRead("0"), CardAnswer("0", "recorded"), CardRead("1")]
