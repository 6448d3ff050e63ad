"""The sealed copy of the library: as the server says, whole after any kill, unreadable without the key."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from terminal.library import Change, Known, Library
from terminal.sealing import CannotOpen, change_secret, open_vault

SECRET, OTHER = b"s" * 64, b"o" * 64
ADA = Known("1", "Ada-Lovelace·𠮷田", (b"feature-of-ada",), "一班")
BOB = Known("2", "Bob", (b"feature-of-bob", b"older"))


def library(folder: Path, secret: bytes = SECRET) -> Library:
    return Library(folder / "library", open_vault(folder, secret))


def test_what_was_applied_is_there_after_a_restart(tmp_path: Path) -> None:
    one = library(tmp_path)
    one.apply(Change("7-abc", came=(ADA, BOB), full=True))
    two = library(tmp_path)
    assert (dict(two.people), two.mark) == ({"1": ADA, "2": BOB}, "7-abc")


def test_changes_in_their_order(tmp_path: Path) -> None:
    one = library(tmp_path)
    one.apply(Change("1-a", came=(ADA, BOB), full=True))
    newer = Known("2", "Bob B.", ())
    one.apply(Change("2-a", came=(newer,), gone=frozenset({"1", "9"})))
    assert (dict(one.people), one.mark) == ({"2": newer}, "2-a")
    one.apply(Change("3-b", came=(ADA,), full=True))
    assert (dict(one.people), one.mark) == ({"1": ADA}, "3-b")


def test_nothing_is_readable_on_the_disk_and_who_left_is_gone(tmp_path: Path) -> None:
    one = library(tmp_path)
    one.put(ADA)
    sizes = {path: path.stat().st_size for path in tmp_path.iterdir()}
    for path in sizes:
        assert b"Ada-Lovelace" not in path.read_bytes()
        assert b"feature" not in path.read_bytes()
    one.put(BOB)
    one.remove("2")
    assert (tmp_path / "library").stat().st_size == sizes[tmp_path / "library"]
    assert {path.name for path in tmp_path.iterdir()} == {"key", "library", ".library.lock"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())


def test_another_program_sees_the_change(tmp_path: Path) -> None:
    one, two = library(tmp_path), library(tmp_path)
    one.put(ADA)
    assert two.refresh()
    assert not two.refresh()
    two.put(BOB)  # on top of what the other one wrote
    one.put(Known("3", "Carl", ()))
    assert one.refresh() is False
    assert one.people.keys() == {"1", "2", "3"}


def test_a_wrong_secret_is_refused_in_clear_words(tmp_path: Path) -> None:
    library(tmp_path).put(ADA)
    with pytest.raises(CannotOpen, match="sealed with another secret"):
        library(tmp_path, OTHER)


def test_a_renewed_secret_opens_what_was_there(tmp_path: Path) -> None:
    library(tmp_path).put(ADA)
    for _ in range(2):  # the second start has the same words on its command line
        change_secret(tmp_path, SECRET, OTHER)
        assert library(tmp_path, OTHER).people["1"] == ADA
    with pytest.raises(CannotOpen):
        library(tmp_path, SECRET)
    with pytest.raises(CannotOpen, match="sealed with another secret"):
        change_secret(tmp_path, SECRET, b"third")


def test_damage_is_said_until_it_is_mended_and_those_who_were_known_stay(tmp_path: Path) -> None:
    one = library(tmp_path)
    one.put(ADA)
    (tmp_path / "library").write_bytes(b"x" * 40)
    for _ in range(2):
        with pytest.raises(CannotOpen, match="library is damaged"):
            one.apply(Change("2-a", came=(BOB,)))
    assert one.people == {"1": ADA}
    (tmp_path / "library").unlink()
    one.apply(Change("2-a", came=(BOB,)))
    assert library(tmp_path).people == {"2": BOB}


@pytest.mark.parametrize("damage", [b"", b"x" * 40, b"RCK\x01"])
def test_damaged_files_are_named(tmp_path: Path, damage: bytes) -> None:
    library(tmp_path).put(ADA)
    (tmp_path / "library").write_bytes(damage)
    with pytest.raises(CannotOpen, match="library is damaged"):
        library(tmp_path)
    (tmp_path / "key").write_bytes(damage)
    with pytest.raises(CannotOpen):
        library(tmp_path)


_WRITER = """
import sys
from pathlib import Path
from terminal.library import Change, Known, Library
from terminal.sealing import open_vault
folder = Path(sys.argv[1])
library = Library(folder / "library", open_vault(folder, b"s" * 64))
for number in range(1_000_000):
    people = tuple(Known(str(k), f"n{number}", (b"x" * 500,)) for k in range(200))
    library.apply(Change(str(number), came=people, full=True))
    print(number, flush=True)
"""


def test_a_killed_program_leaves_a_whole_library(tmp_path: Path) -> None:
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(3):
                last = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            last = max([last, *map(int, writer.stdout.read().split())])
        kept = library(tmp_path)
        assert int(kept.mark) >= last
        assert {known.name for known in kept.people.values()} == {f"n{kept.mark}"}
        assert len(kept) == 200
        (tmp_path / "library").unlink()
