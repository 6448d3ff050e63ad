"""Each command once, in time, with an answer."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from terminal.events import Answer, Command, Configured, Rubbish, command, configured
from terminal.orders import REMEMBERED, CannotDo, Orders, ServerClock, Snapshot, cannot_obey
from terminal.talks import ack

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FRAME = {"type": "command", "id": "6f1c", "deadline": "2026-01-02T03:04:10Z", "action": "open_door", "seconds": 2.5}


def ordered(order_id: str = "1", action: str = "open_door") -> Command:
    return Command(order_id, action, {}, NOW + timedelta(seconds=5))


def test_a_command_frame() -> None:
    assert command(FRAME) == Command("6f1c", "open_door", {"seconds": 2.5}, NOW + timedelta(seconds=5))


@pytest.mark.parametrize(
    "fields",
    [
        {"id": 7},
        {"id": None},
        {"action": 7},
        {"deadline": "soon"},
        {"deadline": 7},
        {"deadline": "2026-01-02T03:04:10"},
    ],
)
def test_a_command_with_wrong_fields_is_rubbish(fields: dict[str, object]) -> None:
    with pytest.raises(Rubbish):
        command({**FRAME, **fields})


@pytest.mark.parametrize("name", ["id", "action", "deadline"])
def test_a_command_without_a_field_is_rubbish(name: str) -> None:
    with pytest.raises(Rubbish):
        command({key: value for key, value in FRAME.items() if key != name})


def test_a_configuration_and_a_welcome_without_one() -> None:
    assert configured({"type": "config", "revision": 2, "config": {"volume": 3}}) == Configured(2, {"volume": 3})
    assert configured({"type": "welcome", "version": 1}) is None
    assert configured({"type": "config", "revision": "2", "config": {}}) is None


async def test_a_command_is_done_once_and_answered_again() -> None:
    done: list[str] = []

    async def obey(command: Command) -> str:
        done.append(command.id)
        return "open"

    orders = Orders(obey)
    assert await orders.do(ordered(), NOW) == (Answer(ok=True, detail="open"), True)
    long_after = NOW + timedelta(hours=1)
    assert await orders.do(ordered(), long_after) == (Answer(ok=True, detail="open"), False)
    assert done == ["1"]


async def test_a_command_that_comes_again_while_it_is_done_is_done_once() -> None:
    begun, go, done = asyncio.Event(), asyncio.Event(), []

    async def obey(command: Command) -> str:
        begun.set()
        await go.wait()
        done.append(command.id)
        return "open"

    orders = Orders(obey)
    first = asyncio.create_task(orders.do(ordered(), NOW))
    second = asyncio.create_task(orders.do(ordered(), NOW))
    await begun.wait()
    first.cancel()  # the connection broke; the deed goes on
    with pytest.raises(asyncio.CancelledError):
        await first
    go.set()
    assert await second == (Answer(ok=True, detail="open"), False)
    assert done == ["1"]


async def test_a_command_that_comes_too_late_is_not_done() -> None:
    async def obey(command: Command) -> str:
        raise AssertionError("too late")

    answer, _ = await Orders(obey).do(ordered(), NOW + timedelta(seconds=6))
    assert (answer.ok, answer.error) == (False, "late")


async def test_what_cannot_be_done_is_said() -> None:
    async def stuck(command: Command) -> str:
        raise CannotDo("stuck", "the bolt does not move")

    async def broken(command: Command) -> str:
        raise OSError("no such relay")

    assert (await Orders(cannot_obey).do(ordered(), NOW))[0].error == "unsupported"
    assert (await Orders(stuck).do(ordered(), NOW))[0] == Answer(False, "stuck", "the bolt does not move")
    assert (await Orders(broken).do(ordered(), NOW))[0] == Answer(False, "failed", "OSError: no such relay")


async def test_a_picture_is_in_the_answer_and_in_its_frame() -> None:
    async def obey(command: Command) -> Snapshot:
        return Snapshot(b"\xff\xd8\xff\xd9", "4 bytes")

    answer, _ = await Orders(obey).do(ordered(action="take_snapshot"), NOW)
    assert answer == Answer(ok=True, detail="4 bytes", picture=b"\xff\xd8\xff\xd9")
    assert "xff" not in repr(answer)
    frame = json.loads(ack("6f1c", answer))
    assert frame == {"type": "ack", "id": "6f1c", "ok": True, "error": "", "detail": "4 bytes", "picture": "/9j/2Q=="}
    assert "picture" not in json.loads(ack("6f1c", Answer(ok=True)))


async def test_only_so_many_answers_are_remembered() -> None:
    done: list[str] = []

    async def obey(command: Command) -> str:
        done.append(command.id)
        return ""

    orders = Orders(obey)
    for number in range(REMEMBERED + 1):
        await orders.do(ordered(str(number)), NOW)
    assert (await orders.do(ordered(str(REMEMBERED)), NOW))[1] is False
    assert (await orders.do(ordered("0"), NOW))[1] is True
    assert len(done) == REMEMBERED + 2


def test_the_servers_clock_does_not_follow_steps_of_ours() -> None:
    clock = ServerClock()
    assert abs(clock.now(0) - datetime.now(UTC)) < timedelta(seconds=5)
    clock.tell("2026-01-02T03:04:05Z", monotonic=100)
    assert clock.now(107.5) == NOW + timedelta(seconds=7.5)
    for rubbish in ("", "soon", "2026-01-02T03:04:05"):
        clock.tell(rubbish, monotonic=200)
    assert clock.now(107.5) == NOW + timedelta(seconds=7.5)
