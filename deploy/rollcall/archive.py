"""The portable file of a face library: a zip of small parts, sealed one by one under a passphrase if one is given.

    manifest.json       what it is, how it is sealed, how much there must be; written last: without it the file is torn
    groups/000001.jsonl one group id a line
    users/000001.jsonl  one user a line, with faces (token, model, embedding, box) and the names of their photos
    photos/000001.jpg   as registered

Nothing is ever unpacked to a disk. Every part is bounded, and only parts with these names are read.
"""

import base64
import json
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, Self, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import AwareDatetime, Base64Bytes, BaseModel, ConfigDict, Field, ValidationError

from shared.contracts.base import new_id, now
from shared.contracts.library import MAX_FACES, MAX_USER_INFO, EnrolledFace, FaceToken, LibraryId
from shared.contracts.people import Gender, StudentName, StudentNumber

VERSION: Final = 1
MANIFEST: Final = "manifest.json"
PART: Final = re.compile(r"(groups|users)/\d{6,9}\.jsonl|photos/\d{6,9}\.jpg")
MAX_MANIFEST: Final = 65_536
MAX_PART: Final = 32 * 2**20
MAX_PHOTO: Final = 3_000_000
SEALING: Final = 28
"""bytes of nonce and tag"""
MAX_LINES: Final = 1_000
"""in one part"""
NONCE: Final = 12
SCRYPT: Final = (2**16, 8, 1)
"""n, r, p: 64 MiB and a quarter of a second for each guess (OWASP asks for 2**17 where many log in at once)"""


class ArchiveError(Exception):
    """The file cannot be used; the message is one sentence for the operator."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class FaceLine(_Line):
    """A face; `photo` names its part, empty if the photo was not kept."""

    token: FaceToken
    model: str = Field(max_length=64)
    embedding: Base64Bytes = Field(max_length=32_768)
    box: tuple[float, float, float, float]
    photo: str = Field(default="", max_length=32)
    created_at: AwareDatetime


class StudentLine(_Line):
    """What a student is besides a user."""

    num: StudentNumber
    name: StudentName
    class_name: StudentName
    gender: Gender


class UserLine(_Line):
    """A user of a group."""

    group_id: LibraryId
    user_id: LibraryId
    user_info: str = Field(default="", max_length=MAX_USER_INFO)
    student: StudentLine | None = None
    faces: tuple[FaceLine, ...] = Field(default=(), max_length=MAX_FACES)


class Sealing(_Line):
    """How the passphrase becomes the key. `check` is a sealed word: a wrong passphrase is known at once."""

    kdf: Literal["scrypt"] = "scrypt"
    n: int = Field(ge=2**14, le=2**20)
    r: int = Field(ge=8, le=16)
    p: int = Field(ge=1, le=4)
    salt: Base64Bytes = Field(min_length=16, max_length=64)
    check: Base64Bytes = Field(max_length=256)


class Manifest(_Line):
    """Counts are checked at the end of an import."""

    format: Literal["rollcall-library"] = "rollcall-library"
    version: int
    archive_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    made_at: AwareDatetime
    app: str = Field(max_length=64)
    groups: int = Field(ge=0)
    users: int = Field(ge=0)
    faces: int = Field(ge=0)
    photos: int = Field(ge=0)
    sealing: Sealing | None = None


L = TypeVar("L", bound=_Line)


class _Seal:
    """AES-256-GCM under a key from the passphrase; each part is bound to its archive and its name."""

    def __init__(self, passphrase: str, archive_id: str, salt: bytes, cost: tuple[int, int, int] = SCRYPT) -> None:
        n, r, p = cost
        self._aead = AESGCM(Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(passphrase.encode()))
        self._archive_id = archive_id

    def close(self, plain: bytes, name: str) -> bytes:
        nonce = os.urandom(NONCE)
        return nonce + self._aead.encrypt(nonce, plain, self._bound(name))

    def open(self, sealed: bytes, name: str) -> bytes:
        """Raises ArchiveError."""
        try:
            return self._aead.decrypt(sealed[:NONCE], sealed[NONCE:], self._bound(name))
        except (InvalidTag, ValueError):
            raise ArchiveError("the passphrase is wrong, or the file was altered") from None

    def _bound(self, name: str) -> bytes:
        return f"rollcall-library:{VERSION}:{self._archive_id}:{name}".encode()


class Writer:
    """Parts go in one after another; `finish` makes the file whole."""

    def __init__(self, file: zipfile.ZipFile, app: str, passphrase: str | None) -> None:
        self._zip, self._app = file, app
        self._archive_id = new_id()
        self._salt = os.urandom(16)
        self._seal = None if passphrase is None else _Seal(passphrase, self._archive_id, self._salt)
        self._parts = {"groups": 0, "users": 0, "photos": 0}
        self._counts = {"groups": 0, "users": 0, "faces": 0, "photos": 0}

    def groups(self, ids: Sequence[str]) -> None:
        """One part."""
        self._counts["groups"] += len(ids)
        self._put("groups", "jsonl", "".join(json.dumps(group) + "\n" for group in ids).encode())

    def users(self, lines: Sequence[UserLine]) -> None:
        """One part."""
        self._counts["users"] += len(lines)
        self._counts["faces"] += sum(len(line.faces) for line in lines)
        self._put("users", "jsonl", "".join(line.model_dump_json() + "\n" for line in lines).encode())

    def photo(self, jpeg: bytes) -> str:
        """The name to give in FaceLine."""
        self._counts["photos"] += 1
        return self._put("photos", "jpg", jpeg)

    def _put(self, kind: str, suffix: str, plain: bytes) -> str:
        self._parts[kind] += 1
        name = f"{kind}/{self._parts[kind]:06}.{suffix}"
        packed = zipfile.ZIP_DEFLATED if suffix == "jsonl" and self._seal is None else zipfile.ZIP_STORED
        self._zip.writestr(name, self._seal.close(plain, name) if self._seal else plain, packed)
        return name

    def finish(self) -> Manifest:
        """The last part."""
        n, r, p = SCRYPT
        sealing = None
        if self._seal is not None:
            check = base64.b64encode(self._seal.close(b"rollcall", MANIFEST))
            sealing = Sealing(n=n, r=r, p=p, salt=base64.b64encode(self._salt), check=check)
        manifest = Manifest(
            version=VERSION,
            archive_id=self._archive_id,
            made_at=now(),
            app=self._app,
            sealing=sealing,
            **self._counts,
        )
        self._zip.writestr(MANIFEST, manifest.model_dump_json(indent=2))
        return manifest


@contextmanager
def writing(path: Path, app: str, passphrase: str | None) -> Iterator[Writer]:
    """Write beside `path` and put it there when all is well; else nothing is left. Only the owner may read it.

    Raises ArchiveError if the file is there already or cannot be written.
    """
    if path.exists():
        raise ArchiveError(f"{path} is there already")
    beside = path.with_name(path.name + ".part")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as raw:
                with zipfile.ZipFile(raw, "w") as file:
                    yield Writer(file, app, passphrase)
                raw.flush()
                os.fsync(raw.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise ArchiveError(f"{path} cannot be written: {error.strerror or error}") from None


class Reader:
    """An archive that was found to be one. Open with `reading`."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._zip = file
        self._parts = {info.filename: info for info in file.infolist()}
        self.manifest = self._manifest()
        self._seal: _Seal | None = None

    @property
    def is_sealed(self) -> bool:
        return self.manifest.sealing is not None

    def unlock(self, passphrase: str) -> Self:
        """Raises ArchiveError for a wrong one."""
        sealing = self.manifest.sealing
        if sealing is not None:
            cost = (sealing.n, sealing.r, sealing.p)
            self._seal = _Seal(passphrase, self.manifest.archive_id, sealing.salt, cost)
            self._seal.open(sealing.check, MANIFEST)
        return self

    def groups(self) -> Iterator[str]:
        """Group ids. Raises ArchiveError."""
        for name in self._names("groups/"):
            for line in self._lines(name):
                try:
                    group = json.loads(line)
                except ValueError:
                    raise ArchiveError(f"{name} cannot be read") from None
                if not isinstance(group, str) or not re.fullmatch(r"[0-9A-Za-z_]{1,128}", group):
                    raise ArchiveError(f"{name} holds what is no group id")
                yield group

    def users(self) -> Iterator[UserLine]:
        """Users in the order they were made. Raises ArchiveError."""
        for name in self._names("users/"):
            for line in self._lines(name):
                yield _validated(UserLine, line, name)

    def enrolled(self, face: FaceLine) -> EnrolledFace | None:
        """A face with its photo; None if the photo was not kept. Raises ArchiveError."""
        if not face.photo:
            return None
        jpeg = self._read(face.photo, MAX_PHOTO)
        try:
            return EnrolledFace(model=face.model, embedding=face.embedding, jpeg=jpeg, box=face.box, token=face.token)
        except ValidationError:
            raise ArchiveError(f"the face of {face.photo} is damaged") from None

    def _names(self, folder: str) -> list[str]:
        return sorted(name for name in self._parts if name.startswith(folder))

    def _lines(self, name: str) -> list[bytes]:
        lines = self._read(name, MAX_PART).splitlines()
        if len(lines) > MAX_LINES:
            raise ArchiveError(f"{name} is too long")
        return lines

    def _manifest(self) -> Manifest:
        if MANIFEST not in self._parts:
            raise ArchiveError("the file has no manifest: it is no export of Rollcall, or it was torn")
        manifest = _validated(Manifest, self._bytes(MANIFEST, MAX_MANIFEST), MANIFEST)
        if manifest.version != VERSION:
            raise ArchiveError(f"the file has format {manifest.version}; this Rollcall reads {VERSION}")
        return manifest

    def _read(self, name: str, most: int) -> bytes:
        if not PART.fullmatch(name):
            raise ArchiveError(f"{name[:80]!r} is no part of an export")
        if self.is_sealed:
            if self._seal is None:
                raise ArchiveError("the file is sealed: its passphrase is needed")
            return self._seal.open(self._bytes(name, most + SEALING), name)
        return self._bytes(name, most)

    def _bytes(self, name: str, most: int) -> bytes:
        """At most `most` bytes, whatever the directory says about their number."""
        info = self._parts.get(name)
        if info is None or info.file_size > most:
            raise ArchiveError(f"{name} is missing or too large")
        try:
            with self._zip.open(info) as part:
                data = part.read(most + 1)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
            raise ArchiveError(f"{name} is damaged") from error
        if len(data) > most:
            raise ArchiveError(f"{name} is too large")
        return data


def _validated(kind: type[L], data: bytes, name: str) -> L:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise ArchiveError(f"{name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """Raises ArchiveError."""
    try:
        file = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise ArchiveError(f"{path} is no export of Rollcall: {error}") from None
    with file:
        yield Reader(file)
