"""The command line."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import SecretStr, ValidationError

from rollcall.broker import BrokerError
from rollcall.keys import DataFolderError
from rollcall.local import CannotStart, Options
from rollcall.mqtt import May, MqttOptions
from rollcall.standalone import standalone
from rollcall.terminal import terminal
from shared.bus import BrokerUnreachable
from shared.errors import RollcallError

if TYPE_CHECKING:
    from shared.baidu.client import CloudSettings

DATA = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), default=Path("data"), show_default=True,
    help="Folder for everything that is kept.",
)  # fmt: skip
SERIAL_ONLY = click.option(
    "--serial-only", is_flag=True, help="Compatibility: believe whoever knows its name and serial number."
)
EXISTING_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
SHORTEST_PASSWORD = 8


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end; every expected failure is one sentence and a non-zero exit."""
    try:
        asyncio.run(work)
    except (CannotStart, DataFolderError, BrokerError, BrokerUnreachable) as error:
        raise click.ClickException(str(error)) from None
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors(include_url=False))
        raise click.ClickException(problems) from None
    except RollcallError as error:
        raise click.ClickException(f"{error.en} ({error.zh})") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def run_now(work: Callable[[], None]) -> None:
    """As `run`, for what waits for nobody."""

    async def soon() -> None:
        work()

    run(soon())


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="rollcall")
def main() -> None:
    """Rollcall 人脸打卡: register once, be recognised by any camera, never lose a punch."""


@main.command()
@DATA
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65534), default=8000, show_default=True, help="Web port.")
@click.option("--hub-port", type=click.IntRange(0, 65535), default=0, help="Terminals' port.  [default: port + 1]")
@click.option("--recognizers", type=click.IntRange(1, 256), help="Processes.  [default: one per core less one]")
@click.option(
    "--hubs",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that hold the terminals, 18,000 each, behind one address.",
)
@click.option("--database", default="", help="mysql://user:password@host/name  [default: SQLite in --data]")
@click.option(
    "--mqtt",
    type=click.IntRange(1, 65535),
    is_flag=False,
    flag_value=1883,
    help="Let third parties in by MQTT, on this port.  [off; without a number: 1883]",
)
@click.option("--mqtt-host", default="127.0.0.1", show_default=True, help="Another one needs a certificate.")
@click.option("--mqtt-cert", type=EXISTING_FILE, help="Certificate for TLS, PEM.")
@click.option("--mqtt-key", type=EXISTING_FILE, help="Its private key, PEM.")
@click.option("--mqtt-names", type=bool, default=True, help="`no`: numbers without names.  [default: yes]")
@click.option(
    "--home-assistant", default="", help="The MQTT client that is a Home Assistant: announce terminals to it."
)
@click.option("--home-assistant-prefix", default="homeassistant", show_default=True, help="Of its discovery topics.")
def up(
    data: Path,
    host: str,
    port: int,
    hub_port: int,
    recognizers: int | None,
    hubs: int,
    database: str,
    mqtt: int | None,
    mqtt_host: str,
    mqtt_cert: Path | None,
    mqtt_key: Path | None,
    mqtt_names: bool,
    home_assistant: str,
    home_assistant_prefix: str,
) -> None:
    """Run the whole system on this machine until Ctrl-C."""
    from rollcall.up import up as run_up

    if mqtt is None and home_assistant:
        raise click.UsageError("--home-assistant needs --mqtt.")
    third_parties = None
    if mqtt is not None:
        third_parties = MqttOptions(
            host=mqtt_host,
            port=mqtt,
            cert=mqtt_cert,
            key=mqtt_key,
            names=mqtt_names,
            home_assistant=home_assistant,
            discovery=home_assistant_prefix,
        )
    run(run_up(Options(data, host, port, hub_port, recognizers or 0, hubs, database, third_parties)))


@main.command("secrets")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def make_secrets(folder: Path) -> None:
    """Make the secrets of an installation in FOLDER, one a file, and the broker's configuration.

    Secrets that are there already stay. After an upgrade, run it again: the services' rights may have changed.
    """
    from rollcall.installation import write_secrets

    try:
        write_secrets(folder)
    except DataFolderError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"The secrets are in {folder}. Keep a copy of them in a safe place: library_key decrypts the photos.")


@main.command()
@DATA
def demo(data: Path) -> None:
    """Show Rollcall with sample people, no camera needed."""
    from rollcall.demo import demo as run_demo

    run(run_demo(data))


@main.command()
@DATA
@click.option("--url", "urls", multiple=True, help="A process's operators' address, http://host:port; repeat it.")
@click.option("--interval", type=click.FloatRange(0.2, 3_600), default=2, show_default=True, help="Seconds.")
@click.option("--once", is_flag=True, help="Watch for one interval, print, and end.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def top(data: Path, urls: tuple[str, ...], interval: float, once: bool, as_json: bool) -> None:
    """Show what a running system does, live; through a pipe, one picture after another."""
    from rollcall.top import top as run_top

    run(run_top(data, urls, interval, once=once, as_json=as_json))


@main.command()
@DATA
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
def admin(data: Path, password_stdin: bool) -> None:
    """Set the office password of a running system."""
    from rollcall.office import set_password

    password = sys.stdin.readline().rstrip("\n") if password_stdin else _ask_password()
    if len(password) < SHORTEST_PASSWORD:
        raise click.ClickException(f"A password has at least {SHORTEST_PASSWORD} characters.")
    run(set_password(data, password))


def _ask_password() -> str:
    return str(click.prompt("New password", hide_input=True, confirmation_prompt=True))


@main.command()
@DATA
@click.option("--terminals", type=click.IntRange(1, 100_000), default=1_000, show_default=True)
@click.option("--seconds", type=click.FloatRange(0), default=60, show_default=True, help="How long to hold them.")
@click.option("--processes", type=click.IntRange(1, 64), help="[default: as few as the limit of open files allows]")
@click.option("--ramp", type=click.FloatRange(0), default=0, help="Seconds over which they come.  [default: at once]")
@click.option("--pushes", type=click.FloatRange(0), default=0, help="Results pushed to them a second, to measure.")
@click.option("--orders", type=click.FloatRange(0), default=0, help="Doors opened a second, meanwhile.")
@click.option("--fps", type=click.FloatRange(0), default=0, help="Frames a second in all, of sample photos.")
@click.option("--broadcast", is_flag=True, help="Then change the configuration of all, and watch them take it over.")
@click.option("--storm", is_flag=True, help="Then kill -9 every hub process of the system, and watch all come back.")
@click.option("--keep", is_flag=True, help="Leave the terminals registered.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write table, plot and JSON here.")
def fleet(
    data: Path,
    terminals: int,
    seconds: float,
    processes: int | None,
    ramp: float,
    pushes: float,
    orders: float,
    fps: float,
    broadcast: bool,
    storm: bool,
    keep: bool,
    out: Path | None,
) -> None:
    """Connect simulated terminals by the thousand to a running system, and measure it."""
    from rollcall.fleet import FleetOptions
    from rollcall.fleet import fleet as run_fleet

    options = FleetOptions(
        terminals,
        seconds,
        processes or 0,
        ramp,
        pushes,
        orders,
        fps,
        broadcast=broadcast,
        storm=storm,
        keep=keep,
        out=out,
    )
    run(run_fleet(data, options))


@main.command("eval")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write the report and plots here.")
@click.option("--flip", is_flag=True, help="Embed the mirrored face as well.")
def evaluate(folder: Path, out: Path | None, flip: bool) -> None:
    """Measure the error rates on FOLDER, which holds one folder of photos for each person.

    Or, for the liveness check, a folder live/ of genuine faces and one for each kind of attack: print/, screen/ …
    """
    from rollcall.evaluate import evaluate as run_evaluate

    run_evaluate(folder, out, flip=flip)


@main.group()
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

    run(add_device(data, name, serial_number, serial_only=serial_only))


@device.command("authorise")
@DATA
@SERIAL_ONLY
@click.argument("name")
def device_authorise(data: Path, name: str, serial_only: bool) -> None:
    """Let in the terminal NAME, which announced itself or was suspended."""
    from rollcall.office import authorise_device

    run(authorise_device(data, name, serial_only=serial_only))


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
@click.argument("name")
def device_remove(data: Path, name: str) -> None:
    """Revoke the terminal NAME."""
    from rollcall.office import remove_device

    run(remove_device(data, name))


@main.group()
def mqtt() -> None:
    """Let third parties in by MQTT (`rollcall up --mqtt`), list them, shut them out; the system may be running."""


@mqtt.command("add")
@DATA
@click.option(
    "--may",
    type=click.Choice(tuple(map(str, May))),
    default="read",
    show_default=True,
    help="`command`: open doors too.",
)
@click.argument("name")
def mqtt_add(data: Path, name: str, may: str) -> None:
    """Let the client NAME in, and print its password."""
    from rollcall.mqtt_clients import add_client

    run_now(lambda: add_client(data, name, May(may)))


@mqtt.command("list")
@DATA
def mqtt_list(data: Path) -> None:
    """List the clients that may connect."""
    from rollcall.mqtt_clients import list_clients

    run_now(lambda: list_clients(data))


@mqtt.command("remove")
@DATA
@click.argument("name")
def mqtt_remove(data: Path, name: str) -> None:
    """Let the client NAME in no more; its connection is cut."""
    from rollcall.mqtt_clients import remove_client

    run_now(lambda: remove_client(data, name))


@main.group()
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


def _cloud_options(command: Callable[..., None]) -> Callable[..., None]:
    """Whose library in Baidu's cloud; the keys are never shown, and asked for if they are not given."""
    for option in (
        click.option("--qps", type=click.FloatRange(0.1, 1_000), default=2.0, show_default=True,
                     help="Calls per second of each interface."),
        click.option("--url", envvar="ROLLCALL_BAIDU_URL", default="https://aip.baidubce.com", show_default=True),
        click.option("--secret-key", envvar="ROLLCALL_BAIDU_SECRET_KEY", prompt="Secret Key", hide_input=True,
                     help="Better in ROLLCALL_BAIDU_SECRET_KEY, or typed when asked."),
        click.option("--api-key", envvar="ROLLCALL_BAIDU_API_KEY", prompt="API Key", hide_input=True),
    ):  # fmt: skip
        command = option(command)
    return command


def _cloud(api_key: str, secret_key: str, url: str, qps: float) -> "CloudSettings":
    from shared.baidu.client import CloudSettings

    return CloudSettings(api_key=SecretStr(api_key), secret_key=SecretStr(secret_key), url=url, qps=qps)


@main.command()
@DATA
def reembed(data: Path) -> None:
    """Measure registered photos again after an upgrade changed the face model.

    `rollcall up` does this by itself in the background. Safe to interrupt, and to run again.
    """
    from rollcall.reembed import reembed as run_reembed

    run(run_reembed(data))


@main.group()
def baidu() -> None:
    """The students' copy in Baidu's cloud."""


@baidu.command("reconcile")
@DATA
@_cloud_options
@click.option("--group", envvar="ROLLCALL_BAIDU_GROUP", default="students", show_default=True, help="The cloud's.")
@click.option("--apply", is_flag=True, help="Make the cloud equal to the registry. Without it nothing is changed.")
@click.option("--upload", is_flag=True, help="Also send photos that were never there: their owners must have agreed.")
@click.option("--foreign", is_flag=True, help="Also change and delete users there that Rollcall did not make.")
def baidu_reconcile(
    data: Path,
    api_key: str,
    secret_key: str,
    url: str,
    qps: float,
    group: str,
    apply: bool,
    upload: bool,
    foreign: bool,
) -> None:
    """List where the cloud and the registry differ."""
    from rollcall.baidu import Options, reconcile

    run(reconcile(data, _cloud(api_key, secret_key, url, qps), Options(group, apply, upload, foreign)))


@main.command("import-baidu")
@DATA
@_cloud_options
@click.option("--group", "groups", multiple=True, help="A group to move; may be repeated.  [default: all]")
@click.option("--app", default="default", show_default=True, help="The app of ours to move into.")
@click.option(
    "--photos",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Photos: FOLDER/user_id.jpg or FOLDER/user_id/*.jpg",
)
@click.option(
    "--students",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="CSV with user_id, name, class, gender: they are registered as students.",
)
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write what became of each as CSV.")
def import_baidu(
    data: Path, api_key: str, secret_key: str, url: str, qps: float, groups: tuple[str, ...], app: str,
    photos: Path | None, students: Path | None, report: Path | None,
) -> None:  # fmt: skip
    """Move groups, users and infos out of Baidu's cloud, and faces where photos are at hand."""
    from rollcall.moving import FromBaidu
    from rollcall.moving import import_baidu as run_import

    asked = FromBaidu(_cloud(api_key, secret_key, url, qps), groups, app, photos, students, report)
    run(run_import(data, asked))


PASSPHRASE_STDIN = click.option("--passphrase-stdin", is_flag=True, help="Read it from standard input.")


@main.command("export")
@DATA
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--app", default="default", show_default=True, help="The app whose library it is.")
@click.option("--plain", is_flag=True, help="Do not seal the file. Faces and photos can then be read by anybody.")
@PASSPHRASE_STDIN
def export(data: Path, file: Path, app: str, plain: bool, passphrase_stdin: bool) -> None:
    """Write a whole face library into FILE, sealed under a passphrase."""
    from rollcall.moving import export as run_export

    run(run_export(data, file, app, None if plain else _passphrase(passphrase_stdin, confirm=True)))


@main.command("import")
@DATA
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--app", default="default", show_default=True, help="The app to take it into.")
@PASSPHRASE_STDIN
def import_(data: Path, file: Path, app: str, passphrase_stdin: bool) -> None:
    """Take in a FILE of `rollcall export`. What is there already stays; to begin again is safe."""
    from rollcall.moving import import_file

    run(import_file(data, file, app, lambda: _passphrase(passphrase_stdin, confirm=False)))


def _passphrase(from_stdin: bool, *, confirm: bool) -> str:
    if from_stdin:
        given = sys.stdin.readline().rstrip("\n")
    else:
        given = str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm))
    if len(given) < SHORTEST_PASSWORD:
        raise click.ClickException(f"A passphrase has at least {SHORTEST_PASSWORD} characters.")
    return given


main.add_command(terminal)
main.add_command(standalone)


if __name__ == "__main__":
    main()
