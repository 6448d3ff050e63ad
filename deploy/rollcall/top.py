"""`rollcall top`: what a running system does, from the numbers that its processes tell (docs/metrics.md)."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rollcall.numbers import Numbers, Process, Scrape, Spread
from rollcall.office import need_running

SCRAPE_S = 5.0
"""how long a process may take to tell its numbers, in seconds: it asks what it needs for 3 at most"""

Section = dict[str, Any]
"""numbers by name, as JSON has them"""


@dataclass(frozen=True, slots=True)
class Line:
    """One process."""

    name: str
    service: str
    url: str
    up: bool
    not_ready: list[str]
    cpu: float
    """cores"""
    memory_mb: float


@dataclass(frozen=True, slots=True)
class Overview:
    """What `--json` prints. Rates are a second's, times are in seconds, None where there were none."""

    processes: list[Line]
    frames: Section
    results: dict[str, float]
    stages: dict[str, Spread]
    punches: Section
    terminals: Section
    orders: Section
    library: Section
    broker: Section
    web: Section


async def top(data: Path, urls: Sequence[str], interval: float, *, once: bool, as_json: bool) -> None:
    """Until Ctrl-C, or `once`. Raises CannotStart when nothing runs on `data` and no `urls` are given."""
    places = {url: url for url in urls} if urls else need_running(data).admin_urls
    console = Console()
    overviews = watch(places, interval)
    if once or as_json or not console.is_terminal:
        async for overview in overviews:
            if as_json:
                console.print(
                    json.dumps(asdict(overview), ensure_ascii=False), soft_wrap=True, markup=False, highlight=False
                )
            else:
                console.print(drawn(overview))
            if once:
                return
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        async for overview in overviews:
            live.update(drawn(overview), refresh=True)


async def watch(places: dict[str, str], interval: float) -> AsyncIterator[Overview]:
    """What happened in each interval, for ever. `places`: processes' operators' addresses by name."""
    async with httpx.AsyncClient(timeout=SCRAPE_S, trust_env=False) as client:
        before = await _scrape_all(client, places.values())
        while True:
            await asyncio.sleep(interval)
            after = await _scrape_all(client, places.values())
            told = zip(places.items(), before, after, strict=True)
            yield overview([Process(url, was, now, name) for (name, url), was, now in told])
            before = after


async def _scrape_all(client: httpx.AsyncClient, urls: Iterable[str]) -> list[Scrape | None]:
    return list(await asyncio.gather(*(_scrape(client, url) for url in urls)))


async def _scrape(client: httpx.AsyncClient, url: str) -> Scrape | None:
    """None if nobody tells numbers there."""
    try:
        answer = await client.get(f"{url.rstrip('/').removesuffix('/metrics')}/metrics")
        return Scrape.parse(answer.raise_for_status().text, time.monotonic())
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None


# ---- what it means


def overview(processes: Sequence[Process]) -> Overview:
    """The numbers that matter, of all processes."""
    numbers = Numbers(processes)
    return Overview(
        processes=[_line(process) for process in processes],
        frames=_frames(numbers),
        results=numbers.rates_by("rollcall_results_total", "outcome"),
        stages=numbers.spreads_by("rollcall_stage_seconds", "stage"),
        punches=_punches(numbers),
        terminals=_terminals(numbers),
        orders={
            "outcomes": numbers.rates_by("rollcall_orders_total", "outcome"),
            "seconds": numbers.spread("rollcall_order_seconds"),
        },
        library=_library(numbers),
        broker=_broker(numbers),
        web=_web(numbers),
    )


def _line(process: Process) -> Line:
    told = process.after
    alone = Numbers([process])
    return Line(
        name=(told.label("rollcall_service", "process") if told and process.name == process.url else "")
        or process.name,
        service=told.label("rollcall_service", "service") if told else "",
        url=process.url,
        up=process.up,
        not_ready=process.not_ready(),
        cpu=alone.rate("process_cpu_seconds_total"),
        memory_mb=sum(alone.values("process_resident_memory_bytes")) / 1e6,
    )


def _frames(numbers: Numbers) -> Section:
    received, replaced = numbers.rate("rollcall_frames_received_total"), numbers.rate("rollcall_frames_replaced_total")
    return {
        "received": received,
        "replaced_share": replaced / received if received else None,
        "served": numbers.rate("rollcall_frames_served_total"),
        "answered": numbers.rate("rollcall_frames_answered_total"),
        "streams": sum(numbers.values("rollcall_streams")),
        "age": numbers.spread("rollcall_frame_age_seconds"),
        "turn_wait": numbers.spread("rollcall_turn_wait_seconds"),
        "answer": numbers.spread("rollcall_frame_answer_seconds"),
    }


def _punches(numbers: Numbers) -> Section:
    return {
        "outcomes": numbers.rates_by("rollcall_punches_total", "outcome"),
        "lag": numbers.spread("rollcall_punch_lag_seconds"),
        # Every registry tells of the one outbox.
        "outbox": max(numbers.values("rollcall_outbox_waiting_events"), default=None),
        "outbox_oldest": max(numbers.values("rollcall_outbox_oldest_seconds"), default=None),
    }


def _terminals(numbers: Numbers) -> Section:
    return {
        "online": sum(numbers.values("rollcall_terminals")),
        "handshakes": numbers.rates_by("rollcall_handshakes_total", "outcome"),
        "pushes": numbers.rate("rollcall_pushes_total", outcome="taken"),
        "push": numbers.spread("rollcall_push_seconds"),
        "outbox": sum(numbers.values("rollcall_terminal_outbox_messages")),
        "dropped": sum(numbers.values("rollcall_terminal_dropped_messages_total")),
    }


def _library(numbers: Numbers) -> Section:
    faces = numbers.values_by("rollcall_index_faces", "index")
    return {
        "revision": min(numbers.values("rollcall_library_revision"), default=None),
        "head": max(numbers.values("rollcall_library_head_revision"), default=None),
        "unchecked": max(numbers.values("rollcall_library_unchecked_seconds"), default=None),
        "faces": {index: min(counts, default=0.0) for index, counts in faces.items()},
        "unmeasured": max(numbers.values("rollcall_unmeasured_faces"), default=None),
    }


def _broker(numbers: Numbers) -> Section:
    connected = numbers.values("rollcall_broker_connected")
    waiting = numbers.values_by("rollcall_consumer_waiting_messages", "consumer")
    in_work = numbers.values_by("rollcall_consumer_unacknowledged_messages", "consumer")
    return {
        "connected": sum(connected),
        "connections": len(connected),
        "reconnects": sum(numbers.values("rollcall_broker_reconnects_total")),
        "overflowed": sum(numbers.values("rollcall_broker_overflowed_messages_total")),
        # Each process that reads a consumer tells of all of it.
        "waiting": {name: max(counts, default=None) for name, counts in waiting.items()},
        "in_work": {name: max(counts, default=None) for name, counts in in_work.items()},
    }


def _web(numbers: Numbers) -> Section:
    rates = numbers.rates_by("rollcall_http_requests_total", "status")
    return {
        "requests": sum(rates.values()),
        "errors": sum(rate for status, rate in rates.items() if status.startswith("5")),
        "seconds": numbers.spread("rollcall_http_request_seconds"),
    }


# ---- how it looks


def drawn(seen: Overview) -> Group:
    """For a terminal, or for paper."""
    return Group(_process_table(seen.processes), _number_table(seen))


def _process_table(lines: Sequence[Line]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("process")
    table.add_column("state")
    table.add_column("cpu", justify="right")
    table.add_column("memory", justify="right")
    for line in lines:
        figures = (f"{line.cpu:.0%}", f"{line.memory_mb:.0f} MB") if line.up else ("", "")
        table.add_row(line.name, _state(line), *figures)
    return table


def _state(line: Line) -> Text:
    if not line.up:
        return Text("away", "bold red")
    if line.not_ready:
        return Text(f"not ready: {', '.join(line.not_ready)}", "yellow")
    return Text("ready", "green")


def _number_table(seen: Overview) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    rows = (
        ("", ()),
        ("frames", _frame_words(seen.frames)),
        ("", _frame_times(seen.frames)),
        ("results", _moving(seen.results)),
        ("stages", [f"{name} {_times(times)}" for name, times in seen.stages.items()]),
        ("punches", _punch_words(seen.punches)),
        ("terminals", _terminal_words(seen.terminals)),
        ("handshakes", _moving(seen.terminals["handshakes"])),
        ("orders", [*_moving(seen.orders["outcomes"]), f"answer {_times(seen.orders['seconds'])}"]),
        ("library", _library_words(seen.library)),
        ("broker", _broker_words(seen.broker)),
        ("web", _web_words(seen.web)),
    )
    for name, words in rows:
        table.add_row(name, Text(" · ".join(words)))
    return table


def _frame_words(frames: Section) -> list[str]:
    return [
        f"{frames['received']:.1f}/s in",
        f"{frames['answered']:.1f}/s answered",
        f"{_share(frames['replaced_share'])} replaced",
        f"{frames['streams']:.0f} streams",
    ]


def _frame_times(frames: Section) -> list[str]:
    return [
        f"age {_times(frames['age'])}",
        f"turn wait {_times(frames['turn_wait'])}",
        f"answer {_times(frames['answer'])}",
    ]


def _punch_words(punches: Section) -> list[str]:
    return [
        f"{punches['outcomes'].get('recorded', 0):.1f}/s",
        f"lag {_times(punches['lag'])}",
        f"put off {punches['outcomes'].get('put_off', 0):.1f}/s",
        f"outbox {_count(punches['outbox'])}",
        f"oldest {_time(punches['outbox_oldest'])}",
    ]


def _terminal_words(terminals: Section) -> list[str]:
    return [
        f"{terminals['online']:.0f} online",
        f"{terminals['pushes']:.1f} pushes/s",
        f"push {_times(terminals['push'])}",
        f"outboxes {terminals['outbox']:.0f}",
        f"dropped {terminals['dropped']:.0f}",
    ]


def _library_words(library: Section) -> list[str]:
    faces = [f"{index} {count:.0f} faces" for index, count in library["faces"].items()]
    return [f"revision {_count(library['revision'])} of {_count(library['head'])}", *faces]


def _broker_words(broker: Section) -> list[str]:
    in_work = broker["in_work"]
    return [
        f"{broker['connected']:.0f} of {broker['connections']} connections",
        f"{broker['reconnects']:.0f} reconnects",
        f"{broker['overflowed']:.0f} overflowed",
        *(f"{name} {_count(n)} waiting, {_count(in_work.get(name))} in work" for name, n in broker["waiting"].items()),
    ]


def _web_words(web: Section) -> list[str]:
    return [f"{web['requests']:.1f}/s", f"{web['errors']:.1f}/s errors", f"answer {_times(web['seconds'])}"]


def _moving(rates: dict[str, float]) -> list[str]:
    return [f"{name} {rate:.1f}/s" for name, rate in rates.items() if rate] or ["none"]


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _count(count: float | None) -> str:
    return "?" if count is None else f"{count:.0f}"


def _times(spread: Spread) -> str:
    """p50/p95."""
    return "-" if spread.p50 is None else f"{_time(spread.p50)}/{_time(spread.p95)}"


def _time(seconds: float | None) -> str:
    if seconds is None or math.isnan(seconds):
        return "?"
    return f"{seconds * 1000:.{0 if seconds >= 0.01 else 1}f} ms" if seconds < 1 else f"{seconds:.1f} s"
