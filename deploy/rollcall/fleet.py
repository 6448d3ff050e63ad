"""`rollcall fleet`: thousands of simulated terminals against a running system, and what it cost. Linux only: it reads
/proc, and uses the whole of 127.0.0.0/8 as source addresses."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import click

from rollcall import fleet_trials as trials
from rollcall.fleet_figures import Finding, cost, failures, hub_pids, memory, share, table, times, write
from rollcall.local import CannotStart
from rollcall.office import bus_of, need_running
from rollcall.running import broker_pid
from rollcall.squads import SPARE_FILES, Crowd, at_work, file_limit, registered
from shared.runtime import background
from terminal.tally import rss_kib


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """What `rollcall fleet` can be told."""

    terminals: int
    seconds: float = 60.0
    """how long the fleet is held, and each trial lasts a third of that"""
    processes: int = 0
    """0: as few as the limit of open files allows"""
    ramp_s: float = 0.0
    pushes: float = 0.0
    """results pushed a second"""
    orders: float = 0.0
    """doors opened a second, meanwhile"""
    fps: float = 0.0
    """frames a second in all"""
    broadcast: bool = False
    storm: bool = False
    keep: bool = False
    out: Path | None = None


async def fleet(data: Path, options: FleetOptions) -> None:
    """Register the fleet, run it, say what happened, and remove it again."""
    running = need_running(data)
    most = file_limit() - SPARE_FILES
    processes = options.processes or -(-options.terminals // most)
    if options.terminals / processes > most:
        raise CannotStart(f"A process may open {file_limit()} files here; give --processes a larger number.")
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(bus_of(data))
        ids, terminals = await stack.enter_async_context(registered(bus, options.terminals, keep=options.keep))
        workers = await stack.enter_async_context(at_work(running, terminals, processes, options.ramp_s))
        crowd = Crowd(workers, lambda: hub_pids(running))
        async with background(crowd.watch(), *map(crowd.listen, workers)):
            findings = await _phases(trials.Site(data, running, bus, ids, terminals, crowd), options)
    click.echo(table(findings))
    if options.out is not None:
        await asyncio.to_thread(write, options.out, findings, crowd.history)


async def _phases(site: trials.Site, options: FleetOptions) -> list[Finding]:
    """Ramp, steady, then what was asked for; storm last."""
    findings = await _ramp(site.crowd, options) + await _hold(site, options)
    seconds = options.seconds / 3
    if options.pushes or options.orders:
        click.echo("results and orders")
        found = await asyncio.gather(
            *([trials.push(site, options.pushes, seconds)] if options.pushes else []),
            *([trials.open_doors(site, options.orders, seconds)] if options.orders else []),
        )
        findings += chain.from_iterable(found)
    if options.fps:
        click.echo("frames")
        findings += await trials.show_frames(site, options.fps, seconds)
    if options.broadcast:
        click.echo("a configuration for all")
        findings += await trials.configure_all(site)
    if options.storm:
        findings += await trials.storm(site)
    return findings


async def _ramp(crowd: Crowd, options: FleetOptions) -> list[Finding]:
    empty = crowd.moment()
    took = await crowd.until_online(options.terminals)
    up, connects = crowd.moment(), crowd.new_phase()
    there = {"online": up.online, "wanted": options.terminals}
    return [
        Finding("online", "terminals online", f"{up.online:,} of {options.terminals:,}", there),
        Finding("ramp", "until all were online", f"{took:.1f} s", {"s": took}),
        times("way_in", "one terminal's way in", connects.connect),
        Finding("failed", "tries that failed", failures(crowd.failed), dict(crowd.failed)),
        cost("cpu_way_in", "processor per terminal: hubs, fleet", empty, up),
    ]


async def _hold(site: trials.Site, options: FleetOptions) -> list[Finding]:
    crowd, empty = site.crowd, site.crowd.history[0].hubs
    await asyncio.sleep(options.seconds / 3)  # the registry is still told who came
    calm = crowd.moment()
    await asyncio.sleep(options.seconds * 2 / 3)
    held, echoes = crowd.moment(), crowd.new_phase()
    kept = {"online": held.online, "lost": crowd.dropped, "s": options.seconds}
    broker = rss_kib(broker_pid(site.data) or 0)
    shares = {whose: share(calm, held, whose) for whose in ("hubs", "fleet")}
    idle = ", ".join(f"{each:.1%}" for each in shares.values())
    return [
        Finding("held", f"online after {options.seconds:.0f} s", f"{held.online:,}, lost {crowd.dropped:,}", kept),
        memory("memory", "memory per terminal: hubs, fleet", empty, held),
        Finding("broker", "memory of nats-server", f"{broker // 1024} MiB", {"kib": broker}),
        Finding("idle", "of one core while idle: hubs, fleet", idle, shares),
        times("echo", "ping to pong", echoes.echo),
    ]
