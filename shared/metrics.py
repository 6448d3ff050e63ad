"""The numbers a process tells of itself: one registry, made by its service at the start and handed in.

On a hot path counting is `inc` or `observe` of a child that was bound before: a microsecond (bench/README.md). What
lies somewhere already is read when somebody asks for the numbers, and what must be fetched is fetched then. Label
values are words of the program: routes, stages, outcomes; never a person's number, a terminal or a path.
docs/metrics.md lists everything; a test compares it with what running services say.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Final, TypeVar

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

log = structlog.get_logger("metrics")

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

ASK_S: Final = 3.0
"""how long what must be fetched may take, in seconds; Prometheus itself gives up after 10"""

WORK_S: Final = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024)
"""upper bounds of buckets for work of this machine, in seconds: each the double of the one before"""
WAIT_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""the same for what a person waits for"""
LAG_S: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0, 86_400.0)
"""the same for what waits while something is away"""

UNKNOWN: Final = float("nan")
"""a gauge whose source does not answer"""

Read = Callable[[], float]
Many = Callable[[], Mapping[str, float]]
F = TypeVar("F", CounterMetricFamily, GaugeMetricFamily)


def nobody_counts(*what: object) -> None:
    """Stands where somebody may be told of what happens, until somebody is."""


class Metrics:
    """The numbers of one process."""

    def __init__(self, service: str, process: str) -> None:
        """`process` tells a service's processes apart; Prometheus names them by their addresses."""
        # Of the whole process: else beside every counter there is a second series that nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._questions: list[Callable[[], Awaitable[None]]] = []
        ProcessCollector(registry=self.registry)
        about = self.gauge("rollcall_service", "Always 1: which service this is", "service", "process", "version")
        about.labels(service, process, version("rollcall")).set(1)

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        """Only goes up; `name` without its `_total`."""
        return Counter(name, meaning, labels, registry=self.registry)

    def gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        """Goes up and down."""
        return Gauge(name, meaning, labels, registry=self.registry)

    def histogram(self, name: str, meaning: str, *labels: str, bounds: tuple[float, ...]) -> Histogram:
        """Times, by `bounds`."""
        return Histogram(name, meaning, labels, registry=self.registry, buckets=bounds)

    def read(self, name: str, meaning: str, read: Read) -> None:
        """A gauge that is read when somebody asks."""
        self.registry.register(_Read(lambda: _one(GaugeMetricFamily(name, meaning), read)))

    def read_total(self, name: str, meaning: str, read: Read) -> None:
        """A counter that somebody keeps already; `name` without its `_total`."""
        self.registry.register(_Read(lambda: _one(CounterMetricFamily(name, meaning), read)))

    def read_by(self, name: str, meaning: str, label: str, read: Many) -> None:
        """As `read`, for each value of a label."""
        self.registry.register(_Read(lambda: _each(GaugeMetricFamily(name, meaning, labels=[label]), read)))

    def read_totals_by(self, name: str, meaning: str, label: str, read: Many) -> None:
        """As `read_total`, for each value of a label."""
        self.registry.register(_Read(lambda: _each(CounterMetricFamily(name, meaning, labels=[label]), read)))

    def ask(self, question: Callable[[], Awaitable[None]]) -> None:
        """Let this run each time before the numbers are told, ASK_S at most; it sets gauges of its own."""
        self._questions.append(question)

    async def text(self) -> bytes:
        """All numbers in Prometheus's text format."""
        await asyncio.gather(*(_answered(question) for question in self._questions))
        return generate_latest(self.registry)


class _Read(Collector):
    """Prometheus's way to read numbers where they lie."""

    def __init__(self, family: Callable[[], Metric]) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family()


def _one(family: F, read: Read) -> F:
    family.add_metric([], read())
    return family


def _each(family: F, read: Many) -> F:
    for value, number in read().items():
        family.add_metric([value], number)
    return family


async def _answered(question: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(ASK_S):
            await question()
    except Exception as error:
        log.warning("a number is not known", reason=repr(error))
