"""A connection below a session, fed byte by byte: what the library makes of it, and what is known at a glance."""

import asyncio
import contextlib
import selectors
from dataclasses import dataclass, field

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from device_hub.line import LINE_S, MAX_FRAGMENTS, PONG_HEAD, PONG_SIZE, STRANGER_S, Line
from device_hub.session import Session, Terms
from shared.contracts.base import now
from shared.contracts.devices import Device, DeviceState

HELLO = b'{"type":"hello","versions":[1]}'
PING = b'{"type":"ping","id":7}'


class Socket(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.reads, self.ended = b"", True, False

    def write(self, data: "bytes | bytearray | memoryview") -> None:
        self.written += data

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.ended

    def abort(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


@dataclass
class House:
    """Lets nobody in by itself."""

    heads: list[bytes] = field(default_factory=list)

    def came(self, line: Line) -> None: ...

    def asked(self, line: Line, head: bytes) -> None:
        self.heads.append(head)

    def left(self, line: Line) -> None: ...


@dataclass
class Talk:
    """A connection that is a WebSocket, and what became of its session."""

    line: Line
    socket: Socket
    closed: list[Session] = field(default_factory=list)

    def heard(self) -> list[bytes]:
        """The messages written so far, as the library at the other end reads them."""
        library = Protocol(Side.CLIENT)
        library.receive_data(self.socket.written)
        return [bytes(frame.data) for frame in library.events_received() if isinstance(frame, Frame)]

    def close_code(self) -> int | None:
        library = Protocol(Side.CLIENT)
        library.receive_data(self.socket.written)
        library.events_received()
        return library.close_rcvd.code if library.close_rcvd is not None else None


def masked(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin=fin).serialize(mask=True)


@pytest.fixture
async def talk() -> Talk:
    line, socket = Line(House()), Socket()
    line.connection_made(socket)
    talk = Talk(line, socket)

    def nothing(_: Session) -> None:
        return None

    device = Device(device_id=1, name="d", sn="s", state=DeviceState.AUTHORISED, created_at=now())
    terms = Terms(nothing, talk.closed.append, nothing, lambda _, __: None, heartbeat_s=20)
    line.upgrade(b"", Session(line, device, terms))
    line.data_received(masked(Opcode.TEXT, HELLO))
    assert b'"welcome"' in talk.heard()[0]
    socket.written = b""
    return talk


async def test_a_head_may_come_in_pieces_and_a_long_one_is_cut() -> None:
    house = House()
    line, socket = Line(house), Socket()
    line.connection_made(socket)
    for piece in (b"GET / HT", b"TP/1.1\r\n\r", b"\n"):
        line.data_received(piece)
    assert house.heads == [b"GET / HTTP/1.1\r\n\r\n"]
    line.data_received(b"x" * 9_000)
    assert socket.ended


class Leaping(asyncio.SelectorEventLoop):
    """Time leaps to whatever is due next."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(LeapingSelector(self))

    def time(self) -> float:
        return self.now


class LeapingSelector(selectors.DefaultSelector):
    """Passes the time instead of waiting."""

    def __init__(self, loop: Leaping) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.now += timeout or 0
        return super().select(0)


@pytest.mark.parametrize(("every_s", "life_s"), [(1, STRANGER_S), (29, STRANGER_S), (31, LINE_S)])
def test_asking_for_a_challenge_again_and_again_gives_no_time_without_end(every_s: float, life_s: float) -> None:
    with contextlib.closing(Leaping()) as loop:
        line, socket = Line(House()), Socket()
        socket.abort = loop.stop  # type: ignore[method-assign]

        def ask() -> None:
            line.data_received(b"GET / HTTP/1.1\r\n\r\n")
            assert line.owes_since == 0
            line.say(b"later")
            assert line.owes_since == loop.now
            loop.call_later(every_s, ask)

        loop.call_soon(line.connection_made, socket)
        loop.call_soon(ask)
        loop.run_forever()
        assert loop.now == pytest.approx(life_s, abs=0.1)


async def test_however_the_bytes_are_cut(talk: Talk) -> None:
    for byte in masked(Opcode.TEXT, PING[:9], fin=False) + masked(Opcode.PING, b"?") + masked(Opcode.CONT, PING[9:]):
        talk.line.data_received(bytes((byte,)))
    pong, answer = talk.heard()
    assert pong == b"?" and b'"pong"' in answer


async def test_a_lone_pong_is_a_sign_of_life_and_nothing_else(talk: Talk) -> None:
    pong = masked(Opcode.PONG)
    assert len(pong) == PONG_SIZE and pong.startswith(PONG_HEAD)
    talk.line.heard_at = 0.0
    talk.line.data_received(pong)
    assert talk.line.heard_at > 0 and not talk.socket.written


async def test_the_bytes_of_a_pong_in_the_middle_of_a_frame_are_that_frames(talk: Talk) -> None:
    looks = PONG_HEAD + bytes(PONG_SIZE - len(PONG_HEAD))
    talk.line.data_received(bytes((0x89, 0x80 | PONG_SIZE)) + bytes(4))  # a ping of six bytes, masked with nothing
    talk.line.data_received(looks)
    assert talk.heard() == [looks]


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (Frame(Opcode.TEXT, b"x").serialize(mask=False), 1002),
        (b"\xff" * 20, 1002),
        (masked(Opcode.TEXT, b"\xff"), 1007),
        (masked(Opcode.TEXT, b"x" * 65_537), 1009),
        (masked(Opcode.TEXT, b"x" * 65_000, fin=False) + masked(Opcode.CONT, b"x" * 1_000), 1009),
        (masked(Opcode.TEXT, fin=False) + masked(Opcode.CONT, fin=False) * MAX_FRAGMENTS, 1009),
        (masked(Opcode.CLOSE, (1000).to_bytes(2)), 1000),
        (masked(Opcode.TEXT, b'{"type":"bye"}') + masked(Opcode.CLOSE, (1001).to_bytes(2)), 1001),
        (masked(Opcode.TEXT, PING) + masked(Opcode.CLOSE, (1001).to_bytes(2)), 1001),
        (masked(Opcode.BINARY, b"x"), 4400),
        (masked(Opcode.PING) * 100, 4429),
    ],
    ids=[
        "unmasked",
        "rubbish",
        "no UTF-8",
        "long",
        "long in parts",
        "many parts",
        "goodbye",
        "bye and goodbye",
        "ping and goodbye",
        "binary",
        "flood",
    ],
)
async def test_what_ends_it_is_told_with_its_code(talk: Talk, stream: bytes, code: int) -> None:
    talk.line.data_received(stream)
    assert talk.close_code() == code and talk.socket.ended
    assert len(talk.closed) == 1
    talk.line.connection_lost(None)
    assert len(talk.closed) == 1


async def test_who_does_not_read_is_not_listened_to(talk: Talk) -> None:
    talk.line.pause_writing()
    assert not talk.socket.reads and talk.line.clogged
    talk.line.resume_writing()
    assert talk.socket.reads and not talk.line.clogged
