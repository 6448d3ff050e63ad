"""The terminal's own punches: on the disk before anybody hears of them, sent until the server has them."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from terminal import punches
from terminal.events import Rubbish
from terminal.punches import PunchStore, State, StoreFull
from terminal.sealing import CannotOpen, open_vault
from terminal.uptime import Uptime
from tests.unit.terminal.full_disk import full_disk

EIGHT = datetime(2026, 3, 2, 0, 0, 0, 123_456, tzinfo=UTC)


def opened(folder: Path, secret: bytes = b"s") -> PunchStore:
    return PunchStore(folder / "punches.db", open_vault(folder, secret))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PunchStore]:
    made = opened(tmp_path)
    yield made
    made.close()


def add(store: PunchStore, *minutes: int, num: str = "1", held: bool = False) -> None:
    for minute in minutes:
        assert store.add(num, f"学生{num}", EIGHT + timedelta(minutes=2 * minute), 91.5, held=held).new


def frame(store: PunchStore, *, asking: bool = False) -> dict[str, Any]:
    text = store.batch(asking=asking)
    assert text is not None
    message: dict[str, Any] = json.loads(text)
    return message


def numbers(store: PunchStore) -> list[int]:
    text = store.batch()
    return [] if text is None else [p["seq"] for p in json.loads(text)["punches"]]


def answer(store: PunchStore, **fields: Any) -> int:
    usual = {"type": "punches_kept", "epoch": store.epoch, "kept": [], "refused": [], "missing": []}
    return store.answered(usual | fields)


def states(store: PunchStore) -> dict[int, State]:
    return {stored.seq: stored.state for stored in store.rows()}


def test_a_batch_says_all_that_counts(store: PunchStore) -> None:
    add(store, 1)
    store.add("2", "Bob", EIGHT, 80.25)
    assert frame(store) == {
        "type": "punches",
        "epoch": store.epoch,
        "last": 2,
        "punches": [
            {"seq": 1, "time": "2026-03-02T00:02:00.123+00:00", "who": "1", "score": 91.5},
            {"seq": 2, "time": "2026-03-02T00:00:00.123+00:00", "who": "2", "score": 80.25},
        ],
        "gone": [],
    }


def test_what_is_kept_is_sent_no_more(store: PunchStore) -> None:
    add(store, 1, 2, 3)
    assert answer(store, kept=[[1, 2]]) == 2
    assert numbers(store) == [3]
    assert answer(store, kept=[[1, 3]]) == 1
    assert store.batch() is None
    assert frame(store, asking=True)["punches"] == []


def test_it_survives_a_restart(tmp_path: Path) -> None:
    first = opened(tmp_path)
    add(first, 1, 2)
    answer(first, kept=[[1, 1]])
    first.note("mode", "offline")
    first.close()
    second = opened(tmp_path)
    assert (second.epoch, numbers(second), second.noted("mode")) == (first.epoch, [2], "offline")
    add(second, 3)
    assert numbers(second) == [2, 3]
    assert not second.add("1", "学生1", EIGHT + timedelta(minutes=6, seconds=59), 90).new
    second.close()


def test_somebody_seen_again_has_clocked_in_already(store: PunchStore) -> None:
    first = store.add("1", "Ada", EIGHT, 90)
    for seconds in (-59, 1, 59):
        again = store.add("1", "Ada", EIGHT + timedelta(seconds=seconds), 90)
        assert (again.new, again.punch_id, again.at) == (False, first.punch_id, first.at)
    assert store.add("2", "Bob", EIGHT, 90).new
    assert store.add("1", "Ada", EIGHT + timedelta(seconds=60), 90).new
    assert len(list(store.rows())) == 3


def test_a_refused_one_is_sent_again_when_it_is_time(store: PunchStore) -> None:
    add(store, 1, 2)
    assert answer(store, kept=[[2, 2]], refused=[{"seq": 1, "error": "unknown"}]) == 1
    assert store.batch() is None
    assert [(s.error, s.state) for s in store.rows()] == [("unknown", State.REFUSED), ("", State.KEPT)]
    assert store.try_again() == 1
    assert numbers(store) == [1]
    answer(store, kept=[[1, 1]])
    assert [s.error for s in store.rows()] == ["", ""]


def test_what_the_server_misses_is_sent_again_once_a_connection(store: PunchStore) -> None:
    add(store, 1, 2, 3)
    answer(store, kept=[[1, 3]])
    store.begin()
    answer(store, missing=[[1, 2]])
    assert numbers(store) == [1, 2]
    answer(store, kept=[[1, 2]], missing=[[3, 3]])
    assert store.batch() is None
    store.begin()
    answer(store, missing=[[3, 3]])
    assert numbers(store) == [3]


def test_what_is_not_here_any_more_is_said_to_be_gone(store: PunchStore, tmp_path: Path) -> None:
    add(store, *range(1, 8))
    with sqlite3.connect(tmp_path / "punches.db") as other:
        other.execute("DELETE FROM punches WHERE seq IN (2, 3, 6)")
    answer(store, missing=[[1, 4], [6, 7]])
    assert frame(store)["gone"] == [[2, 3], [6, 6]]
    assert numbers(store) == [1, 4, 5, 7]
    answer(store, kept=[[1, 7]])
    assert store.batch() is None


def test_held_punches_have_no_number_until_they_may_go(store: PunchStore) -> None:
    add(store, 1, 3, num="a", held=True)
    add(store, 2, num="b", held=True)
    add(store, 4)
    assert numbers(store) == [1]
    assert store.release(lambda stored: stored.num == "a") == 2
    assert [p["who"] for p in frame(store)["punches"]] == ["1", "a", "a"]
    assert store.counts() == {State.WAITING: 3, State.KEPT: 0, State.REFUSED: 0, State.HELD: 1}


def test_old_kept_ones_are_forgotten_the_others_never(store: PunchStore) -> None:
    add(store, 1, 2, 3)
    add(store, 30 * 24 * 31, num="2")
    answer(store, kept=[[1, 2], [4, 4]])
    store.trim()
    assert states(store) == {3: State.WAITING, 4: State.KEPT}


def test_a_batch_is_bounded(store: PunchStore) -> None:
    for number in range(120):
        store.add(f"{number}" + "𠮷" * 120, "x", EIGHT, 1)
    text = store.batch()
    assert text is not None and 40_000 < len(text) < punches.MAX_FRAME
    assert len(json.loads(text)["punches"]) < 100


def test_there_is_an_end(tmp_path: Path) -> None:
    store = PunchStore(tmp_path / "punches.db", open_vault(tmp_path, b"s"), most=2)
    add(store, 1, 2)
    with pytest.raises(StoreFull):
        add(store, 3)
    answer(store, kept=[[1, 2]])
    add(store, 3)
    store.close()


@pytest.mark.parametrize(
    "message",
    [{}, {"kept": 7}, {"refused": [{"seq": "x", "error": "y"}]}, {"missing": [[1]]}, {"kept": None}],
)
def test_rubbish_changes_nothing(store: PunchStore, message: dict[str, Any]) -> None:
    add(store, 1)
    usual: dict[str, Any] = {"epoch": store.epoch, "kept": [[1, 1]], "refused": [], "missing": []}
    with pytest.raises(Rubbish):
        store.answered(usual | message if message else {})
    assert numbers(store) == [1]


def test_an_answer_about_another_epoch_says_nothing(store: PunchStore) -> None:
    add(store, 1)
    assert answer(store, epoch="other", kept=[[1, 1]]) == 0
    assert numbers(store) == [1]


def test_names_are_not_readable_and_another_key_is_refused(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.add("20260001", "张三", EIGHT, 90)
    store.close()
    for path in tmp_path.iterdir():
        assert "张三".encode() not in path.read_bytes()
        assert b"20260001" not in path.read_bytes()
    (tmp_path / "key").unlink()
    with pytest.raises(CannotOpen, match="sealed with another key"):
        opened(tmp_path)


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "punches.db").write_bytes(b"no database" * 1_000)
    with pytest.raises(CannotOpen, match="is damaged"):
        opened(tmp_path)


class Booted(Uptime):
    """A machine that says what it is told to."""

    def __init__(self, boot: str = "b1") -> None:
        self.boot, self.now_ms = boot, 0

    def ms(self) -> int:
        return self.now_ms


BOOTED = datetime(2026, 3, 2, 7, tzinfo=UTC)
STALE = datetime(2025, 12, 24, 17, tzinfo=UTC)
"""what a machine without a battery believes when it boots"""


def booted(folder: Path, uptime: Uptime) -> PunchStore:
    return PunchStore(folder / "punches.db", open_vault(folder, b"s"), uptime=uptime)


def times(store: PunchStore, now: datetime | None) -> list[tuple[int, str]]:
    text = store.batch(now=now)
    return [] if text is None else [(p["seq"], p["time"][:19]) for p in json.loads(text)["punches"]]


def test_punches_of_a_clock_that_was_not_set_are_put_right_before_they_are_sent(tmp_path: Path) -> None:
    uptime = Booted()
    store = booted(tmp_path, uptime)
    for minute in (1, 5):
        uptime.now_ms = minute * 60_000
        store.add("1", "Ada", STALE + timedelta(minutes=minute), 90)
    uptime.now_ms = 6 * 60_000
    store.add("2", "Bob", BOOTED + timedelta(minutes=6, seconds=-20), 90)  # by a clock that was right
    right = [(1, "2026-03-02T07:01:00"), (2, "2026-03-02T07:05:00"), (3, "2026-03-02T07:05:40")]
    uptime.now_ms = 10 * 60_000
    assert times(store, BOOTED + timedelta(minutes=10)) == right
    store.close()
    again = booted(tmp_path, uptime)  # what was put right stays so
    assert times(again, None) == right
    again.close()


def test_what_was_sent_keeps_its_time_whatever_the_server_says_next(tmp_path: Path) -> None:
    uptime = Booted()
    store = booted(tmp_path, uptime)
    store.add("1", "Ada", STALE, 90)
    was = [(1, "2025-12-24T17:00:00")]
    assert times(store, None) == was  # this server told no time
    assert times(store, BOOTED) == was
    answer(store, refused=[{"seq": 1, "error": "bad_time"}])
    store.try_again()
    assert times(store, None) == was
    store.add("2", "Bob", STALE, 90)
    assert times(store, BOOTED) == [*was, (2, "2026-03-02T07:00:00")]
    assert times(store, BOOTED + timedelta(hours=5)) == [*was, (2, "2026-03-02T07:00:00")]
    store.close()


@pytest.mark.parametrize("boot", ["b2", ""])
def test_of_another_boot_nobody_knows_how_long_ago_it_was(tmp_path: Path, boot: str) -> None:
    store = booted(tmp_path, Booted("b1" if boot else ""))
    store.add("1", "Ada", STALE, 90)
    store.close()
    after = booted(tmp_path, Booted(boot))
    assert times(after, BOOTED) == [(1, "2025-12-24T17:00:00")]
    after.close()


def test_this_machine_has_a_boot_and_its_uptime_goes_on() -> None:
    one, two = Uptime(), Uptime()
    assert one.boot == two.boot != ""
    assert 0 < one.ms() <= two.ms()


def test_a_full_disk_is_one_error_and_changes_nothing(store: PunchStore, tmp_path: Path) -> None:
    add(store, 1, 2)
    add(store, 3, held=True)
    answer(store, refused=[{"seq": 2, "error": "unknown"}])
    before = list(store.rows())
    with full_disk(tmp_path):
        for write in (
            lambda: store.add("2", "Bob", EIGHT, 90),
            lambda: answer(store, kept=[[1, 1]]),
            lambda: store.note("mode", "offline"),
            lambda: store.release(lambda stored: True),
            store.try_again,
        ):
            with pytest.raises(StoreFull):
                write()
        assert numbers(store) == [1]
        assert list(store.rows()) == before
    assert answer(store, kept=[[1, 1]]) == 1
    assert store.add("2", "Bob", EIGHT, 90).new


def test_a_store_that_cannot_be_written_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "punches.db-wal").mkdir()
    with pytest.raises(CannotOpen, match="cannot be used"):
        opened(tmp_path)


_WRITER = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from terminal.punches import PunchStore
from terminal.sealing import open_vault
folder = Path(sys.argv[1])
store = PunchStore(folder / "punches.db", open_vault(folder, b"s"))
for number in range(1_000_000):
    made = store.add(str(number), "n", datetime(2026, 1, 1, tzinfo=UTC), 90)
    print(made.punch_id, flush=True)
"""


def test_what_was_promised_before_a_kill_is_there(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        promised = [int(writer.stdout.readline()) for _ in range(20)]
        writer.send_signal(signal.SIGKILL)
        promised += map(int, writer.stdout.read().split())
    store = opened(tmp_path)
    kept = {stored.punch_id for stored in store.rows()}
    assert set(promised) <= kept <= set(range(1, len(promised) + 2))
    store.close()
