"""The whole service against a real broker and a real database, with the rights that its neighbours have."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from registry.service import service
from registry.settings import RegistrySettings
from registry.store.database import open_database
from rollcall.local import free_port
from shared.bus import Bus
from shared.bus.topology import EVENTS, LEDGER_CONSUMER
from shared.contracts.attendance import (
    ATTENDANCE_EVENTS,
    AttendanceRecorded,
    AttendanceRepeated,
    GetPunchOutcome,
    PunchesOfDay,
)
from shared.contracts.gallery import LibraryChanges
from shared.contracts.office import CheckPassword, GetOfficeState, SetPassword
from shared.contracts.people import FindStudents, Person
from shared.contracts.recognition import Identified
from shared.errors import Conflict, InvalidInput, NotAllowed, Unavailable
from shared.runtime import background
from shared.testing import eventually
from tests.conftest import PASSWORDS, Broker
from tests.databases import MySqlServer, OwnServer
from tests.integration.registry.samples import EIGHT, LIBRARY_KEY, registration, sighting


def settings(broker: Broker, database_url: str) -> RegistrySettings:
    return RegistrySettings.model_validate(
        {
            "nats_url": broker.url,
            "nats_password": PASSWORDS["registry"],
            "database": database_url,
            "library_key": LIBRARY_KEY,
            "instance": "test",
        }
    )


class Neighbours:
    """A gateway that hears what is recorded, and a recognizer that identifies."""

    def __init__(self, gateway: Bus, recognizer: Bus) -> None:
        self.gateway = gateway
        self.recognizer = recognizer
        self.news: dict[str, list[AttendanceRecorded | AttendanceRepeated]] = {}

    async def listen(self) -> None:
        await self.gateway.follow(AttendanceRecorded.subject, AttendanceRecorded, self._heard)
        await self.gateway.follow(AttendanceRepeated.subject, AttendanceRepeated, self._heard)

    async def _heard(self, news: AttendanceRecorded | AttendanceRepeated, subject: str) -> None:
        assert subject in (AttendanceRecorded.subject, AttendanceRepeated.subject)
        self.news.setdefault(news.identified_event, []).append(news)

    async def register(self, seed: int) -> Person:
        return (await self.gateway.ask(registration(seed))).person

    async def identify(self, event: Identified) -> None:
        await self.recognizer.record(event)

    async def punches(self) -> int:
        return (await self.gateway.ask(PunchesOfDay(day=EIGHT.date()))).total

    async def settled(self, *events: Identified) -> None:
        async def all_heard() -> bool:
            return all(event.event_id in self.news for event in events)

        await eventually(all_heard, timeout=30, what="every event is answered")


@asynccontextmanager
async def neighbours(broker: Broker) -> AsyncIterator[Neighbours]:
    async with broker.connect("gateway") as gateway, broker.connect("recognizer") as recognizer:
        both = Neighbours(gateway, recognizer)
        await both.listen()
        yield both


async def test_from_registration_to_punch(broker: Broker, migrated_url: str) -> None:
    async with service(settings(broker, migrated_url)), neighbours(broker) as others:
        person = await others.register(1)
        delta = await others.recognizer.ask(LibraryChanges(since=0))
        assert (delta.people, len(delta.faces)) == ((person,), 1)
        first, second = sighting(person.student_id), sighting(person.student_id, 5)
        await others.identify(first)
        await others.settled(first)
        await others.identify(second)
        await others.settled(second)
        [recorded], [repeated] = others.news[first.event_id], others.news[second.event_id]
        assert isinstance(recorded, AttendanceRecorded) and isinstance(repeated, AttendanceRepeated)
        assert (recorded.person, repeated.punch_id, repeated.first_at) == (person, recorded.punch_id, EIGHT)
        outcome = await others.gateway.ask(GetPunchOutcome(identified_event=first.event_id))
        assert outcome.recorded == recorded
        assert await others.punches() == 1


async def test_a_restarted_registry_has_everything(broker: Broker, migrated_url: str) -> None:
    async with neighbours(broker) as others:
        async with service(settings(broker, migrated_url)):
            person = await others.register(1)
        event = sighting(person.student_id)
        await others.identify(event)
        async with service(settings(broker, migrated_url)):
            await others.settled(event)
            assert [r.person for r in (await others.gateway.ask(FindStudents())).rows] == [person]


async def test_errors_reach_the_caller_in_words(broker: Broker, migrated_url: str) -> None:
    async with service(settings(broker, migrated_url)), neighbours(broker) as others:
        await others.register(1)
        with pytest.raises(Conflict, match="already taken"):
            await others.gateway.ask(registration(2, num="20260001"))
        with pytest.raises(InvalidInput):
            await others.gateway.ask(registration(3, name="\u200b"))
        set_it = SetPassword.model_validate({"password": {"value": "correct horse"}, "first": True})
        made = await others.gateway.ask(set_it)
        assert await others.gateway.ask(GetOfficeState()) == made
        with pytest.raises(NotAllowed):
            await others.gateway.ask(CheckPassword.model_validate({"password": {"value": "battery staple"}}))


async def test_an_event_nobody_can_read_does_not_stop_the_others(broker: Broker, migrated_url: str) -> None:
    async with service(settings(broker, migrated_url)), neighbours(broker) as others:
        person = await others.register(1)
        await others.recognizer.record_bytes(Identified.subject, "garbage", b"\xc1 not msgpack")
        event = sighting(person.student_id)
        await others.identify(event)
        await others.settled(event)
        assert await others.punches() == 1


FAULT = """CREATE TRIGGER fault BEFORE INSERT ON punches WHEN NEW.place = 'faulty'
BEGIN SELECT RAISE(ABORT, 'on purpose'); END"""


async def test_an_event_that_cannot_be_stored_does_not_hold_up_the_others(broker: Broker, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'rollcall.db'}"
    async with neighbours(broker) as others:
        async with service(settings(broker, url)):
            people = [await others.register(seed) for seed in range(8)]
        database = open_database(url)
        await database.write(lambda session: session.execute(text(FAULT)))
        await database.close()
        good = [sighting(person.student_id) for person in people]
        bad = sighting(people[0].student_id, place="faulty")
        for event in (*good[:4], bad, *good[4:]):
            await others.identify(event)
        async with service(settings(broker, url)):
            await others.settled(*good)
            assert await others.punches() == len(good)
            assert not (await others.gateway.ask(GetPunchOutcome(identified_event=bad.event_id))).settled


async def test_two_replicas_share_the_work(broker: Broker, mysql_url: str) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(service(settings(broker, mysql_url)))
        others = await stack.enter_async_context(neighbours(broker))
        people = [await others.register(seed) for seed in range(5)]
        events = [sighting(p.student_id, n) for p in people for n in range(4)]
        await asyncio.gather(*map(others.identify, events))
        await others.settled(*events)
        assert await others.punches() == 5
        assert all(len(heard) == 1 for heard in others.news.values())


async def test_health_names_what_is_missing(broker: Broker, migrated_url: str) -> None:
    async with service(settings(broker, migrated_url)) as running, httpx.AsyncClient() as client:
        here = f"http://127.0.0.1:{running.health_port}"
        url = f"{here}/readyz"
        assert (await client.get(url)).json()["checks"] == {"broker": "ok", "database": "ok"}
        await broker.kill()
        answer = await client.get(url)
        assert (answer.status_code, answer.json()["checks"]["database"]) == (503, "ok")
        assert (await client.get(f"{here}/healthz")).status_code == 200
        numbers = (await client.get(f"{here}/metrics")).text
        assert 'rollcall_ready{check="broker"} 0.0' in numbers
        assert 'rollcall_ready{check="database"} 1.0' in numbers
        assert "rollcall_outbox_waiting_events 0.0" in numbers
        await broker.start()

        async def ready() -> bool:
            return (await client.get(url)).status_code == 200

        await eventually(ready, timeout=20, what="ready again")


async def test_a_registry_that_waits_for_its_database_is_alive_and_not_ready(
    broker: Broker, mysql_server: MySqlServer, mysql_url: str
) -> None:
    if not isinstance(mysql_server, OwnServer):
        pytest.skip("the server of ROLLCALL_TEST_MYSQL_URL is not ours to kill")
    port = free_port()
    chosen = settings(broker, mysql_url).model_copy(update={"health_port": port})
    mysql_server.kill()

    async def status(path: str) -> int:
        try:
            return (await client.get(f"http://127.0.0.1:{port}{path}")).status_code
        except httpx.ConnectError:
            return 0

    async def alive() -> bool:
        return await status("/healthz") == 200

    async def ready() -> bool:
        return await status("/readyz") == 200

    async def start_the_database_late() -> None:
        await eventually(alive, what="alive without a database")
        assert await status("/readyz") == 503
        await asyncio.to_thread(mysql_server.start)

    async with (
        httpx.AsyncClient() as client,
        background(start_the_database_late()),
        service(chosen),
    ):
        await eventually(ready, timeout=20, what="ready with its database")


async def test_punches_survive_kill_9_of_the_database(
    broker: Broker, mysql_server: MySqlServer, mysql_url: str
) -> None:
    if not isinstance(mysql_server, OwnServer):
        pytest.skip("the server of ROLLCALL_TEST_MYSQL_URL is not ours to kill")
    async with service(settings(broker, mysql_url)) as running, neighbours(broker) as others:
        people = [await others.register(seed) for seed in range(6)]
        events = [sighting(p.student_id, n * 100) for n in range(6) for p in people]
        for event in events[:12]:
            await others.identify(event)
        mysql_server.kill()
        for event in events[12:24]:
            await others.identify(event)
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://127.0.0.1:{running.health_port}/readyz")
            assert (answer.status_code, answer.json()["checks"]["broker"]) == (503, "ok")
            numbers = (await client.get(f"http://127.0.0.1:{running.health_port}/metrics")).text
            assert "rollcall_outbox_waiting_events NaN" in numbers
        await asyncio.to_thread(mysql_server.start)
        for event in events[24:]:
            await others.identify(event)
        await others.settled(*events)
        assert await others.punches() == len(events)
        await _one_story_each(others, events)


async def test_the_first_sighting_is_the_punch_though_the_database_was_away_for_it(
    broker: Broker, mysql_server: MySqlServer, mysql_url: str
) -> None:
    if not isinstance(mysql_server, OwnServer):
        pytest.skip("the server of ROLLCALL_TEST_MYSQL_URL is not ours to kill")
    async with service(settings(broker, mysql_url)), neighbours(broker) as others:
        people = [await others.register(seed) for seed in range(6)]
        first, *later = ([sighting(person.student_id, n * 5.0) for person in people] for n in range(6))
        mysql_server.kill()
        for event in first:
            await others.identify(event)
        await asyncio.to_thread(mysql_server.start)
        afterwards = [event for sightings in later for event in sightings]
        for event in afterwards:
            await others.identify(event)
        await others.settled(*first, *afterwards)
        _first_is_the_punch(others, first, later)


async def test_the_first_sighting_is_the_punch_though_a_registry_died_with_it_in_hand(
    broker: Broker, migrated_url: str
) -> None:
    async with neighbours(broker) as others:
        async with service(settings(broker, migrated_url)):
            person = await others.register(1)
        first, later = sighting(person.student_id), sighting(person.student_id, 20)
        await others.identify(first)
        async with broker.connect("registry") as dying:
            pull = await dying.js.pull_subscribe_bind(LEDGER_CONSUMER, stream=EVENTS)
            [_] = await pull.fetch(1, timeout=5)
        await others.identify(later)
        async with service(settings(broker, migrated_url)):
            await others.settled(first, later)
        _first_is_the_punch(others, [first], [[later]])


def _first_is_the_punch(others: Neighbours, first: list[Identified], later: list[list[Identified]]) -> None:
    for number, punch in enumerate(first):
        assert all(isinstance(news, AttendanceRecorded) for news in others.news[punch.event_id])
        for event in (sightings[number] for sightings in later):
            for news in others.news[event.event_id]:
                assert isinstance(news, AttendanceRepeated)
                assert news.first_at == punch.captured_at


async def test_punches_survive_kill_9_of_the_broker(broker: Broker, migrated_url: str) -> None:
    async with service(settings(broker, migrated_url)), neighbours(broker) as others:
        people = [await others.register(seed) for seed in range(5)]
        events = [sighting(p.student_id, n * 100) for n in range(4) for p in people]
        for event in events[:10]:
            await others.identify(event)
        await broker.kill()
        await broker.start()
        for event in events[10:]:
            await _persist(others, event)
        await _outcomes(others, events)
        assert await others.punches() == len(events)


async def _persist(others: Neighbours, event: Identified) -> None:
    """As a recognizer does: an event may be recorded again until it is known to be stored."""

    async def recorded() -> bool:
        try:
            await others.identify(event)
        except Unavailable:
            return False
        return True

    await eventually(recorded, timeout=20, what="the broker takes the event")


async def _outcomes(others: Neighbours, events: list[Identified]) -> None:
    """News may be lost to listeners while the broker is down; the outcome can be asked for."""

    async def settled() -> bool:
        try:
            asked = [others.gateway.ask(GetPunchOutcome(identified_event=event.event_id)) for event in events]
            return all(outcome.recorded for outcome in await asyncio.gather(*asked))
        except Unavailable:
            return False

    await eventually(settled, timeout=30, what="every event is a punch")


async def _one_story_each(others: Neighbours, events: list[Identified]) -> None:
    """Listeners may hear the same news again after a fault; never other news of the same event."""
    assert [len({news.event_id for news in others.news[event.event_id]}) for event in events] == [1] * len(events)


def test_the_names_of_the_news_are_those_that_gateways_may_hear() -> None:
    prefix = ATTENDANCE_EVENTS.removesuffix("*")
    assert AttendanceRecorded.subject.startswith(prefix) and AttendanceRepeated.subject.startswith(prefix)
