"""What became of identified faces, when the news of it was lost with a broker."""

import asyncio
from datetime import UTC, datetime

from gateway.settlements import Settled, Settlements
from shared.contracts.attendance import AttendanceRecorded, GetPunchOutcome, PunchOutcome
from shared.contracts.people import Gender, Person
from shared.errors import NotFound
from tests.conftest import Broker

NEVER_S = 600.0
EIGHT = datetime(2026, 3, 2, 8, tzinfo=UTC)


def punch_of(event_id: str) -> AttendanceRecorded:
    return AttendanceRecorded(
        event_id=f"news-of-{event_id}",
        identified_event=event_id,
        punch_id=1,
        person=Person(student_id=1, num="s1", name="Ada", class_name="一班", gender=Gender.WOMAN),
        place="hall",
        source="web-1",
        captured_at=EIGHT,
    )


def event_of(outcome: Settled | None) -> str:
    return outcome.identified_event if outcome else ""


async def test_news_that_was_lost_with_the_broker_is_asked_for_when_it_is_back(broker: Broker) -> None:
    """Of three who wait one is settled; the others' news is heard when it comes."""
    settled, asked = set[str](), list[str]()

    async def outcome(question: GetPunchOutcome) -> PunchOutcome:
        asked.append(question.identified_event)
        known = question.identified_event in settled
        return PunchOutcome(settled=known, recorded=punch_of(question.identified_event) if known else None)

    async with broker.connect("gateway") as bus, broker.connect("registry") as registry:
        await registry.serve(GetPunchOutcome, outcome)
        settlements = Settlements(bus)
        bus.on_reconnect(settlements.catch_up)
        waiting = {name: asyncio.create_task(settlements.wait(name, NEVER_S)) for name in ("a", "b", "c")}
        waiting["c"].cancel()
        await broker.kill()
        settled.add("b")
        await broker.start()
        assert event_of(await asyncio.wait_for(waiting["b"], 20)) == "b"
        assert not waiting["a"].done()
        assert asked == ["a", "b"]
        settlements.settle(punch_of("a"))
        assert event_of(await waiting["a"]) == "a"


async def test_a_registry_that_comes_back_later_is_asked_then(broker: Broker) -> None:
    async def outcome(question: GetPunchOutcome) -> PunchOutcome:
        return PunchOutcome(settled=True, recorded=punch_of(question.identified_event))

    async with broker.connect("gateway") as bus:
        settlements, back = Settlements(bus), asyncio.Event()
        waiting = asyncio.create_task(settlements.wait("a", NEVER_S))

        async def catch_up() -> None:
            bus.spawn(settlements.catch_up())
            back.set()

        bus.on_reconnect(catch_up)
        await broker.kill()
        await broker.start()
        await asyncio.wait_for(back.wait(), 20)
        assert not waiting.done()
        async with broker.connect("registry") as registry:
            await registry.serve(GetPunchOutcome, outcome)
            assert event_of(await asyncio.wait_for(waiting, 20)) == "a"


async def test_who_waits_in_vain_asks_in_the_end(broker: Broker) -> None:
    async def outcome(question: GetPunchOutcome) -> PunchOutcome:
        if question.identified_event == "nobody":
            raise NotFound("没有", "there is none")
        return PunchOutcome(settled=True, recorded=punch_of(question.identified_event))

    async with broker.connect("gateway") as bus, broker.connect("registry") as registry:
        await registry.serve(GetPunchOutcome, outcome)
        settlements = Settlements(bus)
        assert event_of(await settlements.wait("a", 0.01)) == "a"
        assert await settlements.wait("nobody", 0.01) is None
        assert event_of(await settlements.wait("a", NEVER_S)) == "a"
