"""`rollcall device`, `rollcall mqtt` and `rollcall key`: who may connect to a system, and who no more."""

from enum import StrEnum
from pathlib import Path
from typing import Any

import click

from rollcall.command import DATA, run, run_now
from rollcall.mqtt import May
from shared.contracts.devices import DeviceMode, FillLight, Proof, TokenUse
from shared.contracts.terminals import ReloadConfig, Restart, ShowMessage, UpdateFaces

SERIAL_ONLY = click.option(
    "--serial-only", is_flag=True, help="Compatibility: believe whoever knows its name and serial number."
)


INSTALLATION = click.option(
    "--secrets",
    type=click.Path(path_type=Path, file_okay=False),
    help="Instead of --data: the secrets' folder of an installation that containers run.",
)


def _one_of(words: type[StrEnum]) -> click.Choice[str]:
    return click.Choice(tuple(map(str, words)))


@click.group()
def device() -> None:
    """Authorise, list and revoke terminals of a running system."""


@device.command("add")
@DATA
@SERIAL_ONLY
@click.argument("name")
@click.argument("serial_number")
def device_add(data: Path, name: str, serial_number: str, serial_only: bool) -> None:
    """Authorise the terminal NAME with SERIAL_NUMBER, and print its secret; NAME is also the place of its punches."""
    from rollcall.office import add_device

    run(add_device(data, name, serial_number, Proof.SERIAL if serial_only else Proof.SECRET))


@device.command("authorise")
@DATA
@click.option(
    "--secret/--serial-only",
    "by_secret",
    default=None,
    help="By a secret, or believe whoever knows its name and serial number.  [default: as before, at first a secret]",
)
@click.argument("name")
def device_authorise(data: Path, name: str, by_secret: bool | None) -> None:
    """Let in the terminal NAME, which announced itself or was suspended."""
    from rollcall.office import authorise_device

    proof = None if by_secret is None else Proof.SECRET if by_secret else Proof.SERIAL
    run(authorise_device(data, name, proof))


@device.command("suspend")
@DATA
@click.argument("name")
def device_suspend(data: Path, name: str) -> None:
    """Keep the terminal NAME, but let it in no more."""
    from rollcall.office import suspend_device

    run(suspend_device(data, name))


@device.command("secret")
@DATA
@click.argument("name")
def device_secret(data: Path, name: str) -> None:
    """Give the terminal NAME a new secret."""
    from rollcall.office import renew_secret

    run(renew_secret(data, name))


@device.command("open")
@DATA
@click.option("--seconds", type=click.FloatRange(0.1, 60), help="Unlocked for so long.  [default: as configured]")
@click.option("--reason", default="", help="For the terminal's log.")
@click.argument("name")
def device_open(data: Path, name: str, seconds: float | None, reason: str) -> None:
    """Open the door of the terminal NAME now; an error at once if it is offline."""
    from rollcall.office import open_door

    run(open_door(data, name, seconds, reason))


@device.command("snapshot")
@DATA
@click.option("-o", "--out", "file", type=click.Path(path_type=Path, dir_okay=False), required=True, help="JPEG file.")
@click.argument("name")
def device_snapshot(data: Path, name: str, file: Path) -> None:
    """Write what the camera of the terminal NAME sees now into a file; the server keeps nothing of it."""
    from rollcall.office import take_snapshot

    run(take_snapshot(data, name, file))


@device.command("message")
@DATA
@click.option("--seconds", type=click.FloatRange(1, 3_600), default=10, show_default=True, help="Shown for so long.")
@click.argument("name")
@click.argument("text")
def device_message(data: Path, name: str, text: str, seconds: float) -> None:
    """Show TEXT on the display of the terminal NAME now."""
    from rollcall.office import tell

    run(tell(data, name, lambda: ShowMessage(zh=text, en=text, seconds=seconds)))


@device.command("faces")
@DATA
@click.argument("name")
def device_faces(data: Path, name: str) -> None:
    """Let the terminal NAME fetch the changes of the face library now."""
    from rollcall.office import tell

    run(tell(data, name, UpdateFaces))


@device.command("reload")
@DATA
@click.argument("name")
def device_reload(data: Path, name: str) -> None:
    """Let the terminal NAME take its configuration over again."""
    from rollcall.office import tell

    run(tell(data, name, ReloadConfig))


@device.command("restart")
@DATA
@click.argument("name")
def device_restart(data: Path, name: str) -> None:
    """Let the terminal NAME end its program and start it again."""
    from rollcall.office import tell

    run(tell(data, name, Restart))


@device.command("edit")
@DATA
@click.option("--name", "new_name", help="Another name.")
@click.option("--place", help='Where its punches are made.  ["": at its name]')
@click.option("--class", "classes", multiple=True, help='Whose faces it needs; repeat it.  ["": everybody\'s]')
@click.option("--tokens", type=_one_of(TokenUse), help="How often a token counts.")
@click.option("--mode", type=_one_of(DeviceMode), help="Who recognises: the server, or the terminal.")
@click.option("--open-ms", type=int, help="The door stays unlocked for so many milliseconds.")
@click.option("--fill-light", type=_one_of(FillLight), help="When the lamp burns.")
@click.option("--volume", type=int, help="0 to 100.")
@click.option("--greeting", help="Shown beside the name.")
@click.argument("name")
def device_edit(data: Path, name: str, new_name: str | None, classes: tuple[str, ...], **wishes: Any) -> None:
    """Change what is said here of the terminal NAME; the rest stays."""
    from rollcall.office import edit_device

    given = wishes | {"name": new_name, "classes": tuple(filter(None, classes)) if classes else None}
    changes = {key: value for key, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError("Say what to change; see --help.")
    run(edit_device(data, name, changes))


@device.command("log")
@DATA
@click.option("-n", "--lines", type=click.IntRange(1, 1_000), default=50, show_default=True, help="The newest so many.")
@click.argument("name")
def device_log(data: Path, name: str, lines: int) -> None:
    """Print what was done to the terminal NAME, newest first."""
    from rollcall.office import print_log

    run(print_log(data, name, lines))


@device.command("list")
@DATA
def device_list(data: Path) -> None:
    """List all terminals, and which are online now."""
    from rollcall.office import list_devices

    run(list_devices(data))


@device.command("remove")
@DATA
@click.option("--pending", is_flag=True, help="Instead of NAME: all that wait to be let in.")
@click.argument("name", required=False)
def device_remove(data: Path, name: str | None, pending: bool) -> None:
    """Revoke the terminal NAME."""
    from rollcall.office import remove_device, remove_pending

    if pending is (name is not None):
        raise click.UsageError("Say either NAME or --pending.")
    run(remove_pending(data) if name is None else remove_device(data, name))


@click.group()
def mqtt() -> None:
    """Let third parties in by MQTT (`rollcall up --mqtt`, or the containers of the profile `mqtt`), list them, shut
    them out; the system may be running."""


@mqtt.command("add")
@DATA
@INSTALLATION
@click.option(
    "--may",
    type=click.Choice(tuple(map(str, May))),
    default="read",
    show_default=True,
    help="`command`: open doors too.",
)
@click.argument("name")
def mqtt_add(data: Path, secrets: Path | None, name: str, may: str) -> None:
    """Let the client NAME in, and print its password."""
    from rollcall.mqtt_clients import add_client

    run_now(lambda: add_client(secrets or data, name, May(may), containers=secrets is not None))


@mqtt.command("list")
@DATA
@INSTALLATION
def mqtt_list(data: Path, secrets: Path | None) -> None:
    """List the clients that may connect."""
    from rollcall.mqtt_clients import list_clients

    run_now(lambda: list_clients(secrets or data, containers=secrets is not None))


@mqtt.command("remove")
@DATA
@INSTALLATION
@click.argument("name")
def mqtt_remove(data: Path, secrets: Path | None, name: str) -> None:
    """Let the client NAME in no more; its connection is cut."""
    from rollcall.mqtt_clients import remove_client

    run_now(lambda: remove_client(secrets or data, name, containers=secrets is not None))


@click.group()
def key() -> None:
    """Make, list and revoke keys of the face API (Baidu-compatible) of a running system."""


@key.command("create")
@DATA
@click.option("--name", required=True, help="The app: a face library of its own; `default` is the school's.")
@click.option("--qps", type=click.FloatRange(0, 100_000), help="Calls a second of this app, 0 for no limit.")
@click.option("--json", "as_json", is_flag=True, help='Print {"api_key", "secret_key"} only.')
def key_create(data: Path, name: str, qps: float | None, as_json: bool) -> None:
    """Make a key; the app is made if it is not there. The secret is shown once."""
    from rollcall.api_keys import create_key

    run(create_key(data, name, qps, as_json=as_json))


@key.command("list")
@DATA
def key_list(data: Path) -> None:
    """List the keys that hold."""
    from rollcall.api_keys import list_keys

    run(list_keys(data))


@key.command("revoke")
@DATA
@click.argument("api_key")
def key_revoke(data: Path, api_key: str) -> None:
    """Revoke API_KEY; tokens made with it end within a moment."""
    from rollcall.api_keys import revoke_key

    run(revoke_key(data, api_key))
