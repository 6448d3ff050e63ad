"""`rollcall device`, `rollcall mqtt` and `rollcall key`: who may connect to a system, and who no more."""

from pathlib import Path

import click

from rollcall.command import DATA, run, run_now
from rollcall.mqtt import May
from shared.contracts.devices import Proof

SERIAL_ONLY = click.option(
    "--serial-only", is_flag=True, help="Compatibility: believe whoever knows its name and serial number."
)


INSTALLATION = click.option(
    "--secrets",
    type=click.Path(path_type=Path, file_okay=False),
    help="Instead of --data: the secrets' folder of an installation that containers run.",
)


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


@device.command("list")
@DATA
def device_list(data: Path) -> None:
    """List all terminals."""
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
