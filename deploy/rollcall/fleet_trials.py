"""What `rollcall fleet` does to a fleet: results, orders, a new configuration, frames, kill -9 of every hub."""

import asyncio
import json
import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import click
import httpx
from nats.js.errors import Error as JetStreamError

from rollcall.fleet_figures import Finding, failures, hub_pids, times
from rollcall.keys import Keys
from rollcall.office import BY
from rollcall.running import Running
from rollcall.squads import Crowd, name_of
from shared.bus import Bus, connect
from shared.bus.terminals import order
from shared.bus.topology import PRESENCE
from shared.contracts.devices import MAX_BULK, ConfigureDevices, DeviceConfig
from shared.contracts.hubs import Presence
from shared.contracts.terminals import OpenDoor, TerminalOrder, TerminalPush
from shared.errors import RollcallError
from shared.sample_faces import load
from terminal.admission import Identity, Server
from terminal.showing import Shown, show
from terminal.simulated import SENT_AT
from terminal.simulator import letterbox

ADDRESSED: Final = 1_000
"""terminals that results are pushed to and doors opened of"""
MOST_CAMERAS: Final = 64
LATE_S: Final = 2.0
"""after the last result or frame, for what is on its way"""
FACES: Final = Path(os.environ.get("ROLLCALL_CACHE", Path(sys.prefix) / "share" / "rollcall" / "faces"))


@dataclass(frozen=True, slots=True)
class Site:
    """The system, its bus, and the fleet: ids in the order of the numbers in their names, and their secrets."""

    data: Path
    running: Running
    bus: Bus
    ids: Sequence[int]
    terminals: Sequence[tuple[str, str]]
    crowd: Crowd

    def some(self) -> list[int]:
        """ADDRESSED of them, always the same."""
        return Random(1).sample(list(self.ids), min(ADDRESSED, len(self.ids)))  # noqa: S311 - no secret


# ---- results, and doors


async def push(site: Site, per_s: float, seconds: float) -> list[Finding]:
    """Results, evenly, sent as the gateway sends them."""
    site.crowd.new_phase()
    async with connect(site.running.nats_url, "gateway", Keys.of(site.data).broker["gateway"]) as bus:
        found = [await _address(bus, device_id) for device_id in site.some()]
        subjects = [each for each in found if each is not None]
        count = int(per_s * seconds) if subjects else 0
        began = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / per_s - time.monotonic()))
            device_id, subject = subjects[number % len(subjects)]
            text = json.dumps({"type": "result", SENT_AT: time.monotonic_ns(), "faces": []})
            await bus.publish(subject, TerminalPush(device_id=device_id, text=text))
    await asyncio.sleep(LATE_S)
    what = f"result pushed to its terminal, {per_s:.0f}/s, {count:,} sent"
    return [times("push", what, site.crowd.new_phase().push)]


async def _address(bus: Bus, device_id: int) -> tuple[int, str] | None:
    """Where to push to a terminal, as the bucket `presence` says."""
    try:
        entry = await (await bus.js.key_value(PRESENCE)).get(str(device_id))
    except (JetStreamError, TimeoutError):
        return None
    return device_id, TerminalPush.subject_for(Presence.decode(entry.value or b"").hub, str(device_id))


async def open_doors(site: Site, per_s: float, seconds: float) -> list[Finding]:
    """Doors, evenly, from the office's side: looked up, told, answered."""
    took: list[float] = []
    failed: list[str] = []

    async def one(device_id: int) -> None:
        began = time.monotonic()
        try:
            await order(site.bus, TerminalOrder(device_id=device_id, order=OpenDoor(reason="fleet"), by=BY))
        except RollcallError as error:
            failed.append(error.code)
        else:
            took.append((time.monotonic() - began) * 1e3)

    chosen, began = site.some(), time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(int(per_s * seconds)):
            await asyncio.sleep(max(0.0, began + number / per_s - time.monotonic()))
            group.create_task(one(chosen[number % len(chosen)]))
    what = f"door opened and answered, {per_s:.0f}/s, {len(took):,} done, {len(failed):,} not"
    return [times("order", what, took)]


# ---- a new configuration


async def configure_all(site: Site) -> list[Finding]:
    """Told to the registry by the thousand, until every terminal that is online says that it has taken it over."""
    online, before, began = site.crowd.online, site.crowd.taken, time.monotonic()
    wished = DeviceConfig(greeting=f"fleet {time.time():.0f}")
    for first in range(0, len(site.ids), MAX_BULK):
        await site.bus.ask(ConfigureDevices(ids=tuple(site.ids[first : first + MAX_BULK]), config=wished, by=BY))
    told = time.monotonic() - began
    took = await site.crowd.until_taken(before + online) - began
    taken = site.crowd.taken - before
    shown = f"{took:.1f} s ({taken:,} of {online:,}; the registry had it after {told:.1f} s)"
    value = {"s": took, "taken": taken, "online": online, "told_s": told}
    return [Finding("broadcast", "configuration changed and taken over by all", shown, value)]


# ---- frames


async def show_frames(site: Site, fps: float, seconds: float) -> list[Finding]:
    """So many frames a second in all, of real photos, from as many terminals as send one a second each."""
    count = min(MOST_CAMERAS, len(site.terminals), math.ceil(fps))
    people = await asyncio.to_thread(load, FACES)
    photos = [await asyncio.to_thread(letterbox, shots[0]) for shots in people.values()]
    server = Server(site.running.url, site.running.hub_url)
    shown = [Shown() for _ in range(count)]
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        jobs = [
            show(http, server, Identity(name_of(n), *terminal), photos[n % len(photos)], count / fps, tally)
            for n, (terminal, tally) in enumerate(zip(site.terminals, shown, strict=False), start=1)
        ]
        tasks = [asyncio.create_task(job) for job in jobs]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    broken = sum(not isinstance(each, asyncio.CancelledError) for each in ended)
    answers, sent = [each.answers for each in shown], sum(each.frames for each in shown)
    fair = sum(answers) ** 2 / max(1, count * sum(each**2 for each in answers))
    value = {"cameras": count, "sent": sent, "answers": sum(answers), "jain": fair, "broken": broken}
    what = f"frames of {count} cameras, {sent:,} sent, {sum(answers):,} answered"
    fairness = f"{fair:.3f} (1: all alike), {min(answers)} to {max(answers)} each, {broken} broken off"
    return [
        times("frames", what, [each for tally in shown for each in tally.answer_ms]),
        Finding("fairness", "answers to the cameras, Jain's fairness", fairness, value),
    ]


# ---- kill -9


async def storm(site: Site) -> list[Finding]:
    """kill -9 of every hub process, at once."""
    crowd = site.crowd
    before, failed, online = crowd.welcomed, crowd.failed, crowd.online
    crowd.new_phase()
    victims = hub_pids(site.running)
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    click.echo(f"killed {len(victims)} hub process(es)")
    took = await crowd.until_online(online, before + online)
    back, tries = crowd.online, crowd.failed - failed
    return [
        Finding(
            "storm",
            f"all back after kill -9 of {len(victims)} hubs",
            f"{took:.1f} s ({back:,} online)",
            {"s": took, "online": back, "killed": len(victims)},
        ),
        Finding("storm_failed", "tries that failed meanwhile", failures(tries), dict(tries)),
        times("storm_way_in", "one terminal's way in, in the storm", crowd.new_phase().connect),
    ]
