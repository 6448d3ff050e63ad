"""`rollcall standalone`: what it says, what it leaves on the disk."""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rollcall.standalone import standalone
from terminal.library import Known
from terminal.standalone import open_box


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two people and two punches, one of them of somebody with a name that a spreadsheet would take for a formula."""
    folder, key = tmp_path / "door", tmp_path / "door.key"
    key.write_text("ab" * 32)
    with open_box(folder, key.read_bytes()) as box:
        box.own.put(Known("2", "=Bob", (), "二班"))
        box.own.put(Known("1", "艾达", (), "一班"))
        for num, name in (("1", "艾达"), ("2", "=Bob")):
            box.punches.add(num, name, datetime(2026, 3, 2, 0, 0, 0, 250_000, UTC), 91.5, held=True)
    return folder


def call(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(standalone, ["--data", str(folder), *arguments])


def test_list_and_remove(folder: Path) -> None:
    assert call(folder, "list").output == "1\t艾达\t一班\n2\t=Bob\t二班\n"
    assert call(folder, "remove", "2").output == "=Bob (2) is forgotten\n"
    assert call(folder, "list").output == "1\t艾达\t一班\n"
    again = call(folder, "remove", "2")
    assert (again.exit_code, again.output) == (1, "Error: nobody here has the number 2\n")


def test_punches_as_csv(folder: Path, tmp_path: Path) -> None:
    call(folder, "remove", "1")  # the punches stay
    assert call(folder, "punches", "--csv", str(tmp_path / "p.csv")).exit_code == 0
    rows = list(csv.reader(io.StringIO((tmp_path / "p.csv").read_text("utf-8-sig"))))
    assert rows[0] == ["time", "number", "name", "score", "state", "problem"]
    assert [row[1:] for row in rows[1:]] == [["1", "艾达", "91.5", "held", ""], ["2", "'=Bob", "91.5", "held", ""]]
    assert {datetime.fromisoformat(row[0]) for row in rows[1:]} == {datetime(2026, 3, 2, 0, 0, 0, 250_000, UTC)}


def test_without_its_key_nothing_is_read_and_nothing_is_made(folder: Path) -> None:
    (folder.parent / "door.key").unlink()
    result = call(folder, "list")
    assert result.exit_code == 1
    assert "door.key is missing" in result.output
    (folder.parent / "door.key").write_text("cd" * 32)
    assert "sealed with another secret" in call(folder, "list").output


def test_a_new_folder_gets_a_key_of_its_own(tmp_path: Path) -> None:
    assert call(tmp_path / "new", "list").output == ""
    key = tmp_path / "new.key"
    assert len(bytes.fromhex(key.read_text())) == 32
    assert key.stat().st_mode & 0o077 == 0


def test_a_server_that_is_not_there_is_one_sentence(folder: Path) -> None:
    result = call(folder, "join", "--server", "http://127.0.0.1:9", "--name", "东门", "--sn", "E-1")
    assert result.exit_code == 1
    assert "http://127.0.0.1:9 does not answer" in result.output
    assert call(folder, "list").output.count("\n") == 2
