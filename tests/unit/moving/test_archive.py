"""The portable file: what goes in comes out, sealed or not, and no damaged, torn or hostile file is believed."""

import base64
import json
import stat
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rollcall.archive import MAX_LINES, ArchiveError, FaceLine, StudentLine, UserLine, reading, writing
from shared.contracts.people import Gender

AT = datetime(2026, 3, 2, tzinfo=UTC)
JPEG = b"\xff\xd8 a photo \xff\xd9"
PASS = "correct horse battery"
NUM = "202603020001"  # long: a short one is found in random bytes now and then
ADA = StudentLine(num=NUM, name="艾达", class_name="一班", gender=Gender.WOMAN)


def user(photo: str, **changed: Any) -> UserLine:
    face = FaceLine(
        token="a" * 32,
        model="m/1",
        embedding=base64.b64encode(b"\0" * 512),
        box=(1, 2, 3, 4),
        photo=photo,
        created_at=AT,
    )
    return UserLine(
        **{"group_id": "g", "user_id": NUM, "user_info": "资料", "student": ADA, "faces": (face,), **changed}
    )


def write(path: Path, passphrase: str | None = None) -> UserLine:
    with writing(path, "default", passphrase) as writer:
        writer.groups(["g", "empty"])
        line = user(writer.photo(JPEG))
        writer.users([line])
        writer.finish()
    return line


@pytest.mark.parametrize("passphrase", [None, PASS])
def test_what_goes_in_comes_out(tmp_path: Path, passphrase: str | None) -> None:
    path = tmp_path / "f.zip"
    line = write(path, passphrase)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with reading(path) as reader:
        assert reader.is_sealed is (passphrase is not None)
        if passphrase:
            reader.unlock(passphrase)
        assert list(reader.groups()) == ["g", "empty"]
        assert list(reader.users()) == [line]
        face = reader.enrolled(line.faces[0])
        assert face is not None
        assert (face.jpeg, face.embedding, face.token) == (JPEG, b"\0" * 512, "a" * 32)
        counts = reader.manifest
    assert (counts.groups, counts.users, counts.faces, counts.photos) == (2, 1, 1, 1)


def test_a_sealed_file_says_nothing_of_its_people(tmp_path: Path) -> None:
    write(tmp_path / "f.zip", PASS)
    data = (tmp_path / "f.zip").read_bytes()
    for secret in (JPEG, "艾达".encode(), NUM.encode(), b"a" * 32, PASS.encode()):
        assert secret not in data


def test_a_wrong_passphrase_or_none_opens_nothing(tmp_path: Path) -> None:
    write(tmp_path / "f.zip", PASS)
    with reading(tmp_path / "f.zip") as reader, pytest.raises(ArchiveError, match="passphrase is wrong"):
        reader.unlock("wrong horse")
    with reading(tmp_path / "f.zip") as reader, pytest.raises(ArchiveError, match="passphrase is needed"):
        list(reader.users())


def test_an_export_that_fails_leaves_nothing_and_one_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "f.zip"
    with pytest.raises(RuntimeError), writing(path, "default", None) as writer:
        writer.photo(JPEG)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    write(path)
    before = path.read_bytes()
    with pytest.raises(ArchiveError, match="there already"):
        write(path)
    assert path.read_bytes() == before


def changed(path: Path, parts: dict[str, bytes | None]) -> None:
    """The same zip with some parts replaced, added, or (None) left out."""
    with zipfile.ZipFile(path) as old:
        kept = {info.filename: old.read(info) for info in old.infolist()} | parts
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in kept.items():
            if data is not None:
                new.writestr(name, data)


def everything(path: Path, passphrase: str | None = None) -> None:
    with reading(path) as reader:
        if passphrase:
            reader.unlock(passphrase)
        list(reader.groups())
        for line in reader.users():
            for face in line.faces:
                reader.enrolled(face)


def lines(**fields: Any) -> bytes:
    return json.dumps({**json.loads(user("photos/000001.jpg").model_dump_json()), **fields}).encode()


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"manifest.json": None}, "no manifest"),
        ({"manifest.json": b"{}"}, "manifest.json: version"),
        ({"manifest.json": b"x" * 70_000}, "too large"),
        ({"photos/000001.jpg": None}, "missing"),
        ({"photos/000001.jpg": b"\0" * 3_000_001}, "too large"),
        ({"photos/000001.jpg": b""}, "damaged"),
        ({"users/000001.jsonl": b"not json\n"}, "users/000001.jsonl"),
        ({"users/000001.jsonl": lines(group_id="../x")}, "group_id"),
        ({"users/000001.jsonl": lines(user_info="x" * 257)}, "user_info"),
        ({"users/000001.jsonl": b"{}\n" * (MAX_LINES + 1)}, "too long"),
        ({"users/000001.jsonl": b"\n" * (33 * 2**20)}, "too large"),
        ({"users/../../evil.jsonl": b"{}"}, "no part of an export"),
        ({"groups/000001.jsonl": b'"../x"\n'}, "no group id"),
        ({"groups/000001.jsonl": b"[[[\n"}, "cannot be read"),
    ],
)
def test_a_file_that_was_tampered_with_is_refused(tmp_path: Path, parts: dict[str, bytes | None], said: str) -> None:
    path = tmp_path / "f.zip"
    write(path)
    changed(path, parts)
    with pytest.raises(ArchiveError, match=said):
        everything(path)


def test_parts_of_a_sealed_file_cannot_be_swapped(tmp_path: Path) -> None:
    path = tmp_path / "f.zip"
    write(path, PASS)
    with zipfile.ZipFile(path) as file:
        photo = file.read("photos/000001.jpg")
    changed(path, {"users/000001.jsonl": photo})
    with pytest.raises(ArchiveError, match="altered"):
        everything(path, PASS)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\0" * 1000, JPEG])
def test_what_is_no_zip_is_no_export(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "f.zip").write_bytes(data)
    with pytest.raises(ArchiveError, match="no export of Rollcall"):
        everything(tmp_path / "f.zip")


def test_a_part_that_unpacks_to_more_than_it_says_is_cut_off(tmp_path: Path) -> None:
    """A zip bomb whose directory lies about the size."""
    path = tmp_path / "f.zip"
    write(path)
    changed(path, {"users/000001.jsonl": b" " * (40 * 2**20)})
    data = path.read_bytes()
    size = (40 * 2**20).to_bytes(4, "little")
    path.write_bytes(data.replace(size, (100).to_bytes(4, "little")))
    with pytest.raises(ArchiveError):
        everything(path)
