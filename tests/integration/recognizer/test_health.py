"""A recognizer says what it lacks: at its start, without a broker, behind the library."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from recognizer.engines import Outcome
from recognizer.library import Library
from recognizer.service import service
from recognizer.settings import RecognizerSettings
from rollcall.local import free_port
from shared.contracts.gallery import FaceChanged, LibraryChanges, LibraryDelta
from shared.contracts.recognition import LOCAL, Frame
from shared.errors import Unavailable
from shared.runtime import background
from shared.testing import eventually
from tests.conftest import PASSWORDS, Broker
from tests.integration.recognizer.conftest import Books


@asynccontextmanager
async def asking(port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client


async def checks(client: httpx.AsyncClient) -> dict[str, str]:
    """What /readyz says; nothing while nobody answers."""
    try:
        return dict((await client.get("/readyz")).json()["checks"])
    except httpx.ConnectError:
        return {}


async def test_ready_waits_for_the_library_and_goes_and_comes_with_the_broker(broker: Broker) -> None:
    port = free_port()
    settings = RecognizerSettings(
        nats_url=broker.url, nats_password=PASSWORDS["recognizer"], instance="r1", health_port=port
    )

    async def waits_for_its_library() -> bool:
        said = await checks(client)
        return said.get("engine") == "ok" and said["library"] != "ok"

    async def then_the_registry_comes() -> None:
        await eventually(waits_for_its_library, 30)
        assert (await client.get("/healthz")).status_code == 200
        await Books(registry).open()

    async def ready() -> bool:
        return (await client.get("/readyz")).status_code == 200

    async with (
        asking(port) as client,
        broker.connect("registry") as registry,
        background(then_the_registry_comes()),
        service(settings),
    ):
        assert await checks(client) == dict.fromkeys(("broker", "frames", "engine", "library"), "ok")
        await broker.kill()
        said = await checks(client)
        assert (said["engine"], said["library"]) == ("ok", "ok")
        assert "ok" not in (said["broker"], said["frames"])
        assert (await client.get("/healthz")).status_code == 200
        await broker.start()
        await eventually(ready, 20)


class Reader:
    """An engine that only takes the library over."""

    name, waiting, revision = LOCAL, 0, 0

    @property
    def faces(self) -> dict[str, int]:
        return {}

    async def ready(self) -> None: ...

    async def answer(self, frame: Frame) -> Outcome:
        raise Unavailable

    async def apply(self, delta: LibraryDelta) -> None:
        self.revision = delta.revision

    async def reset(self) -> None:
        self.revision = 0


async def test_news_that_cannot_be_read_makes_it_late_and_silence_does_not(broker: Broker) -> None:
    head = 3
    async with broker.connect("registry") as registry, broker.connect("recognizer") as bus:

        async def changes(asked: LibraryChanges) -> LibraryDelta:
            if head == 4:
                raise Unavailable(en="the database does not answer")
            return LibraryDelta(revision=head, head=head)

        await registry.serve(LibraryChanges, changes)
        reader = Reader()
        library = Library(bus, reader, "r1", behind_s=0.0)
        with pytest.raises(Unavailable):
            await library.ready()
        await library.load()
        await library.ready()
        async with background(library.follow()):
            head = 4
            await registry.record(FaceChanged(revision=4))

            async def late() -> bool:
                try:
                    await library.ready()
                except Unavailable as error:
                    return "at revision 3 of 4" in error.en
                return False

            await eventually(late)
            head = 5
            await registry.record(FaceChanged(revision=5))

            async def caught_up() -> bool:
                return reader.revision == 5

            await eventually(caught_up)
            await library.ready()
            assert (library.head, library.unchecked_s() < 5) == (5, True)
