"""Card readers: whatever sends a number and a line's end.

    serial:/dev/ttyUSB0?baud=9600      a reader on a serial line
    stdin                              a keyboard-wedge reader that types into this program's terminal
    tty:/dev/tty1                      … into a console
    fifo:/run/rollcall/card            a simulated one: echo 2026001 > /run/rollcall/card

A reader that types into the browser of the full-screen page is heard by the page (terminal/display.py).

What a card does: its number is taken for a student number, and makes a punch like `clinetFeedback` does; where no
server answers, by what this terminal has itself (terminal/offline_cards.py).
"""

import asyncio
import contextlib
import os
import re
import stat
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import httpx

from terminal.admission import Identity, Server, fetch_token
from terminal.backoff import Backoff
from terminal.events import CardAnswer, CardRead, Ended, Event

NUMBER: Final = re.compile(r"[0-9A-Za-z_]{1,128}")
"""what a student number is made of"""
LONGEST: Final = 256
"""bytes that a line may have; longer ones are noise"""
AGAIN_S: Final = 3.0
"""the same card within so long is the same holding-to: readers repeat"""
LONGEST_WAIT_S: Final = 10.0
"""between two tries to open a reader that is gone"""
MAX_WAITING: Final = 8
"""cards that may wait for an answer"""
POST_S: Final = 8.0
"""how long the server is tried for; then the person is told to try again"""
KEEP_AFTER_S: Final = 3.0
"""the same where the terminal can keep the punch by itself: nobody is made to wait for a server that is away"""
ENDS: Final = re.compile(rb"[\r\n\x03]+")
"""carriage return, line feed, ETX"""


class ReaderError(Exception):
    """The reader cannot be used. The message is one sentence for people."""


class Lines:
    """Bytes of a reader → card numbers. Pure; times in seconds of any clock."""

    def __init__(self) -> None:
        self._rest = b""
        self._last, self._last_at = "", float("-inf")

    def feed(self, data: bytes, at: float) -> list[str]:
        """The numbers that are complete now; noise and repetitions are left out."""
        *lines, self._rest = ENDS.split(self._rest + data)
        self._rest = self._rest[-LONGEST:]
        return [number for number in map(self._number, lines) if number and self._is_new(number, at)]

    @staticmethod
    def _number(line: bytes) -> str:
        text = line.decode("ascii", "replace").strip(" \t\0\x02")
        return text if NUMBER.fullmatch(text) else ""

    def _is_new(self, number: str, at: float) -> bool:
        again = number == self._last and at - self._last_at < AGAIN_S
        self._last, self._last_at = number, at
        return not again


# ---- readers


def open_reader(address: str) -> Callable[[], "OpenReader"]:
    """How to open the reader of this address. Raises ReaderError if it names none."""
    parts = urlsplit(address)
    options = dict(parse_qsl(parts.query))
    baud = options.pop("baud", "9600")
    if address == "stdin":
        return lambda: OpenReader(os.dup(sys.stdin.fileno()))
    if parts.path and not options and baud.isdecimal():
        match parts.scheme:
            case "serial":
                return lambda: _serial(parts.path, int(baud))
            case "tty":
                return lambda: _tty(parts.path)
            case "fifo":
                return lambda: _fifo(Path(parts.path))
    raise ReaderError(f"{address}: write stdin, serial:/dev/…?baud=9600, tty:/dev/… or fifo:/…")


class OpenReader:
    """A file descriptor that card numbers come out of."""

    def __init__(self, descriptor: int, owner: Any = None) -> None:
        """`owner`, if there is one, closes it; else we do."""
        self.descriptor, self._owner = descriptor, owner

    def close(self) -> None:
        if self._owner is not None:
            self._owner.close()
        else:
            os.close(self.descriptor)


def _serial(device: str, baud: int) -> OpenReader:
    try:
        import serial
    except ImportError:
        raise ReaderError("A serial reader needs pyserial: pip install 'rollcall[terminal]'") from None
    try:
        port = serial.Serial(device, baud, timeout=0)
    except (OSError, ValueError) as error:
        raise ReaderError(_why(device, error)) from None
    return OpenReader(port.fileno(), port)


def _tty(device: str) -> OpenReader:
    try:
        return OpenReader(os.open(device, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError as error:
        raise ReaderError(_why(device, error)) from None


def _fifo(path: Path) -> OpenReader:
    try:
        if not path.exists():
            os.mkfifo(path, 0o600)
        if not stat.S_ISFIFO(path.stat().st_mode):
            raise ReaderError(f"{path} is there already, and is no FIFO")
        # For reading and writing: with readers only, it would end with whoever wrote last.
        return OpenReader(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    except OSError as error:
        raise ReaderError(_why(str(path), error)) from None


def _why(device: str, error: Exception) -> str:
    number = getattr(error, "errno", None)
    reason = os.strerror(number) if number else str(error)
    return f"The card reader {device} cannot be opened: {reason}"


async def read_cards(
    open_it: Callable[[], OpenReader], hear: Callable[[str], None], trouble: Callable[[str], None]
) -> None:
    """`hear` each number, until cancelled; a reader that is gone is opened again. `trouble` hears why there is none,
    once, and an empty text when there is one again."""
    backoff, lines, troubled = Backoff(Random(), longest_s=LONGEST_WAIT_S), Lines(), False  # noqa: S311 - jitter
    while True:
        reason = "The card reader has ended"
        try:
            async with _open(open_it) as chunks:
                async for data in chunks:
                    if troubled:
                        trouble("")
                    troubled = False
                    backoff.worked()
                    for number in lines.feed(data, time.monotonic()):
                        hear(number)
        except ReaderError as error:
            reason = str(error)
        except OSError as error:
            reason = f"The card reader is gone: {error.strerror}"
        if not troubled:
            trouble(reason)
        troubled = True
        await asyncio.sleep(backoff.again())


@asynccontextmanager
async def _open(open_it: Callable[[], OpenReader]) -> AsyncIterator[AsyncIterator[bytes]]:
    """Whatever the reader sends; ends where the reader does. Raises ReaderError, OSError."""
    reader, loop, ready = open_it(), asyncio.get_running_loop(), asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        while True:
            await ready.wait()
            ready.clear()
            loop.add_reader(reader.descriptor, tell)
            if not (data := os.read(reader.descriptor, 4_096)):
                return
            yield data

    def tell() -> None:
        # Told once, then read: the descriptor may block, and must not be changed, for it may be our user's console.
        loop.remove_reader(reader.descriptor)
        ready.set()

    try:
        try:
            loop.add_reader(reader.descriptor, tell)
        except PermissionError:
            raise ReaderError("A card reader is a device, a pipe or a console; this is a file") from None
        yield chunks()
    finally:
        loop.remove_reader(reader.descriptor)
        reader.close()


# ---- the server's answer

UNREACHABLE: Final = ("暂时连不上服务器，请再刷一次", "The server cannot be reached; hold the card to it again")
NOBODYS: Final = ("这张卡没有登记", "This card is nobody's")
REFUSED: Final = ("服务器不接受刷卡", "The server refuses cards of this terminal")
NOBODY, SEVERAL, BUSY = 73731, 5, frozenset({1, 7, 8})
"""codes of seed 004: see docs/terminals.md"""


Keep = Callable[[str, datetime], Awaitable[CardAnswer]]
"""Makes a punch of a card that was read at this time, without a server."""


class CardDesk:
    """Makes a punch of a card, through the server."""

    def __init__(
        self,
        identity: Identity,
        server: Server,
        now: Callable[[], datetime],
        patience_s: float = POST_S,
        keep: Keep | None = None,
    ) -> None:
        """`now` is the server's time, as far as it is known. `keep` is asked when the server did not answer; had it
        heard of the card after all, then of the same time, and it makes one punch of both."""
        self._identity, self._server, self._now, self._patience_s = identity, server, now, patience_s
        self._keep = keep
        self._number = 0

    async def present(self, card: str) -> CardAnswer:
        """The punch is in the database if this has a state, or on this disk if that is "kept". However often it has to
        be sent, it is one punch: it keeps its time and number."""
        self._number += 1
        at = self._now()
        form = {"faceName": card, "time": f"{at.timestamp():.3f}", "seq": str(self._number)}
        backoff = Backoff(Random())  # noqa: S311 - jitter, no secret
        try:
            async with httpx.AsyncClient(timeout=POST_S, verify=self._server.trust, trust_env=False) as http:
                async with asyncio.timeout(self._patience_s):
                    while (answer := await self._once(http, form, card)) is None:
                        await asyncio.sleep(backoff.again())
                    return answer
        except TimeoutError:
            return await self._keep(card, at) if self._keep else CardAnswer(card, "", *UNREACHABLE)

    async def _once(self, http: httpx.AsyncClient, form: dict[str, str], card: str) -> CardAnswer | None:
        """None: try again."""
        try:
            token = await fetch_token(http, self._server, self._identity)
            response = await http.post(f"{self._server.api}/faces/api/clinetFeedback", data={"token": token, **form})
            said = response.json()
            code, state = int(said["code"]), str(said.get("state", ""))
        except Ended as error:
            return CardAnswer(card, "", *REFUSED) if error.by_person else None
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return None
        if code in BUSY:
            return None
        if code == 0:
            return CardAnswer(card, state)
        return CardAnswer(card, "", *(NOBODYS if code in (NOBODY, SEVERAL) else REFUSED))


Present = Callable[[str], Awaitable[CardAnswer]]
"""What makes a punch of a card: a CardDesk's `present`, or a terminal that is on its own."""


class Cards:
    """Cards, one after another: each is told, presented, and its answer told."""

    def __init__(self, present: Present, hear: Callable[[Event], None]) -> None:
        self._present, self._hear = present, hear
        self._waiting: asyncio.Queue[str] = asyncio.Queue(MAX_WAITING)

    def read(self, number: str) -> None:
        """A card was held to a reader. While too many wait already it is not taken: its owner tries again."""
        with contextlib.suppress(asyncio.QueueFull):
            self._waiting.put_nowait(number)

    async def run(self) -> None:
        """Work, until cancelled."""
        while True:
            number = await self._waiting.get()
            self._hear(CardRead(number))
            self._hear(await self._present(number))
