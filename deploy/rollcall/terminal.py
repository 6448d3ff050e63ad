"""`rollcall terminal`: the program at the door, from options, the environment or one file."""

import asyncio
import logging
import os
import sys
import tomllib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from shared.vision.calibration import DEFAULT_FPIR

PREFIX = "ROLLCALL_TERMINAL"
EXAMPLE = """\b
A terminal with a camera, a Modbus relay and a screen:
    rollcall device add 东门 E-1          on the server: prints the secret
    rollcall terminal --name 东门 --sn E-1 --secret-file secret.txt \\
        --server http://10.0.0.2:8000 --camera 0 \\
        --relay 'modbus+tcp://10.0.0.9?unit=1&coil=0' --display 8080
    chromium --kiosk http://127.0.0.1:8080

\b
Try it without hardware: a folder of photos is the camera, the relay says what it does:
    rollcall terminal --name 东门 --sn E-1 --secret-file secret.txt --camera photos/

\b
Cameras   0, /dev/video0 · rtsp://… or http://… · a video file · a folder of pictures
Relays    simulated: · modbus+tcp://HOST:502?unit=1&coil=0
          modbus+rtu:///dev/ttyUSB0?baud=9600&unit=1&coil=0 · gpio:///dev/gpiochip0?line=17&active=low
          http://HOST/relay/0?turn={on|off} · post+http://…
Cards     serial:/dev/ttyUSB1?baud=9600 · stdin · tty:/dev/tty1 · fifo:/run/card
          (a reader that types into the page of --display needs no --card)

Every option may stand in the --config file under its name (secret-file = "…", card = ["stdin"]), or in the environment
(ROLLCALL_TERMINAL_SECRET_FILE). The secret itself is read from a file, or from ROLLCALL_TERMINAL_SECRET.
"""


def _read_config(context: click.Context, parameter: click.Parameter, file: Path | None) -> None:
    if file is None:
        return
    try:
        given = {name.replace("-", "_"): value for name, value in tomllib.loads(file.read_text("utf-8")).items()}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.BadParameter(f"{file}: {error}") from None
    known = {option.name for option in context.command.params} - {"config"}
    if unknown := sorted(given.keys() - known):
        raise click.BadParameter(f"{file}: there is no option {', '.join(unknown)}")
    context.default_map = given


def _read_authority(context: click.Context, parameter: click.Parameter, file: Path | None) -> Path | None:
    """Raises BadParameter now, rather than at every try to connect."""
    if file is not None:
        from terminal.trust import trusted

        try:
            trusted(file)
        except OSError as error:  # ssl.SSLError is one
            raise click.BadParameter(f"{file} is no certificate in PEM form: {error}") from None
    return file


ca_option = click.option(
    "--ca", type=click.Path(path_type=Path, dir_okay=False, exists=True), callback=_read_authority,
    help="Certificate of an authority to trust beside this machine's: a campus's own, in PEM form.",
)  # fmt: skip


def eye_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How this terminal recognises by itself; an EyeSettings takes what they give."""
    ours = "Only where this terminal recognises by itself: nobody tells it the server's, so set it as there"
    for option in (
        click.option(
            "--liveness-motion", type=click.Choice(["off", "refuse-fake", "require-live"]), default="off",
            show_default=True, help=f"What a face must show by its motion. {ours} (ROLLCALL_LIVENESS_MOTION).",
        ),
        click.option(
            "--liveness", type=click.Choice(["NONE", "LOW", "NORMAL", "HIGH"]), default="NONE", show_default=True,
            help=f"What a single picture must show of life. {ours} (ROLLCALL_LIVENESS).",
        ),
        click.option(
            "--fpir", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=DEFAULT_FPIR,
            show_default=True, help=f"Share of strangers that may be taken for somebody. {ours} (ROLLCALL_FPIR).",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command(epilog=EXAMPLE, context_settings={"auto_envvar_prefix": PREFIX})
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False, exists=True), is_eager=True, expose_value=False,
    callback=_read_config, help="TOML file with these options.",
)  # fmt: skip
@click.option("--name", required=True, help="As the office knows it, or shall know it.")
@click.option("--sn", required=True, help="Serial number.")
@click.option(
    "--secret-file", type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File with the secret that `rollcall device add` printed.",
)  # fmt: skip
@click.option("--server", default="http://127.0.0.1:8000", show_default=True, help="The gateway.")
@click.option("--hub", default="", help="The device-hub.  [default: ws://…, the server's port + 1]")
@ca_option
@click.option("--camera", default="", help="Without one: cards and orders only.")
@click.option("--loop/--no-loop", default=True, help="A film or folder begins again at its end.  [default: loop]")
@click.option(
    "--seconds-each", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Of a folder's pictures."
)
@click.option("--gate/--no-gate", default=True, help="Send pictures only while a face is there.  [default: gate]")
@click.option("--relay", default="simulated:", show_default=True, help="What opens the door.")
@click.option("--light", default="", help="The fill light: an address like a relay's.")
@click.option("--card", "card", multiple=True, help="A card reader; may be repeated.")
@click.option(
    "--display", type=click.IntRange(0, 65_535), help="Serve a full-screen page on this port, to this machine."
)
@click.option(
    "--offline", type=click.Path(path_type=Path, file_okay=False),
    help="Keep faces and punches in this folder, sealed, and recognise here while no server answers, or where the "
    "office configures it.",
)  # fmt: skip
@click.option(
    "--former-secret-file", type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The secret that --offline was sealed with, once after the office renewed it.",
)  # fmt: skip
@eye_options
def terminal(
    name: str,
    sn: str,
    secret_file: Path | None,
    server: str,
    hub: str,
    ca: Path | None,
    camera: str,
    loop: bool,
    seconds_each: float,
    gate: bool,
    relay: str,
    light: str,
    card: tuple[str, ...],
    display: int | None,
    offline: Path | None,
    former_secret_file: Path | None,
    **eye: Any,
) -> None:
    """The program at the door: camera, door, screen and cards of one terminal, with the server that recognises.

    It runs until Ctrl-C, connects again by itself, and locks the door when it ends.
    """
    try:
        from terminal.admission import Identity, Server
        from terminal.program import Fittings
    except ImportError as error:
        raise click.ClickException(f"{error.name} is not installed: pip install 'rollcall[terminal]'") from None
    fittings = Fittings(camera, loop, seconds_each, relay, light, card, display)
    identity = Identity(name, sn, secret_of(secret_file))
    address = Server(server.rstrip("/"), hub.rstrip("/") or _hub_beside(server), ca)

    async def run(find: Any) -> bool:
        from terminal.program import by_server, run_door

        if offline is None:
            return await run_door(name, fittings, by_server(identity, address), click.echo, find)
        from terminal.offline import EyeSettings
        from terminal.sealing import change_secret
        from terminal.standalone import open_box

        if former := secret_of(former_secret_file) if former_secret_file else "":
            change_secret(offline, former.encode(), key)

        with open_box(offline, key) as box:
            async with box.reserve(EyeSettings(**eye)) as reserve:
                return await run_door(name, fittings, by_server(identity, address, reserve), click.echo, find)

    key = _key_of(offline, identity.secret) if offline else b""
    if run_program(run, fittings, gate=gate):
        start_again()


def key_file_of(folder: Path) -> Path:
    """Where the key of a folder lies that a standalone terminal made."""
    return folder.with_name(f"{folder.name}.key")


def _key_of(folder: Path, secret: str) -> bytes:
    """What opens the folder: the key file beside it, else the terminal's secret. Raises ClickException."""
    if (file := key_file_of(folder)).exists():
        return file.read_bytes().strip()
    if not secret:
        raise click.ClickException("--offline needs the terminal's secret: it seals what is kept")
    return secret.encode()


def secret_of(file: Path | None) -> str:
    if file is None:
        return os.environ.get(f"{PREFIX}_SECRET", "")
    try:
        secret = file.read_text("utf-8").strip()
        readable_by_others = file.stat().st_mode & 0o077
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file}: {error}") from None
    if not secret:
        raise click.ClickException(f"{file} is empty; the secret belongs there")
    if readable_by_others:
        click.echo(f"Others can read {file}: chmod 600 {file}", err=True)
    return secret


def _hub_beside(server: str) -> str:
    """ws://host:8001 for http://host:8000. Raises ClickException."""
    parts = urlsplit(server)
    try:
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        port = 0
    if not parts.hostname or not port:
        raise click.ClickException(f"{server} is no address like http://10.0.0.2:8000")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme.replace('http', 'ws')}://{host}:{port + 1}"


def run_program(run: Callable[[Any], Coroutine[Any, Any, bool]], fittings: Any, *, gate: bool) -> bool:
    """Whether to start again. Every expected failure is one sentence and a non-zero exit."""
    from shared.vision.weights import WeightError
    from terminal.cards import ReaderError
    from terminal.gate import NoFaceFinder, open_face_finder
    from terminal.latch import SwitchError
    from terminal.relays import WrongAddress
    from terminal.sealing import CannotOpen

    for library in ("pymodbus", "websockets"):  # what matters of it is told in sentences
        logging.getLogger(library).setLevel(logging.CRITICAL)
    try:
        find = open_face_finder() if gate and fittings.camera else None
        return asyncio.run(run(find))
    except NoFaceFinder as error:
        raise click.ClickException(f"{error}. Or start with --no-gate: then all pictures are sent.") from None
    except ImportError as error:  # of what recognises here
        raise click.ClickException(f"{error.name} is not installed: pip install 'rollcall[terminal,vision]'") from None
    except (WrongAddress, SwitchError, ReaderError, CannotOpen, WeightError, OSError) as error:
        raise click.ClickException(str(error)) from None


def start_again() -> None:
    """This process becomes a new one of the same program, with the same arguments."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves
