"""What a terminal keeps is sealed: one random key seals all that is in its folder, the device's secret seals that key.

So a secret that the office renews costs one small file, not the library and the punches.
"""

import os
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.security import Vault, WrongKey

START: Final = b"RCK\x01"
SALT: Final = 16
"""bytes"""
KEY_FILE: Final = "key"
_PURPOSE: Final = b"rollcall terminal key"


class CannotOpen(Exception):
    """What is kept here cannot be read; the message says what to do about it."""


def open_vault(folder: Path, secret: bytes) -> Vault:
    """The vault of a folder, made with it the first time. Raises CannotOpen: it was made with another secret."""
    path = folder / KEY_FILE
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        reseal(folder, os.urandom(32), secret)
    return Vault(_key(path, secret).hex())


def reseal(folder: Path, key: bytes, secret: bytes) -> None:
    """Let `secret` open the folder from now on."""
    salt = os.urandom(SALT)
    write_whole(folder / KEY_FILE, START + salt + _lock(secret, salt).seal(key, KEY_FILE))


def change_secret(folder: Path, old: bytes, new: bytes) -> None:
    """From now on the new one opens the folder; if it does already, nothing is done: whoever starts a program anew
    starts it with the same words. Raises CannotOpen: neither opens it."""
    path = folder / KEY_FILE
    try:
        _key(path, new)
    except CannotOpen:
        reseal(folder, _key(path, old), new)


def _key(path: Path, secret: bytes) -> bytes:
    data = path.read_bytes()
    if not data.startswith(START):
        raise CannotOpen(f"{path} is no key of a terminal")
    salt, sealed = data[len(START) : len(START) + SALT], data[len(START) + SALT :]
    try:
        return _lock(secret, salt).open(sealed, KEY_FILE)
    except WrongKey:
        raise CannotOpen(
            f"{path.parent} was sealed with another secret: give the one it was made with, or another folder"
        ) from None


def _lock(secret: bytes, salt: bytes) -> Vault:
    return Vault(HKDF(SHA256(), 32, salt, _PURPOSE).derive(secret).hex())


def write_whole(path: Path, data: bytes) -> None:
    """Replace the file by another one, only for our eyes: after a power cut it is the old one or the new one."""
    beside = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """What was renamed or removed in it is so after a power cut too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
