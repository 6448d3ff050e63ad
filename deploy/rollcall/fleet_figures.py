"""What `rollcall fleet` measured: processes' use of the machine, and findings as table, plot and JSON."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from rollcall.running import Running
from shared.evaluation.plots import Curve, lines
from terminal.tally import rss_kib

TICKS_S = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Samples:
    """Times of one phase in milliseconds, as the workers thinned them."""

    connect: list[float] = field(default_factory=list)
    echo: list[float] = field(default_factory=list)
    push: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor seconds and resident KiB of a group of processes."""

    cpu_s: float
    rss_kib: int


@dataclass(slots=True)
class Moment:
    """The whole fleet at a time, in seconds since the beginning."""

    at: float
    online: int
    hubs: Usage
    fleet: Usage


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table: `value` for programs, `shown` for people."""

    key: str
    what: str
    shown: str
    value: Any


def hub_pids(running: Running) -> list[int]:
    """The hub processes of this system: children of its supervisor."""
    children = _text(f"/proc/{running.pid}/task/{running.pid}/children").split()
    return [int(pid) for pid in children if "\0device_hub\0" in _text(f"/proc/{pid}/cmdline")]


def usage(pids: Sequence[int]) -> Usage:
    """Of these processes together."""
    return Usage(sum(map(_cpu_s, pids)), sum(map(rss_kib, pids)))


def _cpu_s(pid: int) -> float:
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_S if fields else 0.0


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # the process is gone
        return ""


def percentiles(times: Sequence[float]) -> str:
    """Median and 99 %, from milliseconds."""
    median, late = _part(times, 0.5), _part(times, 0.99)
    return "–" if median is None else f"p50 {median:,.1f} ms, p99 {late:,.1f} ms"


def _part(times: Sequence[float], part: float) -> float | None:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else None


def failures(failed: Counter[str]) -> str:
    """How many for which reason."""
    return ", ".join(f"{reason}: {count:,}" for reason, count in failed.most_common()) or "none"


def share(first: Moment, last: Moment, whose: str) -> float:
    """The part of one core that was used between two moments."""
    used = getattr(last, whose).cpu_s - getattr(first, whose).cpu_s
    return float(used / max(0.001, last.at - first.at))


def times(key: str, what: str, milliseconds: Sequence[float]) -> Finding:
    """Median and 99 % of these."""
    value = {"p50_ms": _part(milliseconds, 0.5), "p99_ms": _part(milliseconds, 0.99), "samples": len(milliseconds)}
    return Finding(key, what, percentiles(milliseconds), value)


def cost(key: str, what: str, first: Moment, last: Moment) -> Finding:
    """Processor time for each terminal that is online at the end, in milliseconds."""
    each = {
        whose: (getattr(last, whose).cpu_s - getattr(first, whose).cpu_s) / max(1, last.online) * 1e3
        for whose in ("hubs", "fleet")
    }
    return Finding(key, what, f"{each['hubs']:.2f} ms, {each['fleet']:.2f} ms", each)


def memory(key: str, what: str, empty: Usage, full: Moment) -> Finding:
    """Resident memory for each terminal, of whole processes; and of the hubs what was added since they were empty."""
    each = {whose: getattr(full, whose).rss_kib / max(1, full.online) for whose in ("hubs", "fleet")}
    each["hubs_added"] = (full.hubs.rss_kib - empty.rss_kib) / max(1, full.online)
    shown = f"{each['hubs']:.1f} KiB ({each['hubs_added']:.1f} more than when empty), {each['fleet']:.1f} KiB"
    return Finding(key, what, shown, each)


def table(findings: Sequence[Finding]) -> str:
    """Markdown."""
    return "\n".join(("| | |", "|---|---|", *(f"| {each.what} | {each.shown} |" for each in findings)))


def write(folder: Path, findings: Sequence[Finding], history: Sequence[Moment]) -> None:
    """fleet.md, fleet.json and fleet.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fleet.md").write_text(table(findings) + "\n")
    course = [
        {"s": round(each.at, 1), "online": each.online, "hubs_kib": each.hubs.rss_kib, "hubs_cpu_s": each.hubs.cpu_s}
        for each in history
    ]
    found = {"findings": {each.key: each.value for each in findings}, "course": course}
    (folder / "fleet.json").write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    seconds = [moment.at for moment in history]
    online = Curve("terminals online", seconds, [moment.online for moment in history])
    svg = lines(f"{max(online.y, default=0):,.0f} terminals", "seconds", "terminals online", [online])
    (folder / "fleet.svg").write_text(svg)
    click.echo(f"wrote {folder}/fleet.md, fleet.json and fleet.svg")
