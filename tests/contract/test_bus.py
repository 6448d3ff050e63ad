"""What services may rely on from the bus, against a real nats-server with the real rights."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import pytest
from nats.errors import TimeoutError as NatsTimeout
from nats.js.errors import NotFoundError

from rollcall.broker import find_server
from shared.bus import Bus
from shared.bus.metrics import watch_bus
from shared.bus.topology import (
    CLOUD_CONSUMER,
    EVENTS,
    LEDGER_CONSUMER,
    NEEDS,
    PRESENCE,
    RECOGNIZER_CONSUMER,
    TURNS,
    ensure,
    inbox_prefix,
)
from shared.contracts.base import now
from shared.contracts.gallery import FaceChanged, LibraryChanges, LibraryDelta
from shared.contracts.people import Person, Registered, RegisterStudent
from shared.contracts.recognition import Identified, SourceKind, Turn
from shared.errors import Conflict, Internal, Unavailable
from shared.metrics import Metrics
from shared.testing import eventually
from tests.conftest import PASSWORDS, Broker


@pytest.mark.parametrize("service", list(NEEDS))
async def test_every_service_connects_and_makes_its_streams_with_its_own_rights(broker: Broker, service: str) -> None:
    async with broker.connect(service) as bus:
        await bus.ready()
    async with broker.connect(service) as again:
        await again.ready()


async def test_ready_means_that_what_the_service_needs_stands(broker: Broker) -> None:
    password, prefix = PASSWORDS["recognizer"], inbox_prefix("recognizer").encode()
    client = await nats.connect(broker.url, user="recognizer", password=password, inbox_prefix=prefix)
    bus = Bus(client, "recognizer", NEEDS["recognizer"])
    with pytest.raises(NotFoundError):
        await bus.ready()
    await ensure(bus.js, NEEDS["recognizer"])
    await bus.ready()
    assert await bus.depths() == {RECOGNIZER_CONSUMER: (0, 0), CLOUD_CONSUMER: (0, 0)}
    await bus.close()
    with pytest.raises(Unavailable):
        await bus.ready()


async def test_a_connection_tells_what_it_answers_what_waits_and_how_often_it_came_back(broker: Broker) -> None:
    metrics = Metrics("registry", "test")

    async def answer(asked: LibraryChanges) -> LibraryDelta:
        if asked.since:
            raise Conflict("", "no")
        return LibraryDelta(revision=0, head=0)

    async def told(line: str) -> bool:
        return line in (await metrics.text()).decode()

    async with broker.connect("registry") as registry, broker.connect("recognizer") as recognizer:
        watch_bus(metrics, registry, consumers=(LEDGER_CONSUMER,))
        await registry.serve(LibraryChanges, answer)
        await recognizer.ask(LibraryChanges(since=0))
        with pytest.raises(Conflict):
            await recognizer.ask(LibraryChanges(since=1))
        await recognizer.record(
            Identified(
                frame_id="f", student_id=1, place="门", kind=SourceKind.WEB, source="s", captured_at=now(), score=9
            )
        )
        for line in (
            'rollcall_commands_total{command="cmd.registry.library_changes",outcome="ok"} 1.0',
            'rollcall_commands_total{command="cmd.registry.library_changes",outcome="conflict"} 1.0',
            'rollcall_command_seconds_count{command="cmd.registry.library_changes"} 2.0',
            'rollcall_consumer_waiting_messages{consumer="ledger"} 1.0',
            'rollcall_broker_connected{connection="events"} 1.0',
        ):
            assert await told(line), line
        await broker.kill()
        await eventually(lambda: told('rollcall_broker_connected{connection="events"} 0.0'))
        assert await told('rollcall_consumer_waiting_messages{consumer="ledger"} NaN')
        await broker.start()
        await eventually(lambda: told('rollcall_broker_reconnects_total{connection="events"} 1.0'), 20)
        await eventually(lambda: told('rollcall_consumer_waiting_messages{consumer="ledger"} 1.0'), 20)


async def test_a_command_is_answered(broker: Broker) -> None:
    async with broker.connect("registry") as registry, broker.connect("recognizer") as recognizer:

        async def answer(asked: LibraryChanges) -> LibraryDelta:
            return LibraryDelta(revision=asked.since + 1, head=9)

        await registry.serve(LibraryChanges, answer)
        assert await recognizer.ask(LibraryChanges(since=4)) == LibraryDelta(revision=5, head=9)


async def test_an_error_keeps_its_class_and_its_words(broker: Broker) -> None:
    async with broker.connect("registry") as registry, broker.connect("recognizer") as recognizer:

        async def refuse(asked: LibraryChanges) -> LibraryDelta:
            raise Conflict("学号已被占用", "the number is taken", field="num", number=7)

        await registry.serve(LibraryChanges, refuse)
        with pytest.raises(Conflict) as caught:
            await recognizer.ask(LibraryChanges(since=0))
        assert (caught.value.zh, caught.value.en, caught.value.field, caught.value.number) == (
            "学号已被占用",
            "the number is taken",
            "num",
            7,
        )


async def test_a_bug_in_a_handler_does_not_leak_its_insides(broker: Broker) -> None:
    async with broker.connect("registry") as registry, broker.connect("recognizer") as recognizer:

        async def fail(asked: LibraryChanges) -> LibraryDelta:
            raise RuntimeError("secret detail")

        await registry.serve(LibraryChanges, fail)
        with pytest.raises(Internal) as caught:
            await recognizer.ask(LibraryChanges(since=0))
        assert "secret" not in caught.value.en


async def test_nobody_there_is_known_at_once(broker: Broker) -> None:
    async with broker.connect("recognizer") as recognizer:
        started = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable):
            await recognizer.ask(LibraryChanges(since=0), timeout=30)
        assert asyncio.get_running_loop().time() - started < 10


async def test_handlers_run_side_by_side(broker: Broker) -> None:
    """Two calls that can only end together: a serial server would let the first one time out."""
    async with broker.connect("registry") as registry, broker.connect("recognizer") as recognizer:
        both_there = asyncio.Barrier(2)

        async def meet(asked: LibraryChanges) -> LibraryDelta:
            await both_there.wait()
            return LibraryDelta(revision=0, head=0)

        await registry.serve(LibraryChanges, meet)
        await asyncio.gather(*(recognizer.ask(LibraryChanges(since=n)) for n in range(2)))


async def _pull_turn(bus: Bus, timeout: float = 2.0) -> object:
    subscription = await bus.js.pull_subscribe_bind(RECOGNIZER_CONSUMER, stream=TURNS)
    return (await subscription.fetch(1, timeout=timeout))[0]


async def test_a_source_has_at_most_one_turn_until_it_is_acknowledged(broker: Broker) -> None:
    async with broker.connect("gateway") as gateway, broker.connect("recognizer") as recognizer:
        for _ in range(3):
            await gateway.publish(Turn.subject("g1", "s1"))
        turn = await _pull_turn(recognizer)
        await gateway.publish(Turn.subject("g1", "s1"))
        await gateway.written()
        with pytest.raises(NatsTimeout):
            await _pull_turn(recognizer, timeout=0.3)
        await turn.ack_sync()  # type: ignore[attr-defined]
        await gateway.publish(Turn.subject("g1", "s1"))
        assert (await _pull_turn(recognizer)).subject == "turn.g1.s1"  # type: ignore[attr-defined]


async def test_an_event_is_stored_once_however_often_it_is_recorded(broker: Broker) -> None:
    event = Identified(
        frame_id="f", student_id=1, place="门", kind=SourceKind.WEB, source="s", captured_at=now(), score=90.0
    )
    async with broker.connect("recognizer") as recognizer, broker.connect("registry") as registry:
        for _ in range(3):
            await recognizer.record(event)
        info = await registry.js.stream_info(EVENTS)
        assert info.state.messages == 1


async def test_events_survive_kill_9_of_the_broker_and_turns_come_back(broker: Broker) -> None:
    async with broker.connect("registry") as registry, broker.connect("recognizer") as recognizer:
        back = asyncio.Event()

        async def told() -> None:
            back.set()

        recognizer.on_reconnect(told)
        await registry.record(FaceChanged(revision=3))
        await broker.kill()
        await broker.start()
        async with asyncio.timeout(20):
            await back.wait()

        async def connected() -> bool:
            return registry.is_connected

        await eventually(connected, what="the registry reconnects")
        assert (await registry.js.stream_info(EVENTS)).state.messages == 1
        async with broker.connect("gateway") as gateway:
            await gateway.publish(Turn.subject("g1", "s1"))
            assert (await _pull_turn(recognizer)).subject == "turn.g1.s1"  # type: ignore[attr-defined]


async def test_nobody_is_told_of_the_broker_before_the_streams_stand(broker: Broker) -> None:
    """One that comes back without JetStream, as it does while it reads a large store: for longer than one might try."""
    back = asyncio.Event()

    async def told() -> None:
        back.set()

    async with broker.connect("recognizer") as recognizer:
        recognizer.on_reconnect(told)
        await broker.kill()
        async with _without_jetstream(broker):

            async def connected() -> bool:
                return recognizer.is_connected

            await eventually(connected, 20)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(6):
                    await back.wait()
        await broker.start()
        async with asyncio.timeout(20):
            await back.wait()
        await recognizer.ready()


@asynccontextmanager
async def _without_jetstream(broker: Broker) -> AsyncIterator[None]:
    config = broker.folder / "poor.conf"
    lines = (broker.folder / "nats.conf").read_text().splitlines()
    config.write_text("\n".join(line for line in lines if not line.strip().startswith("jetstream")))
    process = await asyncio.create_subprocess_exec(find_server(), "-c", str(config), stderr=asyncio.subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def test_a_recognizer_cannot_forge_what_is_not_its_to_say(broker: Broker) -> None:
    async with broker.connect("registry") as registry, broker.connect("recognizer") as recognizer:
        heard: list[str] = []

        async def register(asked: RegisterStudent) -> Registered:
            heard.append(asked.num)
            raise AssertionError("unreachable")

        await registry.serve(RegisterStudent, register)
        await recognizer.publish("cmd.registry.register_student", LibraryChanges(since=0))
        await recognizer.publish("evt.attendance.recorded", FaceChanged(revision=1))
        await recognizer.publish(Turn.subject("g1", "s1"))
        await recognizer.written()
        assert heard == []
        assert (await registry.js.stream_info(EVENTS)).state.messages == 0


async def test_presence_is_the_hubs_to_write_and_the_gateways_to_read(broker: Broker) -> None:
    async with broker.connect("hub") as hub, broker.connect("gateway") as gateway:
        await (await hub.js.key_value(PRESENCE)).put("7", b"here")
        entry = await (await gateway.js.key_value(PRESENCE)).get("7")
        assert entry.value == b"here"


def test_a_person_is_a_value() -> None:
    ada = Person(student_id=1, num="1", name="Ada", class_name="A", gender="WOMAN")
    assert Person.decode(ada.encode()) == ada
