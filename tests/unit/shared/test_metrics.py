"""The registry of a process: several side by side, numbers read where they lie, questions that fail."""

import asyncio
import math

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from shared.bus.metrics import watch_bus
from shared.metrics import UNKNOWN, WORK_S, Metrics


def told(text: bytes) -> dict[str, float]:
    """Samples as they are written."""
    return {
        sample.name + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


async def test_two_processes_numbers_do_not_mix() -> None:
    one, other = Metrics("gateway", "a"), Metrics("gateway", "b")
    for metrics in (one, other):
        metrics.counter("rollcall_things", "Things", "kind").labels("x").inc()
    one.counter("rollcall_more", "More").inc(2)
    assert told(await one.text())["rollcall_things_total x"] == 1
    assert "rollcall_more_total" not in told(await other.text())
    assert [name for name in told(await one.text()) if name.endswith("_created")] == []


async def test_numbers_are_read_where_they_lie_when_somebody_asks() -> None:
    metrics, there, by = Metrics("gateway", "a"), [1, 2], {"x": 3.0}
    metrics.read("rollcall_length", "Length", lambda: len(there))
    metrics.read_total("rollcall_sum", "Sum", lambda: sum(there))
    metrics.read_by("rollcall_now", "Now", "kind", lambda: by)
    metrics.read_totals_by("rollcall_ever", "Ever", "kind", lambda: by)
    there.append(4)
    by["y"] = 5.0
    seen = told(await metrics.text())
    assert (seen["rollcall_length"], seen["rollcall_sum_total"]) == (3, 7)
    assert (seen["rollcall_now y"], seen["rollcall_ever_total x"]) == (5, 3)


async def test_a_question_that_fails_costs_its_own_number_only() -> None:
    metrics = Metrics("registry", "a")
    depth, other = metrics.gauge("rollcall_depth", "Depth"), metrics.gauge("rollcall_other", "Other")

    async def fails() -> None:
        depth.set(UNKNOWN)
        raise ConnectionError("away")

    async def answers() -> None:
        other.set(4)

    metrics.ask(fails)
    metrics.ask(answers)
    seen = told(await metrics.text())
    assert math.isnan(seen["rollcall_depth"])
    assert seen["rollcall_other"] == 4


async def test_a_histogram_counts_into_its_bounds() -> None:
    metrics = Metrics("recognizer", "a")
    seconds = metrics.histogram("rollcall_seconds", "Seconds", bounds=WORK_S)
    for value in (0.0004, 0.003, 7.0):
        seconds.observe(value)
    seen = told(await metrics.text())
    assert [seen[f"rollcall_seconds_bucket {bound}"] for bound in ("0.0005", "0.004", "1.024", "+Inf")] == [1, 2, 2, 3]


class Depths:
    """Of a bus, what its numbers are made of; how deep its consumer is, as soon as `known` is set."""

    is_connected, reconnects, unheard, overflowed = True, 0, 0, 0

    def __init__(self) -> None:
        self.known, self.asked, self.away = asyncio.Event(), asyncio.Event(), False

    async def depths(self) -> dict[str, tuple[int, int]]:
        self.asked.set()
        await self.known.wait()
        if self.away:
            raise ConnectionError("away")
        return {"ledger": (3, 1)}


async def test_who_asks_takes_no_number_from_another_who_reads() -> None:
    """Two Prometheus servers ask one process."""
    metrics, bus = Metrics("registry", "a"), Depths()
    watch_bus(metrics, bus, consumers=("ledger",))  # type: ignore[arg-type]
    bus.known.set()
    waits = "rollcall_consumer_waiting_messages ledger"
    assert told(await metrics.text())[waits] == 3
    bus.known.clear()
    bus.asked.clear()
    async with asyncio.TaskGroup() as tasks:
        second = tasks.create_task(metrics.text())
        await bus.asked.wait()
        assert told(generate_latest(metrics.registry))[waits] == 3
        bus.away = True
        bus.known.set()
    assert math.isnan(told(second.result())[waits])
