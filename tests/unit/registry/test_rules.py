"""The registry's decisions."""

import math
import random
import struct
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from registry.rules import (
    LONGEST_DELAY_S,
    Attempts,
    Sighting,
    check_embedding,
    day_bounds,
    face_token,
    is_row_id,
    judge,
    page_end,
    repeated,
    tidy,
)
from shared.errors import InvalidInput

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def at(seconds: float, event_id: str = "e", *, student_id: int = 1, place: str = "door") -> Sighting:
    return Sighting(event_id, student_id, place, NOON + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("others", "stands"),
    [
        ([], None),
        ([0], 0),
        ([-59.999999], -59.999999),
        ([-60], None),
        ([60], None),
        ([59.999999], 59.999999),
        ([-30, 10], 10),
        ([-20, 20], -20),
    ],
)
def test_a_sighting_repeats_the_nearest_punch_inside_the_window(others: list[float], stands: float | None) -> None:
    found = repeated(NOON, [at(s) for s in others], 60)
    assert found == (None if stands is None else at(stands))


def test_without_debounce_nothing_repeats() -> None:
    assert repeated(NOON, [at(0)], 0) is None


def test_sightings_are_judged_in_the_order_of_capture_and_against_each_other() -> None:
    sightings = [at(100, "c"), at(0, "a"), at(59, "b"), at(0, "p", place="gate"), at(0, "s", student_id=2)]
    verdicts = judge(sightings, [at(-300, "old"), at(150, "young")], 60)
    assert {event: punch.event_id for event, punch in verdicts.items()} == {
        "a": "a",
        "b": "a",
        "c": "young",
        "p": "p",
        "s": "s",
    }


def test_whatever_the_order_of_arrival_punches_keep_their_distance() -> None:
    dice = random.Random(7)
    for _ in range(100):
        waiting = [at(dice.uniform(0, 600), str(n), student_id=dice.randint(1, 2)) for n in range(20)]
        ledger: list[Sighting] = []
        while waiting:
            batch = [waiting.pop() for _ in range(min(len(waiting), dice.randint(1, 6)))]
            verdicts = judge(batch, ledger, 60)
            assert set(verdicts) == {s.event_id for s in batch}
            ledger += [s for s in batch if verdicts[s.event_id] is s]
        for one in ledger:
            for other in ledger:
                same = one is other or one.student_id != other.student_id
                assert same or abs(one.captured_at - other.captured_at) >= timedelta(seconds=60)


@pytest.mark.parametrize(
    ("day", "zone", "start", "hours"),
    [
        (date(2026, 3, 2), "Asia/Shanghai", datetime(2026, 3, 1, 16, tzinfo=UTC), 24),
        (date(2026, 3, 29), "Europe/Berlin", datetime(2026, 3, 28, 23, tzinfo=UTC), 23),
        (date(2026, 10, 25), "Europe/Berlin", datetime(2026, 10, 24, 22, tzinfo=UTC), 25),
    ],
)
def test_a_day_is_the_days_of_the_school(day: date, zone: str, start: datetime, hours: int) -> None:
    assert day_bounds(day, ZoneInfo(zone)) == (start, start + timedelta(hours=hours))


@pytest.mark.parametrize("day", [date.max, date.min])
def test_the_ends_of_the_calendar_are_refused(day: date) -> None:
    with pytest.raises(InvalidInput):
        day_bounds(day, ZoneInfo("Asia/Shanghai"))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("张三", "张三"),
        ("  李 \t\n 四  ", "李 四"),
        ("e\u0301", "é"),
        ("👨‍👩‍👧", "👨‍👩‍👧"),
        ("🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"),
        ("'; DROP TABLE", "'; DROP TABLE"),
        ("\u3000全角\u3000", "全角"),
    ],
)
def test_names_are_tidied(given: str, kept: str) -> None:
    assert tidy(given, "name") == kept


@pytest.mark.parametrize("given", ["", " ", "\u200b", "a\x00", "a\x1b[31m", "a\u202eb", "\u2066a", "\ufeff", "\u0301"])
def test_what_cannot_be_seen_is_no_name(given: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        tidy(given, "class_name")
    assert caught.value.field == "class_name"


def test_a_name_may_be_as_long_as_its_column() -> None:
    assert len(tidy("字" * 128, "name")) == 128
    with pytest.raises(InvalidInput):
        tidy("字" * 129, "name")


def test_an_embedding_is_a_unit_vector() -> None:
    check_embedding("m", struct.pack("<4f", 0.5, 0.5, -0.5, 0.5))
    for bad in ([0.0] * 4, [0.5] * 5, [math.nan] * 4, [math.inf, 0, 0, 0]):
        with pytest.raises(InvalidInput):
            check_embedding("m", struct.pack(f"<{len(bad)}f", *bad))
    with pytest.raises(InvalidInput):
        check_embedding("m", b"\x00\x00\x80\x3f\x00")


def test_a_face_token_names_the_image_to_those_who_have_the_key() -> None:
    token = face_token(b"k" * 32, b"image")
    assert len(token) == 32 and set(token) <= set("0123456789abcdef")
    assert token == face_token(b"k" * 32, b"image")
    assert len({token, face_token(b"k" * 32, b"imagf"), face_token(b"l" * 32, b"image")}) == 3


@pytest.mark.parametrize(("number", "is_one"), [(1, True), (2**31 - 1, True), (0, False), (-1, False), (2**31, False)])
def test_row_ids(number: int, is_one: bool) -> None:
    assert is_row_id(number) is is_one


@pytest.mark.parametrize(
    ("weights", "room", "end"),
    [
        ([], 2, 9),
        ([(1, 1), (2, 1)], 2, 9),
        ([(1, 1), (2, 1), (3, 1)], 2, 2),
        ([(1, 1), (2, 1), (2, 1)], 2, 1),
        ([(4, 1), (4, 1), (4, 1)], 2, 4),
        ([(4, 1), (4, 1), (4, 1), (5, 1)], 2, 4),
        ([(1, 5)], 2, 1),
        ([(1, 1), (2, 5)], 2, 1),
    ],
)
def test_pages_are_whole_revisions(weights: list[tuple[int, int]], room: int, end: int) -> None:
    assert page_end(0, 9, weights, room) == end


def test_pages_always_go_on_and_never_overflow_but_for_one_revision() -> None:
    dice = random.Random(1)
    for _ in range(300):
        since, head = 3, 3 + dice.randint(1, 12)
        weights = sorted((dice.randint(4, head), dice.randint(1, 3)) for _ in range(dice.randint(0, 12)))
        room = dice.randint(1, 8)
        end = page_end(since, head, weights, room)
        inside = [(r, w) for r, w in weights if r <= end]
        assert since < end <= head
        assert sum(w for _, w in inside) <= room or len({r for r, _ in inside}) == 1


def test_guessing_gets_slower_up_to_a_bound() -> None:
    attempts, clock, waits = Attempts(), 100.0, []
    for _ in range(12):
        attempts.failed(clock)
        waits.append(attempts.wait_s(clock))
        clock += waits[-1]
        assert attempts.wait_s(clock) == 0
    assert waits == [0, 0, 0, 0, 1, 2, 4, 8, 16, LONGEST_DELAY_S, LONGEST_DELAY_S, LONGEST_DELAY_S]
    attempts.succeeded()
    attempts.failed(clock)
    assert attempts.wait_s(clock) == 0
