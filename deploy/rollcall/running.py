"""Where the system of a data folder runs: a lock while it does, and a note for the other commands."""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from rollcall.keys import DataFolderError, write_private
from rollcall.mqtt import PID_FILE, MqttOptions

ORPHAN_S = 5.0
ANSWER_S = 5.0


class Running(BaseModel):
    """Written when all processes are started, before they are ready; removed at the end."""

    model_config = ConfigDict(frozen=True)

    pid: int
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


async def says_ok(port: int, path: str) -> bool:
    """Whether who listens on this port of loopback answers 200 within ANSWER_S. Asked many times a second while the
    services start, so it must take next to nothing from them; an HTTP client would take half a core."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    return False


def broker_pid(data: Path) -> int | None:
    """The nats-server that runs on this folder now, by the number that it wrote itself; None if that is nobody's, or by
    now a stranger's."""
    folder = data.absolute() / "nats"
    try:
        pid = int((folder / PID_FILE).read_text())
    except (OSError, ValueError):
        return None
    return pid if f"nats-server -c {folder}/" in _command_line(pid) else None


class FolderLock:
    """Held by the supervisor and, through inheritance, by its nats-server: two brokers on one store destroy it. The
    supervisor's number stands in the file."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)

    def take(self) -> None:
        """Raises DataFolderError while another Rollcall uses the folder; ends the broker of one that was killed."""
        if not self._try():
            owner = self._owner()
            if owner is None or _alive(owner):
                raise DataFolderError(
                    f"Another Rollcall is running on {self._data}; stop it, or give --data another folder."
                )
            if (orphan := broker_pid(self._data)) is not None:
                os.kill(orphan, signal.SIGTERM)
            self._wait()
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, str(os.getpid()).encode(), 0)

    def _wait(self) -> None:
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

    def _owner(self) -> int | None:
        """The supervisor that took it last; None if it has not said so yet."""
        try:
            return int(os.pread(self.descriptor, 20, 0))
        except ValueError:
            return None

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


def _command_line(pid: int) -> str:
    """What a process was started with; empty if there is none."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    asked = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout
