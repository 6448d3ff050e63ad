"""A terminal that goes on without a server: real faces, a whole system that goes away, a box that joins later."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from rollcall.local import Options, System, free_port, local_system
from rollcall.office import bus_of
from shared.contracts.devices import AddDevice, Proof
from shared.testing import eventually
from shared.vision.engine import FaceEngine
from terminal.admission import Identity, Server, fetch_token
from terminal.client import Terminal
from terminal.events import Channel, Delivered, Event, Face, Punch, Recognising, Result
from terminal.offline import EyeSettings, load
from terminal.punches import State
from terminal.reserve import Reserve
from terminal.simulator import empty_frame, letterbox
from terminal.standalone import Box, CannotRegister, Joined, join, open_box
from tests.systems import photos, register, rows, web_client

PUNCHES = "SELECT st_num, captured_at, place FROM punches ORDER BY captured_at"


class Doorway:
    """A camera: whoever `shown` is stands before it."""

    def __init__(self) -> None:
        self.shown = empty_frame()

    async def __call__(self) -> bytes:
        await asyncio.sleep(0)
        return self.shown


@pytest.fixture(scope="module")
def faces() -> FaceEngine:
    return load()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    with open_box(tmp_path / "terminal", b"s" * 64) as opened:
        yield opened


def running(options: Options) -> AbstractAsyncContextManager[System]:
    return local_system(options, lambda name, line: print(f"{name:>13} | {line}"), print)


@asynccontextmanager
async def at_the_door(terminal: Terminal) -> AsyncIterator[None]:
    task = asyncio.create_task(terminal.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def identity_at(system: System, name: str, sn: str) -> Identity:
    """As `rollcall device add` does."""
    async with bus_of(system.options.data) as bus:
        issued = await bus.ask(AddDevice(name=name, sn=sn, proof=Proof.SECRET, by="test"))
    return Identity(name, sn, issued.secret.get_secret_value())


def told(heard: list[Event], kind: type[Event], **fields: object) -> list[Event]:
    return [e for e in heard if isinstance(e, kind) and all(getattr(e, k) == v for k, v in fields.items())]


async def until(heard: list[Event], kind: type[Event], **fields: object) -> None:
    async def there() -> bool:
        return bool(told(heard, kind, **fields))

    await eventually(there, 30, f"{kind.__name__} {fields} in {heard[-8:]}")


async def test_nobody_at_the_door_misses_the_server(tmp_path: Path, box: Box) -> None:
    """All of the server is away while a student comes; when it is back, the ledger gets the punch, once, as it was."""
    (ada, *_), (stranger, *_) = list(photos().values())[:2]
    options = Options(data=tmp_path / "data", port=free_port(), hub_port=free_port(), recognizers=1, hubs=1)
    server = Server(f"http://127.0.0.1:{options.port}", f"ws://127.0.0.1:{options.hub_port}")
    doorway, heard = Doorway(), list[Event]()
    async with box.reserve(EyeSettings()) as reserve, AsyncExitStack() as door:
        async with running(options) as system, web_client(system) as web:
            assert (await register(web, "1001", "Ada", ada)).status_code < 400
            identity = await identity_at(system, "东门", "E-1")
            terminal = Terminal(identity, server, heard.append, camera=doorway, reserve=reserve)
            await door.enter_async_context(at_the_door(terminal))
            await eventually(lambda: knows(box, "1001"), 30, "the copy of the library")
        await until(heard, Recognising, here=True)
        doorway.shown = letterbox(stranger)
        await until(heard, Result, channel=Channel.HERE, faces=(Face("unknown"),))
        before = datetime.now(UTC)
        doorway.shown = letterbox(ada)
        await until(heard, Punch, channel=Channel.HERE, state="kept", num="1001")
        doorway.shown = empty_frame()
        after = datetime.now(UTC)
        assert box.punches.counts()[State.WAITING] == 1
        async with running(options) as system:
            await until(heard, Delivered, kept=1, waiting=0, refused=0)
            [(num, at, place)] = rows(system, PUNCHES)
            assert (num, place) == ("1001", "东门")
            assert before <= datetime.fromisoformat(str(at)).replace(tzinfo=UTC) <= after
            await until(heard, Recognising, here=False)
            assert box.punches.counts()[State.KEPT] == 1


async def knows(box: Box, num: str) -> bool:
    return num in box.library.people


async def test_a_box_alone_and_then_with_a_server(tmp_path: Path, box: Box, faces: FaceEngine) -> None:
    """Two are registered and clock in without any server; one of them has a number that the server gave to somebody
    else: that one stays, with the punch, until it is mended."""
    (ada, *_), (bob, *_), (carl, *_) = list(photos().values())[:3]
    box.register(faces, ada, "1001", "Ada", "一班")
    box.register(faces, bob, "1002", "Bob", "一班")
    for photo, num, words in [
        (carl, "1001", "is Ada already"),
        (ada, "1003", "registered already: Ada"),
        (empty_frame(), "1003", "没有看到人脸"),
        (carl, "a b", "num"),
    ]:
        with pytest.raises(CannotRegister, match=words):
            box.register(faces, photo, num, "Carl", "一班")
    heard, doorway = list[Event](), Doorway()
    async with box.reserve(EyeSettings()) as reserve:
        assert reserve.eye is not None
        looking = asyncio.create_task(reserve.eye.run(doorway, heard.append, lambda: datetime.now(UTC)))
        for photo, num in ((ada, "1001"), (bob, "1002")):
            doorway.shown = letterbox(photo)
            await until(heard, Punch, state="kept", num=num)
        doorway.shown = letterbox(carl)
        await until(heard, Result, faces=(Face("unknown"),))
        looking.cancel()
    assert box.punches.counts()[State.HELD] == 2
    options = Options(data=tmp_path / "data", port=free_port(), hub_port=free_port(), recognizers=1, hubs=1)
    async with running(options) as system, web_client(system) as web, httpx.AsyncClient(timeout=20) as http:
        await register(web, "1002", "Carl", carl)
        identity = await identity_at(system, "东门", "E-1")
        server = Server(system.running.url, f"ws://127.0.0.1:{options.hub_port}")
        said: list[Joined] = []

        async def joined() -> tuple[int, int]:
            said.clear()
            return await join(http, server.api, lambda: fetch_token(http, server, identity), box, said.append)

        assert await joined() == (1, 1)
        assert {j.num: (bool(j.problem), j.released) for j in said} == {"1001": (False, 1), "1002": (True, 0)}
        assert "knows 1002 as Carl" in next(j.problem for j in said if j.problem)
        terminal = Terminal(identity, server, heard.append, reserve=Reserve(box.library, box.punches))
        async with at_the_door(terminal):
            await until(heard, Delivered, kept=1, waiting=0, refused=0)
        assert [(num, place) for num, _, place in rows(system, PUNCHES)] == [("1001", "东门")]
        assert box.own.people.keys() == {"1002"}
        assert box.punches.counts()[State.HELD] == 1
