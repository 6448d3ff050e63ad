"""The relay: order, crashes between publishing and marking, a broker that is away."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import IntegrityError

from registry.outbox import BATCH, Relay
from registry.store.database import Database, open_database
from registry.store.events import announce
from registry.store.migrate import migrate
from registry.tables import Outbox
from shared.bus import Bus
from shared.bus.topology import EVENTS
from shared.contracts.gallery import FaceChanged
from shared.runtime import background
from shared.testing import eventually
from tests.conftest import Broker


@pytest.fixture
async def bus(broker: Broker) -> AsyncIterator[Bus]:
    async with broker.connect("registry") as opened:
        yield opened


async def put(database: Database, *revisions: int) -> None:
    await database.write(lambda session: announce(session, *(FaceChanged(revision=r) for r in revisions)))


async def waiting(database: Database) -> int:
    return len(list(await database.read(lambda s: s.scalars(select(Outbox.seq).where(Outbox.sent_at.is_(None))))))


async def stored(bus: Bus) -> int:
    """How many events the stream holds."""
    return (await bus.js.stream_info(EVENTS)).state.messages


async def all_sent(database: Database) -> None:
    async def done() -> bool:
        return await waiting(database) == 0

    await eventually(done, what="the outbox is empty")


async def test_events_leave_in_their_order_each_once(broker: Broker, bus: Bus, database: Database) -> None:
    heard: list[int] = []

    async def hear(news: FaceChanged, _subject: str) -> None:
        heard.append(news.revision)

    async with broker.connect("recognizer") as reader:
        await reader.follow(FaceChanged.subject, FaceChanged, hear)
        await put(database, *range(BATCH + 20))
        async with background(Relay(bus, database).run()):
            for later in (1_000, 1_001):
                await put(database, later)
                await all_sent(database)
        await reader.ready()
    assert await stored(bus) == BATCH + 22
    assert heard == [*range(BATCH + 20), 1_000, 1_001]


async def test_a_crash_between_publishing_and_marking_publishes_again_and_the_stream_has_one(
    bus: Bus, database: Database
) -> None:
    await put(database, 1, 2, 3)
    assert await Relay(bus, database).publish_some() == 3
    await database.write(lambda session: session.execute(update(Outbox).values(sent_at=None)))
    assert await Relay(bus, database).publish_some() == 3
    assert await stored(bus) == 3
    assert await Relay(bus, database).publish_some() == 0


FAULT = "CREATE TRIGGER fault BEFORE UPDATE ON outbox BEGIN SELECT RAISE(ABORT, 'on purpose'); END"


async def test_what_was_published_but_could_not_be_marked_is_not_published_again(
    broker: Broker, bus: Bus, tmp_path: Path
) -> None:
    database, heard = open_database(f"sqlite:///{tmp_path / 'db'}"), []

    async def hear(news: FaceChanged, _subject: str) -> None:
        heard.append(news.revision)

    await migrate(database)
    await put(database, 1, 2)
    relay = Relay(bus, database)
    async with broker.connect("recognizer") as reader:
        await reader.follow(FaceChanged.subject, FaceChanged, hear)
        await database.write(lambda session: session.execute(text(FAULT)))
        with pytest.raises(IntegrityError):
            await relay.publish_some()
        assert await waiting(database) == 2
        await database.write(lambda session: session.execute(text("DROP TRIGGER fault")))
        await put(database, 3)
        await relay.publish_some()
        assert await waiting(database) == 0
        await bus.ready()
        await reader.ready()
    assert heard == [1, 2, 3]
    await database.close()


async def test_a_rolled_back_transaction_says_nothing(bus: Bus, database: Database) -> None:
    async def fails(session: object) -> None:
        await announce(session, FaceChanged(revision=1))  # type: ignore[arg-type]
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        await database.write(fails)
    assert await Relay(bus, database).publish_some() == 0


async def test_events_wait_for_the_broker(broker: Broker, bus: Bus, database: Database) -> None:
    async with background(Relay(bus, database).run()):
        await put(database, 1)
        await all_sent(database)
        await broker.kill()
        await put(database, 2, 3)
        await broker.start()
        await put(database, 4)
        await all_sent(database)
    assert await stored(bus) == 4


async def test_of_several_replicas_one_relays_and_the_next_takes_over(bus: Bus, mysql_url: str) -> None:
    first, second = open_database(mysql_url), open_database(mysql_url)
    try:
        await migrate(first)
        async with first.exclusive("relay"):
            waiting_for_it = asyncio.create_task(_hold(second))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await asyncio.shield(waiting_for_it)
        async with asyncio.timeout(5):
            await waiting_for_it
    finally:
        await first.close()
        await second.close()


async def _hold(database: Database) -> None:
    async with database.exclusive("relay") as connection:
        assert await database.holds(connection, "relay")
