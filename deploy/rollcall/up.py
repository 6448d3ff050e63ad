"""`rollcall up`: the whole system on one machine, until Ctrl-C."""

import asyncio
import contextlib
import ipaddress
import signal
import sys
import time

import click

from rollcall.local import Options, System, local_system
from rollcall.reembed import in_background
from rollcall.supervisor import say
from shared.runtime import background
from shared.security import make_ticket

SETUP_S = 24 * 3600
COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "bright_black")


def show_line(name: str, line: str) -> None:
    """One line of a process, under its name."""
    colour = COLOURS[sum(name.encode()) % len(COLOURS)]
    click.echo(f"{click.style(f'{name:>13}', fg=colour)} │ {line}")


async def up(options: Options) -> None:
    """Start, say where to look, and wait for SIGINT or SIGTERM. Raises what local_system raises."""
    began = time.monotonic()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    _warn_if_open(options.host)
    ready = asyncio.Event()
    running = asyncio.ensure_future(_run(options, ready, stop, began))
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not ready.is_set():
        running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def _run(options: Options, ready: asyncio.Event, stop: asyncio.Event, began: float) -> None:
    async with local_system(options, show_line, lambda step: show_line("rollcall", step)) as system:
        ready.set()
        click.echo(welcome(system, time.monotonic() - began))
        sys.stdout.flush()
        async with background(in_background(options.data, lambda line: say(show_line, "rollcall", line))):
            await stop.wait()
            say(show_line, "rollcall", "stopping")
    say(show_line, "rollcall", f"stopped; all data is kept in {options.data}")


def welcome(system: System, seconds: float) -> str:
    """What to open next."""
    url, ticket = system.running.url, make_ticket(system.keys.web, "setup", SETUP_S)
    wall = make_ticket(system.keys.web, "wall", SETUP_S)
    third_parties = system.running.mqtt
    mqtt = f"\n    mqtt://{third_parties.host}:{third_parties.port}       third parties" if third_parties else ""
    return f"""
  Rollcall 人脸打卡 is ready ({seconds:.1f} s)

    {url}/            register and clock in        注册、打卡
    {url}/live?ticket={wall}
                                      live results                 实时大屏
    {url}/office      students, punches, devices   教务{mqtt}
    first visit: {url}/office/setup?ticket={ticket}

    No camera at hand? In another terminal: make demo
    Stop with Ctrl-C. Data: {system.options.data}
"""


def _warn_if_open(host: str) -> None:
    try:
        private = ipaddress.ip_address(host).is_loopback
    except ValueError:
        private = host == "localhost"
    if not private:
        click.secho(
            f"Warning: --host {host} opens Rollcall to the network. Browsers only give a camera to pages from "
            "localhost or over HTTPS, and names and photos would travel unencrypted: put a TLS proxy in front.",
            fg="yellow",
            err=True,
        )
