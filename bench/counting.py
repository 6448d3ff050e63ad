"""What counting costs where it is done most: a frame at a recognizer and at a gateway, a push at a hub, a request, a
command; and one scrape.

    python -m bench.counting [--rounds 500]

Prints microseconds on one thread, the least of RUNS.
"""

import asyncio
import time
from collections.abc import Callable

import click
from starlette.types import Message, Receive, Scope, Send

from device_hub.metrics import Tally as HubTally
from gateway.metrics import CountRequests
from recognizer.metrics import STAGES
from recognizer.metrics import Tally as FrameTally
from shared.contracts.base import now
from shared.contracts.recognition import Box, FaceResult, Result, Verdict, Want
from shared.metrics import WAIT_S, WORK_S, Metrics

RUNS = 100
"""short ones: on a busy machine at least one of them is left alone"""

FACE = FaceResult(box=Box(left=0, top=0, width=9, height=9), verdict=Verdict.UNKNOWN)
RESULT = Result(frame_id="f", source="s", captured_at=now(), faces=(FACE,), took_ms=12.0)


def least_us(rounds: int, work: Callable[[], None]) -> float:
    """Of one round of `work`, in microseconds: the least of RUNS."""

    def run() -> float:
        began = time.perf_counter()
        for _ in range(rounds):
            work()
        return (time.perf_counter() - began) / rounds * 1e6

    return min(run() for _ in range(RUNS))


def frame_at_recognizer(metrics: Metrics) -> Callable[[], None]:
    """All that is counted of one frame with one face."""
    tally = FrameTally(metrics)

    def count() -> None:
        tally.fetched(0.002)
        tally.age((now() - RESULT.captured_at).total_seconds())
        for stage in STAGES:
            with tally.stage(stage):
                pass
        tally.result(Want.IDENTIFY, RESULT)
        tally.turn("answered")

    return count


def frame_at_gateway(metrics: Metrics) -> Callable[[], None]:
    """What frames arrive, are replaced and leave is counted in plain numbers anyway."""
    waits = metrics.histogram("rollcall_turn_wait_seconds", "x", bounds=WAIT_S)
    answers = metrics.histogram("rollcall_frame_answer_seconds", "x", bounds=WAIT_S)

    def count() -> None:
        waits.observe(0.02)
        answers.observe((now() - RESULT.captured_at).total_seconds())

    return count


def push(metrics: Metrics) -> Callable[[], None]:
    """A push to a terminal that has nothing else waiting."""
    tally = HubTally(metrics)

    def count() -> None:
        began = time.perf_counter()
        tally.pushed[True]()
        tally.sent(time.perf_counter() - began)

    return count


def command(metrics: Metrics) -> Callable[[], None]:
    """A command that is answered."""
    answered = metrics.counter("rollcall_commands", "x", "command", "outcome")
    seconds = metrics.histogram("rollcall_command_seconds", "x", "command", bounds=WORK_S)

    def count() -> None:
        began = time.perf_counter()
        answered.labels("cmd.registry.library_changes", "ok").inc()
        seconds.labels("cmd.registry.library_changes").observe(time.perf_counter() - began)

    return count


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def _nowhere(message: Message) -> None:
    pass


async def _nothing() -> Message:
    return {"type": "http.request"}


async def request_us(rounds: int) -> float:
    """A request through the counting layer, less the same without it."""
    counted = CountRequests(_answer, Metrics("bench", "bench"))
    scope: Scope = {"type": "http", "method": "GET", "root_path": "/static"}

    async def run(app: Callable[[Scope, Receive, Send], object]) -> float:
        began = time.perf_counter()
        for _ in range(rounds):
            await app(scope, _nothing, _nowhere)  # type: ignore[misc]
        return (time.perf_counter() - began) / rounds * 1e6

    plain = min([await run(_answer) for _ in range(RUNS)])
    return min([await run(counted) for _ in range(RUNS)]) - plain


async def scrape_us() -> float:
    """Writing a recognizer's numbers out."""
    metrics = Metrics("bench", "bench")
    FrameTally(metrics)

    async def run() -> float:
        began = time.perf_counter()
        await metrics.text()
        return (time.perf_counter() - began) * 1e6

    return min([await run() for _ in range(RUNS)])


@click.command()
@click.option("--rounds", default=500, show_default=True)
def main(rounds: int) -> None:
    """Measure, and print a table."""
    for name, counting in (
        ("frame at a recognizer", frame_at_recognizer),
        ("frame at a gateway", frame_at_gateway),
        ("push at a hub", push),
        ("command", command),
    ):
        print(f"{name:24} {least_us(rounds, counting(Metrics('bench', 'bench'))):8.1f} us")
    print(f"{'HTTP request':24} {asyncio.run(request_us(rounds)):8.1f} us")
    print(f"{'scrape':24} {asyncio.run(scrape_us()):8.1f} us")


if __name__ == "__main__":
    main()
