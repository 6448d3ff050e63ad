"""From what processes tell at two moments to what happened in between. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Scrape:
    """What one process said at a moment of the monotonic clock, in seconds: values by name, then by labels."""

    at: float
    samples: Mapping[str, Mapping[Labels, float]]

    @classmethod
    def parse(cls, text: str, at: float) -> "Scrape":
        """Raises ValueError for what is not Prometheus's text format."""
        samples: dict[str, dict[Labels, float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
        return cls(at, samples)

    def label(self, name: str, label: str) -> str:
        """The label's value in the metric's first sample, empty if there is none."""
        return next((dict(labels).get(label, "") for labels in self.samples.get(name, {})), "")


@dataclass(frozen=True, slots=True)
class Process:
    """One process at two moments; `after` is None while it does not answer, `before` is when it did not then."""

    url: str
    before: Scrape | None
    after: Scrape | None
    name: str = ""

    @property
    def up(self) -> bool:
        return self.after is not None

    def not_ready(self) -> list[str]:
        """What it needs and does not have, by name."""
        checks = self.after.samples.get("rollcall_ready", {}) if self.after else {}
        return sorted(dict(labels)["check"] for labels, value in checks.items() if value != 1)

    def grown(self, name: str) -> Mapping[Labels, float]:
        """How much a counter's samples grew; one that began anew counts from 0."""
        if self.after is None or self.before is None:
            return {}
        before = self.before.samples.get(name, {})
        now = self.after.samples.get(name, {})
        return {
            labels: value - start if value >= (start := before.get(labels, 0.0)) else value
            for labels, value in now.items()
        }

    def rates(self, name: str) -> Mapping[Labels, float]:
        """The same, a second."""
        seconds = self.after.at - self.before.at if self.after and self.before else 0.0
        return {labels: grown / seconds for labels, grown in self.grown(name).items()} if seconds > 0 else {}


@dataclass(frozen=True, slots=True)
class Spread:
    """Half and 95 % of the times are not longer than this, in seconds; None when there were none."""

    p50: float | None
    p95: float | None


class Numbers:
    """All processes together."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self.processes = processes

    def values(self, name: str, **labels: str) -> list[float]:
        """A gauge's or counter's samples with these labels; what nobody knows is left out."""
        wanted = labels.items()
        return [
            value
            for process in self.processes
            if process.after
            for found, value in process.after.samples.get(name, {}).items()
            if wanted <= found and not math.isnan(value)
        ]

    def rate(self, name: str, **labels: str) -> float:
        """How much a counter grows a second."""
        wanted = labels.items()
        return sum(rate for p in self.processes for found, rate in p.rates(name).items() if wanted <= found)

    def rates_by(self, name: str, label: str) -> dict[str, float]:
        """The same, for each value of a label."""
        return {value: self.rate(name, **{label: value}) for value in self._label_values(name, label)}

    def spread(self, name: str, **labels: str) -> Spread:
        """The times of a histogram, of the seconds in between."""
        counts: dict[float, float] = {}
        wanted = labels.items()
        for process in self.processes:
            for found, grown in process.grown(f"{name}_bucket").items():
                if wanted <= found:
                    bound = float(dict(found)["le"])
                    counts[bound] = counts.get(bound, 0.0) + grown
        return Spread(quantile(counts, 0.5), quantile(counts, 0.95))

    def spreads_by(self, name: str, label: str) -> dict[str, Spread]:
        """The same, for each value of a label."""
        return {value: self.spread(name, **{label: value}) for value in self._label_values(f"{name}_count", label)}

    def values_by(self, name: str, label: str) -> dict[str, list[float]]:
        """As `values`, for each value of a label."""
        return {value: self.values(name, **{label: value}) for value in self._label_values(name, label)}

    def _label_values(self, name: str, label: str) -> list[str]:
        """In the order in which they are told."""
        found: dict[str, None] = {}
        for process in self.processes:
            for labels in process.after.samples.get(name, {}) if process.after else ():
                found[dict(labels)[label]] = None
        return list(found)


def quantile(counts: Mapping[float, float], share: float) -> float | None:
    """The time that this share of a histogram does not exceed, by cumulative `counts` of upper bounds, within a bucket
    evenly; None if there are none. Beyond the last finite bound nothing is known: that bound."""
    bounds: Iterable[float] = sorted(counts)
    total = counts.get(math.inf, 0.0)
    if not total:
        return None
    rank, low, below = share * total, 0.0, 0.0
    for bound in bounds:
        here = counts[bound]
        if here >= rank:
            if bound == math.inf:
                return low
            return low + (bound - low) * (rank - below) / (here - below) if here > below else bound
        low, below = bound, here
    return low
