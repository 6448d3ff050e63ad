"""`python -m registry` as an operator runs it: started, killed, stopped, refused."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from rollcall.supervisor import POLITE_S
from shared.contracts.attendance import GetPunchOutcome
from shared.contracts.people import FindStudents
from shared.errors import Unavailable
from shared.testing import eventually
from tests.conftest import PASSWORDS, Broker
from tests.integration.registry.samples import LIBRARY_KEY, sighting
from tests.integration.registry.test_service import Neighbours, neighbours


def environment(broker: Broker, database_url: str) -> dict[str, str]:
    return {
        **os.environ,
        "ROLLCALL_NATS_URL": broker.url,
        "ROLLCALL_NATS_PASSWORD": PASSWORDS["registry"],
        "ROLLCALL_DATABASE": database_url,
        "ROLLCALL_LIBRARY_KEY": LIBRARY_KEY,
        "ROLLCALL_LOG_PRETTY": "0",
    }


async def start(given: dict[str, str]) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "registry", env=given, stderr=pipe)


@asynccontextmanager
async def registry(broker: Broker, database_url: str, others: Neighbours) -> AsyncIterator[asyncio.subprocess.Process]:
    """A registry process that answers; killed -9 on the way out if it still runs."""
    process = await start(environment(broker, database_url))

    async def answers() -> bool:
        assert process.returncode is None
        try:
            await others.gateway.ask(FindStudents(), timeout=1)
        except Unavailable:
            return False
        return True

    try:
        await eventually(answers, timeout=30, what="the registry answers")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_punches_survive_kill_9_of_the_registry(broker: Broker, migrated_url: str) -> None:
    """Killed in the middle of its work, wherever that is: between event and commit, commit and news, news and mark."""
    async with neighbours(broker) as others:
        async with registry(broker, migrated_url, others) as first:
            people = [await others.register(seed) for seed in range(5)]
            events = [sighting(p.student_id, n * 100) for n in range(12) for p in people]
            sending = asyncio.create_task(_send(others, events[:40]))

            async def at_work() -> bool:
                return len(others.news) >= 10

            await eventually(at_work, what="some punches are in")
            first.kill()
            await first.wait()
        await sending
        await _send(others, events[40:])
        assert len(others.news) < len(events)
        async with registry(broker, migrated_url, others):
            await others.settled(*events)
            assert await others.punches() == len(events)
            outcomes = [await others.gateway.ask(GetPunchOutcome(identified_event=e.event_id)) for e in events]
            told = [{news.event_id for news in others.news[e.event_id]} for e in events]
            assert told == [{o.recorded.event_id} for o in outcomes if o.recorded]


async def _send(others: Neighbours, events: list) -> None:  # type: ignore[type-arg]
    for event in events:
        await others.identify(event)


async def test_sigterm_ends_it_politely(broker: Broker, tmp_path: Path) -> None:
    async with (
        neighbours(broker) as others,
        registry(broker, f"sqlite:///{tmp_path / 'db'}", others) as process,
    ):
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(POLITE_S):
            _, said = await process.communicate()
        assert process.returncode == 0
        assert b"Traceback" not in said


async def _refusal(given: dict[str, str]) -> tuple[int | None, str]:
    process = await start(given)
    async with asyncio.timeout(30):
        _, said = await process.communicate()
    return process.returncode, said.decode()


async def test_what_cannot_work_is_said_in_a_line(broker: Broker, tmp_path: Path) -> None:
    good = environment(broker, f"sqlite:///{tmp_path / 'db'}")
    code, said = await _refusal({**good, "ROLLCALL_LIBRARY_KEY": "secret", "ROLLCALL_TIMEZONE": "Mars"})
    assert code == 2 and "ROLLCALL_LIBRARY_KEY" in said and "ROLLCALL_TIMEZONE" in said and "secret" not in said
    code, said = await _refusal({**good, "ROLLCALL_DATABASE": "postgresql://h/d"})
    assert code == 1 and "postgresql is not supported" in said and "Traceback" not in said
