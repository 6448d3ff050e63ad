"""Where the system of a data folder runs: a lock while it does, and a note for the other commands."""

import fcntl
import os
import signal
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from rollcall.keys import DataFolderError, write_private
from rollcall.mqtt import MqttOptions

ORPHAN_S = 5.0


class Running(BaseModel):
    """Written when all services are ready, removed at the end. Ports are on loopback unless `host` says otherwise."""

    model_config = ConfigDict(frozen=True)

    pid: int
    broker_pid: int
    nats_url: str
    url: str
    hub_url: str
    mqtt: MqttOptions | None = None
    """None: it does not listen for MQTT"""
    admin_urls: dict[str, str] = {}
    """the operators' address of each process, by its name (shared/admin.py)"""


def note_path(data: Path) -> Path:
    return data / "running.json"


def read_note(data: Path) -> Running | None:
    """The note of a data folder, None if there is none."""
    try:
        return Running.model_validate_json(note_path(data).read_bytes())
    except (OSError, ValidationError):
        return None


def find_running(data: Path) -> Running | None:
    """The system that runs on this data folder now, None if none does."""
    note = read_note(data)
    return note if note is not None and _alive(note.pid) else None


def write_note(data: Path, running: Running) -> None:
    write_private(note_path(data), running.model_dump_json(indent=2))


class FolderLock:
    """Held by the supervisor and, through inheritance, by its nats-server: two brokers on one store destroy it."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)

    def take(self) -> None:
        """Raises DataFolderError while another Rollcall uses the folder; ends the broker of one that was killed."""
        if self._try():
            return
        note = read_note(self._data)
        if note is None or _alive(note.pid):
            raise DataFolderError(
                f"Another Rollcall is running on {self._data}; stop it, or give --data another folder."
            )
        _end(note.broker_pid)
        deadline = time.monotonic() + ORPHAN_S
        while not self._try():
            if time.monotonic() > deadline:
                raise DataFolderError(f"A process left from an earlier run still holds {self._data}/lock.")
            time.sleep(0.05)

    def _try(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        os.close(self.descriptor)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _end(pid: int) -> None:
    if _alive(pid):
        os.kill(pid, signal.SIGTERM)
