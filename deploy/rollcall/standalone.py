"""`rollcall standalone`: a terminal without any server, and how it joins one."""

import asyncio
import csv
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rollcall.terminal import ca_option, eye_options, key_file_of, run_program, secret_of, start_again

if TYPE_CHECKING:
    from terminal.admission import Identity, Server

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(context_settings={"auto_envvar_prefix": "ROLLCALL_STANDALONE"})
@click.option("--data", type=FOLDER, default=Path("terminal-data"), show_default=True, help="Where everything is kept.")
@click.option("--key-file", type=FILE, help="What opens the folder.  [default: the folder's name with .key, made anew]")
@click.pass_context
def standalone(context: click.Context, data: Path, key_file: Path | None) -> None:
    """One terminal without any server: register people, recognise them, keep their punches; join a server later.

    Faces and punches are kept sealed. Keep the key file on another disk, or at least out of backups of the folder:
    without it nothing can be read, by anybody.
    """
    context.obj = (data, key_file or key_file_of(data))


@contextmanager
def _box(context: click.Context) -> Iterator[Any]:
    """The open box; every expected failure is one sentence."""
    try:
        from shared.vision.weights import WeightError
        from terminal.sealing import CannotOpen
        from terminal.standalone import CannotRegister, open_box
    except ImportError as error:
        raise click.ClickException(f"{error.name} is not installed: pip install 'rollcall[standalone]'") from None
    data, key_file = context.obj
    try:
        with open_box(data, _key(key_file, data)) as box:
            yield box
    except (CannotOpen, CannotRegister, WeightError, OSError) as error:
        raise click.ClickException(str(error)) from None


def _key(file: Path, folder: Path) -> bytes:
    """The key file's content; made with the folder."""
    if not file.exists():
        if (folder / "key").exists():
            raise click.ClickException(f"{file} is missing: {folder} cannot be opened without it")
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
            made.write(os.urandom(32).hex())
    if not (key := file.read_bytes().strip()):
        raise click.ClickException(f"{file} is empty")
    return key


@standalone.command()
@click.argument("number")
@click.argument("name")
@click.argument("photo", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--class", "class_name", default="未分班", show_default=True)
@click.pass_context
def register(context: click.Context, number: str, name: str, photo: Path, class_name: str) -> None:
    """Register NAME with the student NUMBER from a PHOTO, with their consent. A running terminal knows them at once."""
    with _box(context) as box:
        from terminal.offline import load

        known = box.register(load(), photo.read_bytes(), number, name, class_name)
        click.echo(f"{known.name} ({known.num}) is registered")


@standalone.command("list")
@click.pass_context
def listed(context: click.Context) -> None:
    """Who is registered here."""
    with _box(context) as box:
        for known in sorted(box.own.people.values(), key=lambda known: (known.class_name, known.num)):
            click.echo(f"{known.num}\t{known.name}\t{known.class_name}")


@standalone.command()
@click.argument("number")
@click.pass_context
def remove(context: click.Context, number: str) -> None:
    """Forget whoever was registered with NUMBER: face and photo. Their punches stay."""
    with _box(context) as box:
        known = box.remove(number)
        if known is None:
            raise click.ClickException(f"nobody here has the number {number}")
        click.echo(f"{known.name} ({known.num}) is forgotten")


@standalone.command()
@click.option("--csv", "file", type=click.File("w", encoding="utf-8-sig", lazy=False), default="-", help="Into a file.")
@click.pass_context
def punches(context: click.Context, file: Any) -> None:
    """All punches that are kept here, oldest first, as CSV."""
    with _box(context) as box:
        writer = csv.writer(file)
        writer.writerow(("time", "number", "name", "score", "state", "problem"))
        for punch in box.punches.rows():
            at = punch.at.astimezone().isoformat(timespec="milliseconds")
            cells = (at, punch.num, punch.name, punch.score, punch.state.name.lower(), punch.error)
            writer.writerow([_harmless(cell) for cell in cells])


def _harmless(cell: object) -> object:
    """A name that begins with = is no formula of a spreadsheet."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t" and cell else cell


@standalone.command()
@click.option("--camera", required=True, help="As of `rollcall terminal`.")
@click.option("--relay", default="simulated:", show_default=True, help="What opens the door.")
@click.option("--light", default="", help="The fill light: an address like a relay's.")
@click.option("--card", "card", multiple=True, help="A card reader; may be repeated. A card's number is a student's.")
@click.option("--display", type=click.IntRange(0, 65_535), help="Serve a full-screen page on this port.")
@click.option("--loop/--no-loop", default=True, help="A film or folder begins again at its end.  [default: loop]")
@click.option("--gate/--no-gate", default=True, help="Look closer only while a face is there.  [default: gate]")
@eye_options
@click.pass_context
def run(
    context: click.Context,
    /,
    camera: str,
    relay: str,
    light: str,
    card: tuple[str, ...],
    display: int | None,
    loop: bool,
    gate: bool,
    **eye: Any,
) -> None:
    """Recognise whoever was registered, open the door, keep the punches; until Ctrl-C."""
    with _box(context) as box:
        from terminal.offline import EyeSettings
        from terminal.program import Fittings, run_door
        from terminal.standalone import by_itself

        fittings = Fittings(camera=camera, loop=loop, relay=relay, light=light, cards=card, display=display)

        async def watch(find: Any) -> bool:
            async with box.reserve(EyeSettings(**eye)) as reserve:
                return await run_door(context.obj[0].name, fittings, by_itself(reserve), click.echo, find)

        again = run_program(watch, fittings, gate=gate)
    if again:
        start_again()


@standalone.command()
@click.option("--server", default="http://127.0.0.1:8000", show_default=True, help="The gateway.")
@click.option("--name", required=True, help="As the office knows it, or shall know it.")
@click.option("--sn", required=True, help="Serial number.")
@click.option("--secret-file", type=FILE, help="File with the secret that `rollcall device add` printed.")
@ca_option
@click.pass_context
def join(context: click.Context, server: str, name: str, sn: str, secret_file: Path | None, ca: Path | None) -> None:
    """Bring everybody who was registered here to a server. Their punches follow, with their times, as soon as
    `rollcall terminal --offline FOLDER` runs. Whoever the server does not take stays here, with all punches: mend
    what is said, and join again.
    """
    with _box(context) as box:
        from terminal.admission import Identity, Server

        identity, address = Identity(name, sn, secret_of(secret_file)), Server(server.rstrip("/"), "", ca)
        refused = asyncio.run(_join(address, identity, box))
    click.echo(f"Go on with: rollcall terminal --name {name} --sn {sn} --offline {context.obj[0]} …")
    if refused:
        sys.exit(1)


async def _join(address: "Server", identity: "Identity", box: Any) -> int:
    """How many were not taken. Raises ClickException."""
    import httpx

    from terminal.admission import ANSWER_S, fetch_token
    from terminal.events import Ended
    from terminal.standalone import Joined, join

    def tell(joined: Joined) -> None:
        said = joined.problem or f"joined, {joined.released} punches will be sent"
        click.echo(f"{joined.name} ({joined.num}): {said}")

    try:
        async with httpx.AsyncClient(timeout=ANSWER_S, verify=address.trust, trust_env=False) as http:
            done, refused = await join(http, address.api, lambda: fetch_token(http, address, identity), box, tell)
    except Ended as error:
        raise click.ClickException(f"the server says: {error}") from None
    except httpx.HTTPError as error:
        raise click.ClickException(f"{address.api} does not answer: {error or type(error).__name__}") from None
    click.echo(f"{done} joined, {refused} did not")
    return refused
