"""kill -9 at the worst moment: with a turn in hand, and between an event and its commit."""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from rollcall.local import System
from shared.testing import eventually
from terminal.simulator import letterbox
from tests.systems import a_system, data_url, died, freeze, photos, pid, ready_again, register, rows, web_client

TRIES = 5


@dataclass
class Screen:
    """What one kiosk was shown."""

    place: str
    identified: set[str] = field(default_factory=set)
    punches: dict[str, str] = field(default_factory=dict)
    """event → recorded or repeated"""


async def stand_before(system: System, screen: Screen, jpeg: bytes) -> None:
    """A kiosk whose camera sees one person for ever; reconnects when the gateway goes."""
    url = f"ws{system.running.url.removeprefix('http')}/stream"
    async for socket in connect(url, proxy=None, compression=None):
        with contextlib.suppress(WebSocketException):
            await socket.send(json.dumps({"type": "hello", "place": screen.place}))
            async for text in socket:
                await _answer(socket, json.loads(text), screen, jpeg)


async def _answer(socket: Any, message: dict[str, Any], screen: Screen, jpeg: bytes) -> None:
    match message["type"]:
        case "next":
            await socket.send(jpeg)
        case "result":
            screen.identified |= {f["event"] for f in message["faces"] if f["verdict"] == "identified"}
        case "punch":
            screen.punches[message["event"]] = message["state"]


@asynccontextmanager
async def screens_on(system: System, people: list[bytes], each: int = 2) -> AsyncIterator[list[Screen]]:
    """`each` kiosks for every person, running while inside."""
    screens = [Screen(f"place-{number}") for number in range(len(people) * each)]
    tasks = [
        asyncio.create_task(stand_before(system, screen, people[number % len(people)]))
        for number, screen in enumerate(screens)
    ]
    try:
        yield screens
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def settled(system: System, screens: list[Screen]) -> None:
    """Everything that was shown as identified has been settled in the database."""
    shown = {event for screen in screens for event in screen.identified}

    async def all_in_inbox() -> bool:
        return shown <= {str(row[0]) for row in rows(system, "select event_id from inbox")}

    await eventually(all_in_inbox, 20, "every identified frame reached the ledger")


def check_ledger(system: System, screens: list[Screen]) -> None:
    """What people were shown against what the database says."""
    punches = rows(system, "select identified_event, st_num, place from punches")
    events = Counter(event for event, _, _ in punches)
    assert max(events.values()) == 1
    assert max(Counter((num, place) for _, num, place in punches).values()) == 1, "two punches inside the debounce"
    for screen in screens:
        assert {place for _, _, place in punches if place == screen.place}, f"no punch at {screen.place}"
        for event, state in screen.punches.items():
            assert (event in events) == (state == "recorded")


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    async with a_system(tmp_path / "data") as running:
        yield running


@pytest.fixture
async def people(system: System) -> list[bytes]:
    """Two registered people; the pictures are others than those registered."""
    faces = photos()
    async with web_client(system) as web:
        for number, name in enumerate(("Barack Obama", "Jacinda Ardern"), start=1):
            assert (await register(web, f"s{number}", name, faces[name][0])).status_code == 303
    return [letterbox(faces["Barack Obama"][1]), letterbox(faces["Jacinda Ardern"][1])]


async def test_a_recognizer_killed_with_a_turn_in_hand(system: System, people: list[bytes]) -> None:
    """Frozen, so that the turn is surely in its hands; then killed. The posted picture is still answered."""
    name = "recognizer-1"
    old = pid(system, name)
    async with web_client(system) as web:
        asking = await asked_while_frozen(system, name, web, people[0])
        system.children[name].kill()
        answer = (await asking).json()
        await died(system, name, old)
        if answer["errno"] == -2:  # slower to restart than a person waits: it says so, and the next try works
            await ready_again(system, name)
            answer = (await web.post("/clockin", json={"img_data": data_url(people[0])})).json()
    assert (answer["errno"], answer["dict"]["num"]) == (0, "s1")
    assert len(rows(system, "select 1 from punches")) == 1


async def test_a_registry_killed_between_event_and_commit(system: System, people: list[bytes]) -> None:
    """The test holds the database's write lock, so the registry stands between the event and its commit."""
    async with screens_on(system, people) as screens:
        lock = sqlite3.connect(system.options.data / "rollcall.db", isolation_level=None)
        lock.execute("begin immediate")

        async def identified() -> bool:
            return all(screen.identified for screen in screens)

        await eventually(identified, 20, "everybody is identified while the database is locked")
        assert not any(screen.punches for screen in screens), "nothing is called recorded before the database has it"
        old = pid(system, "registry")
        system.children["registry"].kill()
        lock.execute("rollback")
        lock.close()
        await died(system, "registry", old)

        async def told() -> bool:
            return all(screen.punches for screen in screens)

        await eventually(told, 30, "every screen is told of its punch")
        await settled(system, screens)
    check_ledger(system, screens)


async def asked_while_frozen(
    system: System, name: str, web: httpx.AsyncClient, jpeg: bytes
) -> asyncio.Task[httpx.Response]:
    """Post a picture whose turn is in the hands of a frozen recognizer. It asks for a turn for a second, and a frozen
    one does not ask again: where that second was over before the picture came, it goes on, answers, and is frozen anew.
    """
    for _ in range(TRIES):
        freeze(system, name)
        asking = asyncio.create_task(web.post("/clockin", json={"img_data": data_url(jpeg)}))
        try:
            await eventually(lambda: turn_taken(system), 1.5, "the turn is in the recognizer's hands")
        except AssertionError:
            os.kill(pid(system, name), signal.SIGCONT)
            await asking
        else:
            return asking
    raise AssertionError(f"in {TRIES} tries the turn never was in the recognizer's hands")


async def turn_taken(system: System) -> bool:
    """Whether the broker has handed the turn out."""
    async with httpx.AsyncClient(trust_env=False) as client:
        monitor = system.broker.monitor_url
        answer = (await client.get(f"{monitor}/jsz?consumers=true&streams=true&accounts=true")).json()
    streams = answer["account_details"][0]["stream_detail"]
    turn = next(stream for stream in streams if stream["name"] == "TURN")
    return bool(turn["consumer_detail"][0]["num_ack_pending"])
