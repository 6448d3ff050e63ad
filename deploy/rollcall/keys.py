"""Secrets of a local installation: made once, kept in the data folder, readable by its owner only."""

import os
import secrets
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.bus.topology import NEEDS


class DataFolderError(Exception):
    """The data folder cannot be used; the message is one sentence for the operator."""


def _passwords() -> dict[str, str]:
    return {service: secrets.token_hex(16) for service in NEEDS}


def _key() -> str:
    return secrets.token_hex(32)


class Keys(BaseModel):
    """`library` encrypts photos and embeddings: without it they cannot be read again, so it belongs in the backup."""

    model_config = ConfigDict(frozen=True)

    broker: dict[str, str] = Field(default_factory=_passwords)
    library: str = Field(default_factory=_key)
    web: str = Field(default_factory=_key)
    token: str = Field(default_factory=_key)

    @classmethod
    def of(cls, data: Path) -> Self:
        """The folder's keys, made at the first call. Raises DataFolderError."""
        path = data / "keys.json"
        try:
            keys = cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls._make(path)
        except (OSError, ValidationError) as error:
            raise DataFolderError(
                f"{path} cannot be read ({type(error).__name__}): restore it from a backup."
            ) from None
        return keys if keys.broker.keys() >= NEEDS.keys() else keys._with_new_services(path)

    def _with_new_services(self, path: Path) -> Self:
        """The folder is of a version that had fewer."""
        keys = self.model_copy(update={"broker": _passwords() | self.broker})
        write_private(path, keys.model_dump_json(indent=2))
        return keys

    @classmethod
    def _make(cls, path: Path) -> Self:
        keys = cls()
        write_private(path, keys.model_dump_json(indent=2))
        return keys


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    beside.replace(path)


def open_folder(data: Path) -> Path:
    """The data folder, made if need be, absolute. Raises DataFolderError when it cannot be written."""
    try:
        data = data.expanduser().absolute()
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = data / ".write-test"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise DataFolderError(f"The data folder {data} cannot be written: {error.strerror or error}.") from None
    return data
