"""A simulated camera: one photo, shown over the frame stream at a steady rate, and how the server answers."""

import asyncio
import json
import time
from dataclasses import dataclass, field

import httpx
from websockets.asyncio.client import ClientConnection, connect

from terminal.admission import ANSWER_S, Identity, Server, fetch_token
from terminal.events import read_object
from terminal.talks import MAX_FRAME


@dataclass(slots=True)
class Shown:
    """What became of a camera's frames."""

    frames: int = 0
    answers: int = 0
    answer_ms: list[float] = field(default_factory=list)
    """from a frame's sending to its answer"""


async def show(
    http: httpx.AsyncClient, server: Server, identity: Identity, jpeg: bytes, every_s: float, shown: Shown
) -> None:
    """Until the server ends it: a frame every `every_s`, or more seldom if the server asks for fewer. Raises Ended,
    httpx.HTTPError, OSError, WebSocketException."""
    token = await fetch_token(http, server, identity)
    async with connect(
        server.stream_url,
        ssl=server.tls(server.stream_url),
        max_size=MAX_FRAME,
        compression=None,
        proxy=None,
        open_timeout=ANSWER_S,
        close_timeout=1,
    ) as socket:
        await socket.send(json.dumps({"type": "hello", "token": token}))
        await _talk(socket, jpeg, every_s, shown)


async def _talk(socket: ClientConnection, jpeg: bytes, every_s: float, shown: Shown) -> None:
    due = sent_at = time.monotonic()
    async with asyncio.TaskGroup() as group:

        async def send() -> None:
            nonlocal due, sent_at
            await asyncio.sleep(due - time.monotonic())
            sent_at = time.monotonic()
            due = max(due + every_s, sent_at)
            shown.frames += 1
            await socket.send(jpeg)

        async for text in socket:
            match read_object(text)["type"]:
                case "next":
                    group.create_task(send())
                case "result":
                    shown.answers += 1
                    shown.answer_ms.append((time.monotonic() - sent_at) * 1e3)
