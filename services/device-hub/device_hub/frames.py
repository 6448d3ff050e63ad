"""WebSocket frames (RFC 6455) as a server reads and writes them: bytes ↔ frames. No sockets, no clock.

A library's connection holds four kilobytes for itself; this one is two references, and there are sixteen thousand in a
process. The tests hold it against that library, which sits at the other end of every connection.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

MAX_FRAGMENTS: Final = 64
"""parts of one message: else empty ones could come for ever"""
MAX_CONTROL: Final = 125
"""bytes in a ping, pong or close: the RFC's limit"""
_FINAL, _MASKED = 0x80, 0x80
_EXTENDED: Final = {126: struct.Struct(">H"), 127: struct.Struct(">Q")}
"""lengths that stand in bytes of their own"""


class Opcode(IntEnum):
    """Kinds of frames."""

    CONTINUED = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Broken(Exception):
    """The peer broke the RFC or our limits: the code to close with, and why."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Message(NamedTuple):
    """A whole text or binary message, or a control frame."""

    opcode: Opcode
    data: bytes


class _Frame(NamedTuple):
    opcode: Opcode
    final: bool
    data: bytes
    end: int
    """where the next one begins"""


class Reader:
    """Cuts what arrives into messages; keeps what is not whole yet, `longest` bytes at most and a header."""

    __slots__ = ("_left", "_longest", "_parts")

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._left = b""
        self._parts: list[tuple[Opcode, bytes]] | None = None
        """of a message that comes in several frames; None almost always"""

    def is_lone_pong(self, data: bytes) -> bool:
        """Whether this is an empty pong and nothing else: all that most terminals ever say."""
        return len(data) == 6 and data[0] == 0x8A and data[1] == _MASKED and not self._left

    def read(self, data: bytes) -> Iterator[Message]:
        """The messages that are whole now. Raises Broken; nothing may be read after that."""
        data = self._left + data
        at = 0
        while (frame := self._frame(data, at)) is not None:
            at = frame.end
            if (message := self._joined(frame)) is not None:
                yield message
        self._left = data[at:]

    def _frame(self, data: bytes, at: int) -> _Frame | None:
        """The frame that begins at `at`; None if it is not all there."""
        if len(data) < at + 2:
            return None
        opcode, length, start = _opcode(data[at]), data[at + 1] & ~_MASKED, at + 2
        if not data[at + 1] & _MASKED:
            raise Broken(1002, "frames of a client are masked")
        if opcode >= Opcode.CLOSE and (length > MAX_CONTROL or not data[at] & _FINAL):
            raise Broken(1002, "a control frame is one frame of 125 bytes at most")
        if (extended := _EXTENDED.get(length)) is not None:
            if len(data) < start + extended.size:
                return None
            (length,) = extended.unpack_from(data, start)
            start += extended.size
        if length > self._longest:
            raise Broken(1009, f"a message has {self._longest} bytes at most")
        end = start + 4 + length
        if len(data) < end:
            return None
        payload = _unmasked(data[start + 4 : end], data[start : start + 4])
        return _Frame(opcode, bool(data[at] & _FINAL), payload, end)

    def _joined(self, frame: _Frame) -> Message | None:
        """The message that this frame is, or ends."""
        if frame.opcode >= Opcode.CLOSE:
            return Message(frame.opcode, frame.data)
        if (frame.opcode is Opcode.CONTINUED) is (self._parts is None):
            raise Broken(1002, "a message began within another, or nothing was to be continued")
        if self._parts is None and frame.final:
            return Message(frame.opcode, frame.data)
        parts = self._parts = self._parts or []
        parts.append((frame.opcode, frame.data))
        if len(parts) > MAX_FRAGMENTS or sum(len(part) for _, part in parts) > self._longest:
            raise Broken(1009, f"a message has {self._longest} bytes and {MAX_FRAGMENTS} parts at most")
        if not frame.final:
            return None
        self._parts = None
        return Message(parts[0][0], b"".join(part for _, part in parts))


def _opcode(first: int) -> Opcode:
    try:
        return _OPCODES[first & 0x7F]  # a reserved bit makes it an opcode that there is not
    except KeyError:
        raise Broken(1002, "an opcode or a reserved bit that was not agreed upon") from None


_OPCODES: Final = {opcode.value: opcode for opcode in Opcode}


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    if not payload:
        return payload
    repeated = mask * (len(payload) // 4 + 1)
    return (int.from_bytes(payload) ^ int.from_bytes(repeated[: len(payload)])).to_bytes(len(payload))


def frame(opcode: Opcode, data: bytes) -> bytes:
    """One whole frame, unmasked as a server's are."""
    if len(data) <= MAX_CONTROL:
        return bytes((_FINAL | opcode, len(data))) + data
    short = len(data) < 2**16
    head = bytes((_FINAL | opcode, 126 if short else 127))
    return head + _EXTENDED[126 if short else 127].pack(len(data)) + data


def close_frame(code: int, reason: str = "") -> bytes:
    """`reason` is cut to what a frame may hold."""
    words = reason.encode()[: MAX_CONTROL - 2].decode(errors="ignore")  # no half letters
    return frame(Opcode.CLOSE, code.to_bytes(2) + words.encode())


PING: Final = frame(Opcode.PING, b"")
