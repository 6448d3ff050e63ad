"""WebSocket frames, held against the library that terminals use."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import CloseCode, Frame
from websockets.frames import Opcode as Theirs
from websockets.protocol import Protocol, Side

from device_hub.frames import MAX_FRAGMENTS, PING, Broken, Message, Opcode, Reader, close_frame, frame

LONGEST = 300


def masked(opcode: Theirs, data: bytes, *, final: bool = True) -> bytes:
    return Frame(opcode, data, fin=final).serialize(mask=True)


def cut(stream: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The stream in pieces of these sizes, and the rest."""
    at = 0
    for size in sizes:
        yield stream[at : at + size]
        at += size
    yield stream[at:]


def all_of(pieces: Iterator[bytes], longest: int = LONGEST) -> list[Message]:
    reader = Reader(longest)
    return [message for piece in pieces for message in reader.read(piece)]


MESSAGES = st.lists(
    st.tuples(st.sampled_from([Theirs.TEXT, Theirs.BINARY]), st.lists(st.binary(max_size=140), min_size=1, max_size=2))
    | st.tuples(st.sampled_from([Theirs.PING, Theirs.PONG]), st.lists(st.binary(max_size=125), min_size=1, max_size=1)),
    max_size=6,
)


@settings(max_examples=80, deadline=None)
@given(MESSAGES, st.lists(st.integers(0, 200), max_size=12))
def test_what_the_library_sends_is_read_however_it_is_cut(
    messages: list[tuple[Theirs, list[bytes]]], sizes: list[int]
) -> None:
    stream = b""
    for opcode, parts in messages:
        stream += masked(opcode, parts[0], final=len(parts) == 1)
        for number, part in enumerate(parts[1:], start=2):
            stream += masked(Theirs.PING, b"between") + masked(Theirs.CONT, part, final=number == len(parts))
    read = [(m.opcode.value, m.data) for m in all_of(cut(stream, sizes)) if m.data != b"between"]
    assert read == [(opcode.value, b"".join(parts)) for opcode, parts in messages]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 50), max_size=8))
def test_rubbish_is_refused_or_waited_for_and_never_crashes(rubbish: bytes, sizes: list[int]) -> None:
    reader, kept = Reader(LONGEST), 0
    try:
        for piece in cut(rubbish, sizes):
            for message in reader.read(piece):
                kept += len(message.data)
    except Broken as broken:
        assert broken.code in (1002, 1009)
    assert kept <= len(rubbish)


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536])
def test_the_library_reads_what_is_written(length: int) -> None:
    library = Protocol(Side.CLIENT, max_size=None)
    library.receive_data(frame(Opcode.TEXT, b"x" * length) + PING + close_frame(1001, "é" * 200))
    text, ping, close = library.events_received()
    assert isinstance(text, Frame) and isinstance(ping, Frame) and isinstance(close, Frame)
    assert (text.opcode, len(text.data), ping.opcode, bytes(ping.data)) == (Theirs.TEXT, length, Theirs.PING, b"")
    assert library.close_rcvd is not None and library.close_rcvd.code == CloseCode.GOING_AWAY


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (Frame(Theirs.TEXT, b"x").serialize(mask=False), 1002),
        (bytes((0xC1, 0x80)), 1002),  # a reserved bit
        (bytes((0x83, 0x80)), 1002),  # an opcode that there is not
        (bytes((0x09, 0x80)), 1002),  # a ping in parts
        (bytes((0x89, 0xFE)), 1002),  # a long ping
        (masked(Theirs.CONT, b""), 1002),
        (masked(Theirs.TEXT, b"", final=False) + masked(Theirs.TEXT, b""), 1002),
        (bytes((0x81, 0xFE, 0x01, 0x2D)), 1009),  # 301 bytes are announced
        (bytes((0x81, 0xFF)) + b"\xff" * 8, 1009),
        (masked(Theirs.TEXT, b"x" * 200, final=False) + masked(Theirs.CONT, b"x" * 101), 1009),
        (masked(Theirs.TEXT, b"", final=False) + masked(Theirs.CONT, b"", final=False) * MAX_FRAGMENTS, 1009),
    ],
)
def test_what_breaks_the_rules_is_told_with_its_code(stream: bytes, code: int) -> None:
    with pytest.raises(Broken) as caught:
        all_of(iter([stream]))
    assert caught.value.code == code


def test_a_lone_pong_is_known_at_a_glance_but_not_in_the_middle_of_a_frame() -> None:
    reader, pong = Reader(LONGEST), masked(Theirs.PONG, b"")
    assert reader.is_lone_pong(pong)
    assert not reader.is_lone_pong(pong + pong)
    assert not reader.is_lone_pong(masked(Theirs.PING, b""))
    assert list(reader.read(masked(Theirs.TEXT, b"abcdef")[:6])) == []
    assert not reader.is_lone_pong(pong)
