"""A terminal's own copy of the library: names and features, sealed in one file that is replaced as a whole.

A student who left is not in the new file, and the old one is removed: nothing of them stays but what a disk keeps of
removed files, sealed.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgpack

from shared.security import Vault, WrongKey
from terminal.sealing import CannotOpen, write_whole

VERSION: Final = 1
MAX_PEOPLE: Final = 50_000
"""100 MB with four faces each"""


class LibraryFull(Exception):
    """More than MAX_PEOPLE."""


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody by number. `features`: packed, newest first (shared.vision.feature)."""

    num: str
    name: str
    features: tuple[bytes, ...]
    class_name: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of the library since `mark`: first all but nothing is forgotten (`full`), then `gone`, then `came`
    replaces. `mark` is the server's, to ask for what changes after this."""

    mark: str
    came: tuple[Known, ...] = ()
    gone: frozenset[str] = frozenset()
    full: bool = False


class Library:
    """People by number, as the file has them. Several programs may share it: each change reads it first."""

    def __init__(self, path: Path, vault: Vault) -> None:
        """Raises CannotOpen."""
        self._path, self._vault = path, vault
        self._stamp: tuple[int, int] = (0, 0)
        self.people: Mapping[str, Known] = {}
        self.mark = ""
        self.refresh()

    def __len__(self) -> int:
        return len(self.people)

    def refresh(self) -> bool:
        """Whether the file is another one than it was; it is read then. Raises CannotOpen."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            stamp = (0, 0)
        else:
            stamp = (found.st_mtime_ns, found.st_ino)
        if stamp == self._stamp:
            return False
        self.mark, self.people = self._read() if stamp != (0, 0) else ("", {})
        self._stamp = stamp  # after reading: what is damaged is said as long as it is, not once
        return True

    def apply(self, change: Change) -> None:
        """On the disk when this returns. Raises LibraryFull, CannotOpen, OSError."""
        with self._alone():
            self.refresh()
            kept = {} if change.full else {n: known for n, known in self.people.items() if n not in change.gone}
            people = kept | {known.num: known for known in change.came}
            if len(people) > MAX_PEOPLE:
                raise LibraryFull(f"more than {MAX_PEOPLE} people")
            if people != self.people or change.mark != self.mark:
                write_whole(self._path, self._sealed(change.mark, people.values()))
                self.refresh()

    def put(self, known: Known) -> None:
        """Add or replace one; as `apply`."""
        self.apply(Change(self.mark, came=(known,)))

    def remove(self, num: str) -> None:
        """Forget one; as `apply`."""
        self.apply(Change(self.mark, gone=frozenset({num})))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One program at a time; the lock goes with a killed one."""
        lock = os.open(self._path.with_name(f".{self._path.name}.lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _sealed(self, mark: str, people: Iterable[Known]) -> bytes:
        rows = [(k.num, k.name, k.class_name, k.features) for k in people]
        plain: bytes = msgpack.packb((VERSION, mark, rows))
        return self._vault.seal(plain, self._path.name)

    def _read(self) -> tuple[str, dict[str, Known]]:
        try:
            plain = self._vault.open(self._path.read_bytes(), self._path.name)
        except WrongKey:
            raise CannotOpen(
                f"{self._path} is damaged or was sealed with another key: remove it, to get it anew"
            ) from None
        version, mark, rows = msgpack.unpackb(plain)
        if version != VERSION:
            raise CannotOpen(f"{self._path} was written by another version of this program: remove it")
        return mark, {num: Known(num, name, tuple(features), class_name) for num, name, class_name, features in rows}
