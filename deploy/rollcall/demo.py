"""`rollcall demo`: sample people registered, their other photos and a stranger's played through three terminals."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import TextIO

import click
import httpx

from rollcall.keys import Keys
from rollcall.local import CannotStart, Options, free_port, local_system
from rollcall.office import bus_of, ensure_device
from rollcall.running import Running, find_running
from shared.sample_faces import PEOPLE, STRANGERS, NoPhotos, load
from shared.security import make_ticket
from terminal.admission import Identity, Server
from terminal.events import Channel, Punch, Result
from terminal.simulator import Photo, Sight, SimulatedTerminal

DOORS = ("东门 East", "图书馆 Library", "食堂 Canteen")
STUDENTS = {
    "Emmanuel Macron": ("demo_01", "一班", "MAN"),
    "Jacinda Ardern": ("demo_02", "一班", "WOMAN"),
    "Barack Obama": ("demo_03", "二班", "MAN"),
}
WALL_S = 12 * 3600
LONGEST_S = 120.0
LOOK_AT_WALL_S = 3.0
"""time to open the wall before the first face, in seconds"""


def sample_cache() -> Path:
    """Where the sample photos are kept: beside the models, so that they are fetched once."""
    return Path(sys.prefix) / "share" / "rollcall" / "faces"


@dataclass
class Tally:
    """What the terminals saw, by the name of the person who stood there."""

    recorded: dict[str, set[str]] = field(default_factory=dict)
    """person shown → names that were recorded or repeated"""
    refused: set[str] = field(default_factory=set)

    def mistakes(self) -> list[str]:
        """Sentences about everything that went wrong."""
        wrong = [
            f"{person} was taken for {', '.join(sorted(names - {person}))}"
            for person, names in self.recorded.items()
            if names - {person}
        ]
        return wrong + [f"{person} was not recognised" for person in PEOPLE if not self.recorded.get(person)]


async def demo(data: Path) -> None:
    """Against the system that runs on `data`, else against one of its own in a temporary folder.

    Raises CannotStart when it cannot run or when somebody was named wrongly or not at all.
    """
    click.echo("getting the sample photos (once)")
    try:
        photos = await asyncio.to_thread(load, sample_cache())
    except NoPhotos as error:
        raise CannotStart(str(error)) from None
    async with _a_system(data) as (running, folder):
        await _register(running, photos)
        _invite(running, folder)
        await asyncio.sleep(LOOK_AT_WALL_S)
        try:
            async with asyncio.timeout(LONGEST_S):
                tally = await _play(running, folder, photos)
        except TimeoutError:
            raise CannotStart(f"the terminals were not served within {LONGEST_S:.0f} s; see the system's log") from None
    if mistakes := tally.mistakes():
        raise CannotStart("; ".join(mistakes))
    click.secho("Everybody was recognised; no stranger was named.", fg="green")


@asynccontextmanager
async def _a_system(data: Path) -> AsyncIterator[tuple[Running, Path]]:
    running = find_running(data)
    if running is not None:
        click.echo(f"using the system at {running.url}")
        yield running, data
        return
    click.echo(f"nothing runs on {data}: starting a system of its own in a temporary folder")
    with tempfile.TemporaryDirectory(prefix="rollcall-demo-") as folder:
        options = Options(data=Path(folder), port=free_port(), hub_port=free_port())
        log = Path(folder) / "services.log"
        with log.open("a") as lines:
            async with local_system(options, lambda name, line: _log(lines, name, line), click.echo) as system:
                yield system.running, Path(folder)


def _log(lines: TextIO, name: str, line: str) -> None:
    lines.write(f"{name} {line}\n")


async def _register(running: Running, photos: dict[str, tuple[bytes, ...]]) -> None:
    """Through the web form, as a person would; whoever is registered already stays."""
    async with httpx.AsyncClient(base_url=running.url, timeout=20, trust_env=False) as web:
        for name, (num, class_name, gender) in STUDENTS.items():
            form = {"stu_name": name, "stu_class": class_name, "stu_num": num, "gender": gender, "consent": "yes"}
            answer = await web.post("/register", data=form, files={"photo": (f"{num}.jpg", photos[name][0])})
            click.echo(f"  {name}: {'registered' if answer.status_code == 303 else 'registered before'}")
            if answer.status_code >= 500:
                raise CannotStart(f"{name} could not be registered: HTTP {answer.status_code}")


def _invite(running: Running, folder: Path) -> None:
    ticket = make_ticket(Keys.of(folder).web, "wall", WALL_S)
    click.echo(f"\n  live: {running.url}/live?ticket={ticket}\n")


async def _play(running: Running, folder: Path, photos: dict[str, tuple[bytes, ...]]) -> Tally:
    """All three doors at once, each with its own share of the photos and a stranger in between."""
    tally, server = Tally(), Server(running.url, running.hub_url)
    async with bus_of(folder) as bus, asyncio.TaskGroup() as doors:
        for number, (door, share) in enumerate(zip(DOORS, _shares(photos), strict=True), start=1):
            device, secret = await ensure_device(bus, door, f"DEMO-{number:04}")
            terminal = SimulatedTerminal(Identity(device.name, device.sn, secret), server, share)
            doors.create_task(_watch(terminal, door, tally))
    return tally


def _shares(photos: dict[str, tuple[bytes, ...]]) -> list[list[Photo]]:
    """The photos that were not registered with, dealt out to the doors; every door also sees a stranger."""
    others = [Photo(person, jpeg) for person in PEOPLE for jpeg in photos[person][1:]]
    strangers = cycle(Photo(person, jpeg) for person in STRANGERS for jpeg in photos[person])
    shares = [others[number :: len(DOORS)] for number in range(len(DOORS))]
    return [[share[0], next(strangers), *share[1:]] for share in shares]


async def _watch(terminal: SimulatedTerminal, door: str, tally: Tally) -> None:
    seen: set[tuple[str, str]] = set()

    def tell(person: str, words: str) -> None:
        if (person, words) not in seen:
            seen.add((person, words))
            click.echo(f"  {door:16} {person:16} → {words}")

    async with terminal.playing() as sights:
        async for sight in sights:
            _note(sight, tally, tell)


def _note(sight: Sight, tally: Tally, tell: Callable[[str, str], None]) -> None:
    match sight.event:
        case Punch(channel=Channel.STREAM, name=name, state=state, at=at):
            shown = sight.label or name
            tally.recorded.setdefault(shown, set()).add(name)
            done = "已打卡 recorded" if state == "recorded" else "刚打过卡 clocked in already"
            tell(shown, f"{name}: {done} {at[11:19]}")
        case Result(channel=Channel.STREAM, faces=faces) if sight.label and any(f.verdict == "unknown" for f in faces):
            tally.refused.add(sight.label)
            tell(sight.label, "陌生人 unknown")
