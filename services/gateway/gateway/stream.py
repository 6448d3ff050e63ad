"""`WS /stream`: frames in, results out. The server says when it wants the next frame.

Client: text {"type":"hello","place":"东门"} or, a terminal, {"type":"hello","token":"…"}; then one binary JPEG after
each {"type":"next"}. Server: next, result, punch, error. A terminal's place is its name, whatever it says. With
"want":"challenge" in the hello it is a challenge instead (gateway/challenge.py).
"""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.answers import result_message
from gateway.feed import punch_item
from gateway.reporting import Origin
from shared.contracts.base import new_id, now
from shared.contracts.devices import Device
from shared.contracts.recognition import Frame, Result, SourceKind, Verdict, Want, frame_of_event
from shared.contracts.terminals import CheckToken, device_source
from shared.errors import InvalidInput, NotAllowed, RollcallError, Unavailable
from shared.vision.picture import PictureError, inspect

if TYPE_CHECKING:
    from gateway.gateway import Gateway

log = structlog.get_logger("stream")

HELLO_S = 10.0
MAX_FRAME = 1_000_000
"""bytes of one streamed frame"""
MAX_SIDE = 2_048
"""pixels of one streamed frame's longer side"""
MAX_FACES = 3
"""faces answered in one streamed frame, largest first"""
FLOOD_S = 0.03
"""frames closer than this on average are rubbish, not a camera"""
BURST = 20.0
"""frames"""
OUTBOX = 32
WATCHED = 64
"""events of one stream whose punch was or will be told: more than the people in view at a time"""
LONGEST_WAIT_S = 2.0
"""however busy the pool, a source is asked for a frame this often"""
PUNCH_S = 20.0
"""how long a stream waits to be told that its punch is in the database, in seconds"""


class Stream:
    """One open stream: a reader, a bounded outbox with one writer, and the pace."""

    interval_s: float | None = None
    """the shortest time between two frames; None: the gateway's"""
    longest_s: float | None = None
    """how long it may stay open; None: for ever"""

    def __init__(self, gateway: "Gateway", socket: WebSocket, origin: Origin) -> None:
        self._gateway, self._socket, self._origin = gateway, socket, origin
        self._outbox: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(OUTBOX)
        self._told: deque[str] = deque(maxlen=WATCHED)
        self._tasks: set[asyncio.Task[None]] = set()
        self._credit, self._counted_at = BURST, time.monotonic()
        self._ended = False
        self._looking: asyncio.Task[None] | None = None
        self._limit = asyncio.timeout(self.longest_s)
        self._cut: RollcallError | None = None

    async def run(self) -> None:
        """Serve until either side leaves. Raises Unavailable after `longest_s`, NotAllowed when its terminal no longer
        may."""
        frames, heard = self._gateway.frames, self._heard
        frames.listen(self._origin.source, heard)
        writer = asyncio.create_task(self._write())
        self._say({"type": "next"})
        try:
            async with self._limit:
                with self._gateway.terminal_streams.watching(self._origin.device_id, self):
                    while frames.owned_by(self._origin.source, heard):
                        await self._receive(await self._socket.receive())
        except WebSocketDisconnect:
            pass
        except TimeoutError:
            if self._cut:
                raise self._cut from None
            raise Unavailable("等待太久，请再试一次", "this took too long, please try again") from None
        finally:
            frames.leave(self._origin.source, heard)
            for task in (writer, *self._tasks):
                task.cancel()

    def look_again(self) -> None:
        """Have the terminal looked at; a look that is under way counts no longer."""
        if self._looking:
            self._looking.cancel()
        self._looking = self._later(self._gateway.terminal_streams.look(self._origin.device_id, self))

    def take_over(self, device: Device) -> None:
        """Its name or its place may be another one now."""
        self._origin = replace(self._origin, place=device.punches_at)

    def cut(self, error: RollcallError) -> None:
        """End at once: `run` raises this, and nothing of a picture that is still looked at is told."""
        if self._cut is None:
            log.info("stream cut", source=self._origin.source, code=error.code)
            self._cut = error
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def _receive(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        jpeg = message.get("bytes")
        if not jpeg:
            return
        self._count_frame()
        check_frame(jpeg)
        await self._gateway.frames.submit(self._frame(jpeg))
        self._later(self._ask_next())

    def _count_frame(self) -> None:
        """A token bucket: a burst is fine, a steady flood is not. Raises InvalidInput."""
        at = time.monotonic()
        self._credit = min(BURST, self._credit + (at - self._counted_at) / FLOOD_S) - 1
        self._counted_at = at
        if self._credit < 0:
            raise InvalidInput("画面发送过快", "frames come too fast")

    def _frame(self, jpeg: bytes) -> Frame:
        return Frame(
            source=self._origin.source,
            kind=self._origin.kind,
            place=self._origin.place,
            deadline=now() + timedelta(seconds=5),
            streaming=True,
            max_faces=MAX_FACES,
            jpeg=jpeg,
        )

    async def _ask_next(self) -> None:
        """Ask for the next frame about when a recognizer will be free for it."""
        shortest = self._gateway.settings.frame_interval_ms / 1000 if self.interval_s is None else self.interval_s
        await asyncio.sleep(min(max(shortest, self._gateway.frames.slots.turn_wait_s), LONGEST_WAIT_S))
        self._say({"type": "next"})

    def _heard(self, result: Result) -> None:
        message = result_message(result)
        self._say(message)
        self._later(self._pass_on(result, message))
        for face in result.faces:
            if face.verdict is Verdict.IDENTIFIED and face.event_id not in self._told:
                self._told.append(face.event_id)
                self._later(self._tell_punch(face.event_id))

    async def _pass_on(self, result: Result, message: dict[str, Any]) -> None:
        await self._gateway.wall.show(self._origin, result)
        if self._origin.device_id and result.faces:
            await self._gateway.terminals.push(self._origin.device_id, message)

    async def _tell_punch(self, event_id: str) -> None:
        outcome = await self._gateway.settlements.wait(event_id, PUNCH_S)
        if outcome is None:
            with contextlib.suppress(ValueError):  # ask again when the face is seen again
                self._told.remove(event_id)
            return
        message = punch_item(outcome, self._gateway.zone)
        log.info("punch shown", state=message["state"], source=self._origin.source, trace=frame_of_event(event_id))
        self._say(message)
        if self._origin.device_id:
            await self._gateway.terminals.push(self._origin.device_id, message)

    def _say(self, message: dict[str, Any]) -> None:
        """Queue a message; a reader this slow loses the oldest one."""
        if self._outbox.full():
            self._outbox.get_nowait()
        self._outbox.put_nowait(message)

    def _end(self) -> None:
        """What was said is the last word: the socket is closed once it is out."""
        self._ended = True
        if self._outbox.full():
            self._outbox.get_nowait()
        self._outbox.put_nowait(None)

    async def _write(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while (message := await self._outbox.get()) is not None:
                await self._socket.send_text(json.dumps(message, ensure_ascii=False))
            await self._socket.close()

    def _later(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def check_frame(jpeg: bytes) -> None:
    """Raises InvalidInput for a streamed frame that is too big or no picture; reads the header only."""
    if len(jpeg) > MAX_FRAME:
        raise InvalidInput(f"画面超过 {MAX_FRAME} 字节", f"a frame has at most {MAX_FRAME} bytes")
    try:
        info = inspect(jpeg)
    except PictureError as error:
        raise InvalidInput(error.zh, error.en, number=error.number) from None
    if max(info.width, info.height) > MAX_SIDE:
        raise InvalidInput(f"画面边长超过 {MAX_SIDE} 像素", f"a frame's side has at most {MAX_SIDE} pixels")


@dataclass(frozen=True, slots=True)
class Hello:
    """The client's first message; both texts may be empty."""

    token: str
    place: str
    challenge: bool


async def read_hello(socket: WebSocket) -> Hello:
    """Raises InvalidInput."""
    try:
        async with asyncio.timeout(HELLO_S):
            said = json.loads(await socket.receive_text())
        token, place, want = (str(said.get(name, "")) for name in ("token", "place", "want"))
    except (TimeoutError, ValueError, AttributeError, KeyError, RecursionError):
        raise InvalidInput("第一条消息应为 hello", 'the first message must be {"type":"hello"}') from None
    if want not in ("", Want.IDENTIFY, Want.CHALLENGE):
        raise InvalidInput("want 只能是 identify 或 challenge", "want is identify or challenge", field="want")
    return Hello(token[:64], place.strip()[:64], want == Want.CHALLENGE)


async def origin_of(gateway: "Gateway", socket: WebSocket, hello: Hello) -> Origin:
    """Whose frames these are. Raises NotAllowed, Unavailable."""
    if hello.token:
        device = await gateway.bus.ask(CheckToken(token=hello.token, spend=True))
        # A challenge is a source of its own: the terminal's camera goes on beside it.
        source = f"ask-{new_id()[:16]}" if hello.challenge else device_source(device.device_id)
        return Origin(source, SourceKind.DEVICE, device.punches_at, device.device_id)
    if not same_origin(socket):
        raise NotAllowed("来源不允许", "cross-origin streams need a terminal's token")
    return Origin(f"web-{new_id()[:16]}", SourceKind.WEB, hello.place or "web")


def same_origin(socket: WebSocket) -> bool:
    """Browsers send Origin with every WebSocket and no cookie rule protects it: only our own pages may stream."""
    origin = socket.headers.get("origin")
    return origin is None or origin.partition("://")[2] == socket.headers.get("host")


@asynccontextmanager
async def telling_errors(socket: WebSocket) -> AsyncIterator[None]:
    """Errors become one message and a close; a client that left is no error."""
    try:
        yield
    except RollcallError as error:
        message = {"type": "error", "code": error.code, "zh": error.zh, "en": error.en}
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await socket.send_text(json.dumps(message, ensure_ascii=False))
            await socket.close(1013 if isinstance(error, Unavailable) else 1008)
    except WebSocketDisconnect:
        pass
