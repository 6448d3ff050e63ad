"""Commands that move face libraries: out of and into files, out of Baidu's cloud and beside it, to another model."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import SecretStr

from rollcall.command import DATA, SHORTEST_PASSWORD, run

if TYPE_CHECKING:
    from shared.baidu.client import CloudSettings


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


@click.command()
@DATA
def reembed(data: Path) -> None:
    """Measure registered photos again after an upgrade changed the face model.

    `rollcall up` does this by itself in the background. Safe to interrupt, and to run again.
    """
    from rollcall.reembed import reembed as run_reembed

    run(run_reembed(data))


@click.group()
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


@click.command("import-baidu")
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


@click.command("export")
@DATA
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--app", default="default", show_default=True, help="The app whose library it is.")
@click.option("--plain", is_flag=True, help="Do not seal the file. Faces and photos can then be read by anybody.")
@PASSPHRASE_STDIN
def export(data: Path, file: Path, app: str, plain: bool, passphrase_stdin: bool) -> None:
    """Write a whole face library into FILE, sealed under a passphrase."""
    from rollcall.moving import export as run_export

    run(run_export(data, file, app, None if plain else _passphrase(passphrase_stdin, confirm=True)))


@click.command("import")
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
