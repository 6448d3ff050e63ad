"""Commands of the office on a running system: the password, the terminals."""

import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from pydantic import SecretStr

from rollcall.keys import Keys
from rollcall.local import CannotStart
from rollcall.running import Running, find_running
from shared.bus import Bus, connect
from shared.bus.terminals import connected, order
from shared.contracts.device_log import deed_of
from shared.contracts.devices import (
    AddDevice,
    AuthoriseDevice,
    Device,
    EditDevice,
    FindDevice,
    GetDeviceLog,
    IssuedSecret,
    ListDevices,
    Proof,
    RemoveDevice,
    RemovePending,
    RenewSecret,
    SuspendDevice,
)
from shared.contracts.hubs import Presence
from shared.contracts.office import Password, SetPassword
from shared.contracts.terminals import OpenDoor, Order, OrderOutcome, TakeSnapshot, TerminalOrder
from shared.errors import Conflict, NotFound, Unavailable
from shared.runtime import read_settings
from shared.settings import Settings

BY = "command line"


class Installation(Settings):
    """A system that `rollcall up` did not start, such as compose's: there is one where $ROLLCALL_NATS_URL is set."""

    url: str = "http://127.0.0.1:8000"
    """a gateway's"""
    hub_url: str = "ws://127.0.0.1:8001"


def _installation() -> Installation | None:
    return read_settings("rollcall", Installation) if "ROLLCALL_NATS_URL" in os.environ else None


def need_running(data: Path) -> Running:
    """The installation that the environment names, else the system of this data folder. Raises CannotStart when none
    runs."""
    if there := _installation():
        return Running(pid=0, nats_url=there.nats_url, url=there.url, hub_url=there.hub_url)
    running = find_running(data)
    if running is None:
        raise CannotStart(f"No Rollcall is running on {data}; start it with `make up`, or name its folder with --data.")
    return running


@asynccontextmanager
async def bus_of(data: Path) -> AsyncIterator[Bus]:
    """The bus of the running system, as the command line's user. Raises CannotStart, BrokerUnreachable."""
    there = _installation()
    password = there.nats_password.get_secret_value() if there else None
    running = need_running(data)
    async with connect(running.nats_url, "cli", password or Keys.of(data).broker["cli"]) as bus:
        yield bus


async def set_password(data: Path, password: str) -> None:
    """Set or change the office password; everybody who is logged in is logged out."""
    async with bus_of(data) as bus:
        await bus.ask(SetPassword(password=Password(value=SecretStr(password)), first=False))
    click.echo("The office password is set; everybody has to log in again.")


async def add_device(data: Path, name: str, sn: str, proof: Proof) -> None:
    """Authorise a terminal, and print its secret once."""
    async with bus_of(data) as bus:
        issued = await bus.ask(AddDevice(name=name, sn=sn, proof=proof, by=BY))
    _tell(issued)


def _tell(issued: IssuedSecret) -> None:
    device, secret = issued.device, issued.secret.get_secret_value()
    click.echo(f"{device.name} (serial number {device.sn}) may connect.")
    if secret:
        click.echo(f"Secret: {secret}")
        click.echo("Put it into the terminal's configuration; it is shown this once.", err=True)
    elif device.proof is Proof.SERIAL:
        click.echo("Compatibility: whoever knows its name and serial number is taken for it.", err=True)


async def list_devices(data: Path) -> None:
    """Print all terminals, those that wait first, and which are connected now."""
    count = 0
    async with bus_of(data) as bus:
        async for page in _pages(bus):
            online = await _online(bus, page)
            for device in page:
                click.echo(_line(device, online))
            count += len(page)
    click.echo(f"{count} device(s)")


async def _online(bus: Bus, devices: Iterable[Device]) -> Mapping[int, Presence] | None:
    """Those that are connected, by id; None if it cannot be looked up. Only whom the office let in can be."""
    try:
        return await connected(bus, [device.device_id for device in devices if device.authorised])
    except Unavailable:
        return None


def _line(device: Device, online: Mapping[int, Presence] | None) -> str:
    if online is None:
        where = "connection unknown"
    elif device.device_id in online:
        where = f"online since {_moment(online[device.device_id].since)}"
    else:
        where = f"offline, seen {_moment(device.seen_at)}" if device.seen_at else "offline, never seen"
    more = [
        "serial number only" if device.proof is Proof.SERIAL else "",
        f"at {device.place}" if device.place else "",
        f"classes {', '.join(device.classes)}" if device.classes else "",
        f"clock {device.clock_offset_ms:+} ms" if device.clock_offset_ms is not None else "",
    ]
    said = "; ".join(filter(None, more))
    return f"{device.device_id:>5}  {device.state:10}  {device.sn:24}  {where:30}  {device.name}{said and f' ({said})'}"


def _moment(at: datetime) -> str:
    """In this machine's time zone."""
    return f"{at.astimezone():%Y-%m-%d %H:%M}"


async def authorise_device(data: Path, name: str, proof: Proof | None) -> None:
    """Let a terminal in that waits or was suspended; None: it proves itself as before."""
    async with bus_of(data) as bus:
        device = await find_by_name(bus, name)
        issued = await bus.ask(AuthoriseDevice(device_id=device.device_id, proof=proof, by=BY))
    _tell(issued)


async def suspend_device(data: Path, name: str) -> None:
    """Keep a terminal, but let it in no more; a live connection is cut."""
    async with bus_of(data) as bus:
        device = await find_by_name(bus, name)
        await bus.ask(SuspendDevice(device_id=device.device_id, by=BY))
    click.echo(f"{name} is suspended.")


async def edit_device(data: Path, name: str, changes: Mapping[str, Any]) -> None:
    """Change these fields of a terminal and of what is wished of it. Raises NotFound, Conflict, ValidationError."""
    async with bus_of(data) as bus:
        device = await find_by_name(bus, name)
        before = device.model_dump(include={"device_id", "name", "place", "classes", "tokens"})
        asked = EditDevice.model_validate(
            before
            | {key: value for key, value in changes.items() if key in before}
            | {"config": device.config.model_dump() | {k: v for k, v in changes.items() if k not in before}, "by": BY}
        )
        await bus.ask(asked)
    click.echo(f"{asked.name} is saved.")


async def print_log(data: Path, name: str, lines: int) -> None:
    """Print what was done to a terminal, newest first. Raises NotFound."""
    async with bus_of(data) as bus:
        device = await find_by_name(bus, name)
        log = await bus.ask(GetDeviceLog(device_id=device.device_id, limit=lines))
    for entry in log.entries:
        deed, done = deed_of(entry.action)
        detail = f"  {entry.detail}" if entry.detail else ""
        click.echo(f"{_moment(entry.at)}  {entry.by:14}  {deed}{'' if done else ', not done'}{detail}")


async def renew_secret(data: Path, name: str) -> None:
    """Give a terminal a new secret; the old one ends."""
    async with bus_of(data) as bus:
        device = await find_by_name(bus, name)
        issued = await bus.ask(RenewSecret(device_id=device.device_id, by=BY))
    _tell(issued)


async def _pages(bus: Bus) -> AsyncIterator[tuple[Device, ...]]:
    """All terminals, those that wait first."""
    offset = 0
    while page := (await bus.ask(ListDevices(offset=offset))).devices:
        yield page
        offset += len(page)


async def remove_device(data: Path, name: str) -> None:
    """Revoke a terminal; a live connection is cut."""
    async with bus_of(data) as bus:
        device = await find_by_name(bus, name)
        await bus.ask(RemoveDevice(device_id=device.device_id, by=BY))
    click.echo(f"{name} may no longer connect.")


async def remove_pending(data: Path) -> None:
    """Remove all terminals that wait to be let in."""
    async with bus_of(data) as bus:
        gone = await bus.ask(RemovePending(by=BY))
    click.echo(f"Removed {gone.count} device(s) that waited.")


async def open_door(data: Path, name: str, seconds: float | None, reason: str) -> None:
    """Let a connected terminal unlock its door; returns when it said that it did. Raises Conflict with its words if it
    could not; Gone if it is offline; Unavailable."""
    outcome = await _ordered(data, name, OpenDoor(seconds=seconds, reason=reason), "没有开门", "did not open")
    click.echo(f"{name}: the door is open. {outcome.detail}".rstrip())


async def tell(data: Path, name: str, wish: Callable[[], Order]) -> None:
    """Let a connected terminal do it; prints what it answered. Raises ValidationError, and as open_door does."""
    outcome = await _ordered(data, name, wish(), "没有执行", "did not do it")
    click.echo(f"{name}: done. {outcome.detail}".rstrip())


async def take_snapshot(data: Path, name: str, file: Path) -> None:
    """Write what a connected terminal's camera sees now into a file. Raises as open_door does."""
    outcome = await _ordered(data, name, TakeSnapshot(), "没有拍照", "took no picture")
    if not outcome.picture:
        raise Conflict(f"{name} 没有发来照片", f"{name} sent no picture")
    try:
        file.write_bytes(outcome.picture)
    except OSError as error:
        raise CannotStart(f"{file} cannot be written: {error.strerror}") from None
    click.echo(f"{file}: {len(outcome.picture)} bytes")


async def _ordered(data: Path, name: str, wish: Order, not_zh: str, not_en: str) -> OrderOutcome:
    async with bus_of(data) as bus:
        device = await find_by_name(bus, name)
        outcome = await order(bus, TerminalOrder(device_id=device.device_id, order=wish, by=BY))
    if not outcome.ok:
        said = f"{outcome.error} {outcome.detail}".strip()
        raise Conflict(f"{name} {not_zh}：{said}", f"{name} {not_en}: {said}")
    return outcome


async def find_by_name(bus: Bus, name: str) -> Device:
    """Raises NotFound."""
    found = [device for device in (await bus.ask(FindDevice(name=name, sn=""))).devices if device.name == name]
    if not found:
        raise NotFound(f"没有名为 {name} 的终端", f"there is no terminal named {name}")
    return found[0]


async def ensure_device(bus: Bus, name: str, sn: str) -> tuple[Device, str]:
    """The terminal of this name and serial number, authorised, and a new secret for it. Raises Conflict."""
    issued = await bus.ask(AddDevice(name=name, sn=sn, proof=Proof.SECRET, by=BY))
    return issued.device, issued.secret.get_secret_value()
