"""Which weights exist, where they lie, and whether they are the right ones.

Nothing is downloaded here: `make models` (shared/vision/fetch.py) does that once, at install time.
"""

import hashlib
import os
import sys
import tempfile
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Self

FETCH_COMMAND = "make models"


class WeightError(Exception):
    """A weight cannot be used. The message names the file and what to do."""


class MissingWeight(WeightError):
    """The file is not there."""


class AlteredWeight(WeightError):
    """The file is there, but its checksum is not the one in models.toml."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One entry of models.toml."""

    name: str
    wheel: str
    version: str
    path: str
    sha256: str
    licence: str
    purpose: str
    prepared_sha256: str | None = None

    @property
    def file_name(self) -> str:
        """The original, as it lies in the models folder."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def prepared_name(self) -> str:
        """The f32 twin; the checksum of its source is in the name, so a new source never meets an old twin."""
        stem, suffix = self.file_name.rsplit(".", 1)
        return f"{stem}.f32-{self.sha256[:12]}.{suffix}"

    @property
    def runtime_file(self) -> tuple[str, str]:
        """(file name, sha256) of what the engine really reads."""
        if self.prepared_sha256 is None:
            return self.file_name, self.sha256
        return self.prepared_name, self.prepared_sha256


def catalogue() -> dict[str, ModelSpec]:
    """Every model of models.toml by name."""
    text = resources.files(__package__).joinpath("models.toml").read_text(encoding="utf-8")
    return {entry["name"]: ModelSpec(**entry) for entry in tomllib.loads(text)["model"]}


def models_dir() -> Path:
    """$ROLLCALL_MODELS, or share/rollcall/models of this Python environment."""
    chosen = os.environ.get("ROLLCALL_MODELS")
    return Path(chosen) if chosen else Path(sys.prefix) / "share" / "rollcall" / "models"


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_right(path: Path, sha256: str) -> bool:
    """True if the file exists with exactly this content."""
    return path.is_file() and sha256_of(path) == sha256


def write_whole(path: Path, data: bytes) -> None:
    """Writes all or nothing: a crash leaves at most a temporary file, never half a weight under the real name."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@dataclass(frozen=True, slots=True)
class Weights:
    """The models folder of this process. `find` checks each file once, when it is asked for."""

    folder: Path
    specs: dict[str, ModelSpec] = field(default_factory=catalogue)

    @classmethod
    def load(cls, folder: Path | None = None) -> Self:
        """Opens a folder (default: `models_dir()`). Raises MissingWeight if there is no such folder."""
        where = folder or models_dir()
        if not where.is_dir():
            raise MissingWeight(f"The models folder {where} does not exist. Get the weights with: {FETCH_COMMAND}")
        return cls(where)

    def find(self, name: str) -> Path:
        """Path of the file that the engine reads, checked. Raises KeyError, MissingWeight or AlteredWeight."""
        spec = self.specs[name]
        file_name, sha256 = spec.runtime_file
        path = self.folder / file_name
        if spec.prepared_sha256 is not None and not path.is_file():
            self._prepare(spec)
        return _checked(path, sha256)

    def _prepare(self, spec: ModelSpec) -> None:
        # Normally done at install time; here only for who copied the original files by hand.
        from shared.vision.prepare import prepare

        prepare(spec, self.folder)


def _checked(path: Path, sha256: str) -> Path:
    if not path.is_file():
        raise MissingWeight(f"The weight {path} is missing. Get it with: {FETCH_COMMAND}")
    if sha256_of(path) != sha256:
        raise AlteredWeight(f"The weight {path} is damaged or altered. Delete it and run: {FETCH_COMMAND}")
    return path
