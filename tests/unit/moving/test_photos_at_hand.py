"""`rollcall import-baidu` looks for a user's photos by the name that the other side gives the user."""

import csv
from pathlib import Path

import pytest

from rollcall.moving import _photos, _write_report


def test_photos_by_the_name_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "s1").mkdir()
    for name in ("s1.jpg", "s1/b.png", "s1/a.jpg", "s1/notes.txt", "s2.jpg"):
        (tmp_path / name).write_bytes(b"x")
    assert [str(path.relative_to(tmp_path)) for path in _photos(tmp_path, "s1")] == ["s1.jpg", "s1/a.jpg", "s1/b.png"]
    assert _photos(None, "s1") == []


@pytest.mark.parametrize("user", ["../secret", "..", ".", "", "inner/../../secret", "/secret", "s1\n"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, user: str) -> None:
    folder = tmp_path / "photos"
    (folder / "inner").mkdir(parents=True)
    for file in (tmp_path / "secret.jpg", tmp_path / "x.jpg", folder / "x.jpg", folder / ".jpg"):
        file.write_bytes(b"x")
    assert _photos(folder, str(tmp_path / "secret") if user == "/secret" else user) == []


def test_a_name_is_no_formula_in_the_report(tmp_path: Path) -> None:
    _write_report(tmp_path / "r.csv", [("g1", "=cmd|'/C calc'!A0", "no photo at hand"), ("g1", "s1", "moved")])
    with (tmp_path / "r.csv").open(encoding="utf-8-sig", newline="") as file:
        _, odd, usual = csv.reader(file)
    assert odd[1][0] in "'\""
    assert usual == ["g1", "s1", "moved"]
