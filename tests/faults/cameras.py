"""The load: doors whose cameras see registered people and strangers come and go, and walls that watch live.

Everybody writes into one `History`, and comes back by himself whatever the system does.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from rollcall.keys import Keys
from rollcall.local import System
from rollcall.office import bus_of, ensure_device
from shared.runtime import background
from shared.security import make_ticket
from terminal.admission import Identity, Server, fetch_token
from terminal.client import Terminal
from terminal.events import Ended, Event
from terminal.events import Punch as Push
from terminal.simulator import Photo, Show, letterbox
from tests.faults.history import NOBODY, History, Named, Sent, Told
from tests.systems import photos, register, web_client

STUDENTS = {"Barack Obama": "s1", "Jacinda Ardern": "s2", "Emmanuel Macron": "s3"}
STRANGERS = ("Rishi Sunak", "Joe Biden")
EACH_S = 2.0
GAP_S = 0.8
"""An empty doorway lasts longer than history.CHANGING."""
AGAIN_S = 0.25
"""a door or a wall that lost its connection tries again this soon, in seconds"""
HURRY_S = 0.1
"""the slow terminal sends a picture this often, so that answers pile up"""
TROUBLE = (OSError, WebSocketException, httpx.HTTPError, Ended)
"""what a door or a wall may meet while something is broken; words that cannot be read are never among it"""


@dataclass(frozen=True, slots=True)
class Door:
    """A place with a camera. `identity` None: a kiosk's page. `reads` False: it sends, and never takes an answer."""

    place: str
    show: Show
    identity: Identity | None = None
    reads: bool = True


async def registered(system: System) -> None:
    """The students, each with the first photo."""
    faces = photos()
    async with web_client(system) as web:
        for name, num in STUDENTS.items():
            answer = await register(web, num, name, faces[name][0])
            assert answer.status_code == 303, answer.text[-500:]


async def doors(system: System, dice: Random) -> list[Door]:
    """Two terminals, a kiosk and a slow terminal; at each two students and a stranger come again and again."""
    faces = photos()
    students = [Photo(num, letterbox(faces[name][1])) for name, num in STUDENTS.items()]
    strangers = [Photo(NOBODY, letterbox(faces[name][0])) for name in STRANGERS]

    def show() -> Show:
        return Show([*dice.sample(students, 2), dice.choice(strangers)], EACH_S, GAP_S)

    async with bus_of(system.options.data) as bus:
        terminals = []
        for number, place in enumerate(("east", "west", "slow"), start=1):
            device, secret = await ensure_device(bus, place, f"F-{number}")
            identity = Identity(device.name, device.sn, secret)
            terminals.append(Door(place, show(), identity, reads=place != "slow"))
    return [*terminals, Door("hall", show())]


@asynccontextmanager
async def standing_at(system: System, places: list[Door], history: History, dice: Random) -> AsyncIterator[None]:
    """All doors open, two walls watching, while inside."""
    server = Server(system.running.url, system.running.hub_url)
    jobs = [_keep(_stand, server, door, history) for door in places]
    jobs += [
        Terminal(door.identity, server, _hub_ear(door, history), dice=dice).run()
        for door in places
        if door.identity is not None
    ]
    ticket = make_ticket(Keys.of(system.options.data).web, "wall", 86_400)
    jobs += [_keep(_watch, f"{_ws(server.api)}/feed?ticket={ticket}", f"wall {n}", history) for n in (1, 2)]
    async with background(*jobs):
        yield


async def _keep(talk: Any, *arguments: Any) -> None:
    while True:
        with suppress(TROUBLE):
            await talk(*arguments)
        await asyncio.sleep(AGAIN_S)


async def _stand(server: Server, door: Door, history: History) -> None:
    """One connection of a door's camera."""
    hello = {"type": "hello", "place": door.place}
    if door.identity is not None:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
            hello["token"] = await fetch_token(http, server, door.identity)
    if not door.reads:
        await _hurry(server, door, hello, history)
        return
    url = server.stream_url
    async with connect(url, proxy=None, compression=None, open_timeout=5, ping_timeout=5, close_timeout=1) as line:
        await line.send(json.dumps(hello))
        async for text in line:
            message = json.loads(text)
            match message["type"]:
                case "next":
                    await line.send(_picture(door, history))
                case "result":
                    _note_result(door.place, message, history)
                case "punch":
                    _note_punch(door.place, message, history)


async def _hurry(server: Server, door: Door, hello: dict[str, str], history: History) -> None:
    """Sends by its own clock into a connection whose other direction is full."""
    address = server.api.removeprefix("http://").split(":")
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    narrow.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(narrow, (address[0], int(address[1])))
    except BaseException:
        narrow.close()
        raise
    history.hurried.add(door.place)
    url = server.stream_url
    async with connect(url, sock=narrow, proxy=None, compression=None, ping_interval=None, max_queue=1) as line:
        try:
            await line.send(json.dumps(hello))
            while True:
                await line.send(_picture(door, history))
                await asyncio.sleep(HURRY_S)
        finally:
            line.transport.abort()  # who does not read never sees the end of a closing handshake


def _picture(door: Door, history: History) -> bytes:
    photo = door.show.at(asyncio.get_running_loop().time() % door.show.length)
    history.sent[door.place].append(Sent(datetime.now(UTC), photo.label))
    return photo.jpeg


async def _watch(url: str, watcher: str, history: History) -> None:
    async with connect(url, proxy=None, compression=None, open_timeout=5, ping_timeout=5, close_timeout=1) as line:
        async for text in line:
            message = json.loads(text)
            if message["type"] == "punch":
                _note_punch(watcher, message, history)
            elif message["type"] == "result" and message["event"]:
                history.named.append(Named(watcher, message["place"], message["event"], message["num"]))


def _note_result(place: str, message: dict[str, Any], history: History) -> None:
    heard_at = datetime.now(UTC)
    since = history.answered_at.get(place)
    history.results[place] += 1
    history.answered_at[place] = heard_at
    captured_at = heard_at - timedelta(milliseconds=message["age_ms"])
    for face in message["faces"]:
        if face["verdict"] == "identified":
            history.named.append(Named(place, place, face["event"], face["num"], captured_at, since))


def _note_punch(watcher: str, message: dict[str, Any], history: History) -> None:
    first_at = message.get("first_at")
    history.told.append(
        Told(
            watcher,
            message["place"],
            message["event"],
            message["num"],
            datetime.fromisoformat(message["at"]),
            datetime.now(UTC),
            datetime.fromisoformat(first_at) if first_at else None,
        )
    )
    assert (first_at is None) == (message["state"] == "recorded")


def _hub_ear(door: Door, history: History) -> Any:
    """What a terminal hears from its hub; the stream's news are noted there."""

    def hear(event: Event) -> None:
        if isinstance(event, Push) and event.state == "recorded":
            at = datetime.fromisoformat(event.at)
            history.told.append(Told(f"{door.place} by hub", door.place, event.event, event.num, at, datetime.now(UTC)))

    return hear


def _ws(url: str) -> str:
    return f"ws{url.removeprefix('http')}"
