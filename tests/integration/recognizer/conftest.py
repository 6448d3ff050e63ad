"""What stands around a recognizer: a gateway's slots and a registry's library, on a real broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from nats.aio.msg import Msg

from recognizer.settings import RecognizerSettings
from shared.bus import Bus
from shared.bus.topology import EVENTS
from shared.contracts.base import Message, new_id, now
from shared.contracts.gallery import FaceChanged, LibraryChanges, LibraryDelta
from shared.contracts.recognition import (
    Frame,
    FrameCall,
    Identified,
    Question,
    RecognizerAlive,
    Result,
    SourceKind,
    Turn,
    Want,
)
from shared.errors import Gone
from tests import sample_faces
from tests.conftest import PASSWORDS, Broker

GATEWAY = "g1"


@dataclass
class Books:
    """The registry's side: pages of the library, one a revision."""

    bus: Bus
    pages: list[LibraryDelta] = field(default_factory=list)

    async def open(self) -> None:
        await self.bus.serve(LibraryChanges, self._changes)

    def write(self, **changes: object) -> int:
        """One more page; its revision."""
        revision = len(self.pages) + 1
        self.pages.append(LibraryDelta(revision=revision, head=revision, **changes))  # type: ignore[arg-type]
        return revision

    async def tell(self, **changes: object) -> int:
        """As `write`, and everybody hears of it."""
        revision = self.write(**changes)
        await self.bus.record(FaceChanged(revision=revision))
        return revision

    async def _changes(self, command: LibraryChanges) -> LibraryDelta:
        head = len(self.pages)
        if command.since >= head:
            return LibraryDelta(revision=head, head=head)
        return self.pages[command.since].model_copy(update={"head": head})

    async def punches(self) -> int:
        """How many `Identified` events there are."""
        info = await self.bus.js.stream_info(EVENTS, subjects_filter=Identified.subject)
        return sum((info.state.subjects or {}).values())


@dataclass
class Window:
    """The gateway's side: one frame a source, and the results."""

    bus: Bus
    frames: dict[str, Frame] = field(default_factory=dict)
    handed_out: list[str] = field(default_factory=list)
    results: asyncio.Queue[Result] = field(default_factory=asyncio.Queue)
    alive: asyncio.Queue[RecognizerAlive] = field(default_factory=asyncio.Queue)

    async def open(self) -> None:
        await self.bus.serve_at(FrameCall.subject(GATEWAY, "*"), self._hand_out)
        await self.bus.follow(Result.subject_for(GATEWAY, "*"), Result, self._result)
        await self.bus.follow(RecognizerAlive.subject, RecognizerAlive, self._alive)

    async def _hand_out(self, message: Msg) -> Message:
        source = message.subject.rsplit(".", 1)[1]
        self.handed_out.append(source)
        if source not in self.frames:
            raise Gone("", "gone")
        return self.frames[source]

    async def _result(self, result: Result, _: str) -> None:
        self.results.put_nowait(result)

    async def _alive(self, alive: RecognizerAlive, _: str) -> None:
        self.alive.put_nowait(alive)

    async def show(self, jpeg: bytes, question: Question | None = None, **fields: object) -> str:
        """A picture in a slot of its own, and its turn."""
        want = Want.IDENTIFY if question is None else Want.ANSWER
        deadline = now() + timedelta(seconds=60)
        source = new_id()
        self.frames[source] = Frame.model_validate(
            {"source": source, "kind": SourceKind.UPLOAD, "place": "api", "deadline": deadline, "jpeg": jpeg}
            | {"want": want, "question": question}
            | fields
        )
        await self.ask_for_turn(source)
        return source

    async def ask_for_turn(self, source: str) -> None:
        assert await self.bus.publish(Turn.subject(GATEWAY, source))

    async def result(self, timeout: float = 60) -> Result:
        async with asyncio.timeout(timeout):
            return await self.results.get()

    async def once(self, jpeg: bytes, question: Question | None = None, **fields: object) -> Result:
        """The answer about one picture."""
        source = await self.show(jpeg, question, **fields)
        result = await self.result()
        assert result.source == source
        return result

    async def reached(self, revision: int) -> None:
        """Return when a recognizer says that it holds this revision."""
        async with asyncio.timeout(10):
            while (await self.alive.get()).revision < revision:
                pass


@dataclass
class Around:
    """Both sides of a recognizer."""

    books: Books
    window: Window
    settings: RecognizerSettings


@asynccontextmanager
async def around_in(broker: Broker) -> AsyncIterator[Around]:
    async with broker.connect("registry") as registry, broker.connect("gateway") as gateway:
        books, window = Books(registry), Window(gateway)
        await books.open()
        await window.open()
        settings = RecognizerSettings(nats_url=broker.url, nats_password=PASSWORDS["recognizer"], instance="r1")
        yield Around(books, window, settings)


@pytest.fixture
async def around(broker: Broker) -> AsyncIterator[Around]:
    async with around_in(broker) as both:
        yield both


@pytest.fixture(scope="session")
def photos() -> dict[str, tuple[bytes, ...]]:
    return sample_faces.photos()
