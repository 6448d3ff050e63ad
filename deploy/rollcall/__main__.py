"""The command line."""

import sys
from pathlib import Path

import click

from rollcall.access import device, key, mqtt
from rollcall.command import DATA, SHORTEST_PASSWORD, run, run_now
from rollcall.libraries import baidu, export, import_, import_baidu, reembed
from rollcall.local import Options
from rollcall.mqtt import MqttOptions
from rollcall.standalone import standalone
from rollcall.terminal import terminal

EXISTING_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


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
@click.option(
    "--home-assistant",
    help='The MQTT client that is a Home Assistant; "" for none.  [default: as it was, at first none]',
)
def make_secrets(folder: Path, home_assistant: str | None) -> None:
    """Make the secrets of an installation in FOLDER, one a file, and the brokers' configuration.

    Secrets that are there already stay. After an upgrade, run it again: the services' rights may have changed.
    """
    from rollcall.installation import write_secrets

    run_now(lambda: write_secrets(folder, home_assistant))
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


for command in (device, mqtt, key, baidu, reembed, import_baidu, export, import_, terminal, standalone):
    main.add_command(command)


if __name__ == "__main__":
    main()
