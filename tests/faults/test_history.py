"""The history checker catches every broken promise, and nothing else."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.history import NOBODY, History, Kind, Ledger, Named, Punch, Sent, Told, violations

DEBOUNCE_S = 5.0
DOOR = "east"


def at(seconds: float) -> datetime:
    return datetime(2026, 3, 2, 8, tzinfo=UTC) + timedelta(seconds=seconds)


# s1 from second 0, nobody from 3, a stranger from 4, s2 from 8, s1 again from 20.
SENT = [Sent(at(0), "s1"), Sent(at(3), NOBODY), Sent(at(4), NOBODY), Sent(at(8), "s2"), Sent(at(20), "s1")]
FIRST = Punch("a-0", "s1", DOOR, at(1.25), at(1.5))
OTHER = Punch("b-0", "s2", DOOR, at(9.5), at(40))
AGAIN = Punch("c-0", "s1", DOOR, at(21), at(41))


def named(punch: Punch) -> Named:
    return Named(DOOR, DOOR, punch.event, punch.num, punch.captured_at + timedelta(milliseconds=20))


def told(punch: Punch, watcher: str = DOOR) -> Told:
    shown = punch.captured_at.replace(microsecond=0)
    return Told(watcher, punch.place, punch.event, punch.num, shown, punch.recorded_at + timedelta(seconds=0.1))


REPEAT = replace(told(AGAIN), event="d-0", captured_at=at(23), first_at=at(21))


def history() -> History:
    told_door = [told(FIRST), told(OTHER), told(AGAIN), REPEAT]
    told_wall = [told(FIRST, "wall"), told(AGAIN, "wall"), told(OTHER, "wall")]
    return History(
        sent={DOOR: list(SENT)},
        named=[named(FIRST), named(OTHER), named(AGAIN), Named("wall", DOOR, "d-0", "s1")],
        told=told_door + told_wall,
    )


LEDGER = Ledger((FIRST, OTHER, AGAIN), frozenset({"a-0", "b-0", "c-0", "d-0"}), accepted=4)


def kinds(shown: History, ledger: Ledger = LEDGER) -> set[Kind]:
    return {violation.kind for violation in violations(shown, ledger, DEBOUNCE_S)}


def with_punches(*punches: Punch) -> Ledger:
    """A ledger of these, with their events settled and accepted."""
    settled = LEDGER.settled | {punch.event for punch in punches}
    return Ledger(punches, settled, len(settled))


def test_a_clean_history_breaks_nothing() -> None:
    assert violations(history(), LEDGER, DEBOUNCE_S) == []


def test_an_identified_face_that_never_settled_is_lost() -> None:
    shown = history()
    shown.named.append(Named("wall", DOOR, "e-0", "s1"))
    assert kinds(shown) == {Kind.LOST}


@pytest.mark.parametrize(
    "ledger",
    [
        replace(LEDGER, accepted=5),
        replace(LEDGER, accepted=3),
        replace(LEDGER, unsent=1),
        replace(LEDGER, settled=LEDGER.settled - {"d-0"} | {"e-0"}),
        replace(LEDGER, settled=LEDGER.settled - {"a-0"} | {"e-0"}),
    ],
    ids=["accepted and not settled", "settled twice", "not announced", "shown, not settled", "punch without inbox"],
)
def test_an_event_that_was_accepted_and_went_astray_is_lost(ledger: Ledger) -> None:
    assert kinds(history(), ledger) == {Kind.LOST}


def test_two_rows_of_one_event_are_doubled() -> None:
    assert Kind.DOUBLED in kinds(history(), with_punches(FIRST, FIRST, OTHER, AGAIN))


def test_two_punches_of_one_visit_are_doubled() -> None:
    twice = replace(FIRST, event="f-0", captured_at=at(2.5), recorded_at=at(3))
    assert kinds(history(), with_punches(FIRST, twice, OTHER, AGAIN)) == {Kind.DOUBLED}


def test_the_same_student_at_another_place_is_not_doubled() -> None:
    shown = history()
    shown.sent["west"] = list(SENT)
    elsewhere = replace(FIRST, event="f-0", place="west", captured_at=at(2))
    assert kinds(shown, with_punches(FIRST, elsewhere, OTHER, AGAIN)) == set()


@pytest.mark.parametrize(
    "wrong",
    [
        replace(told(FIRST), event="e-0"),
        replace(told(AGAIN), heard_at=at(40.9)),
        replace(told(FIRST), place="west"),
        replace(told(AGAIN), first_at=at(21)),
        replace(REPEAT, first_at=at(19)),
    ],
    ids=["no row", "said too early", "elsewhere", "repeat that is a punch", "repeats nothing"],
)
def test_a_word_that_the_ledger_does_not_bear_out_is_unfounded(wrong: Told) -> None:
    shown = history()
    shown.told.append(replace(wrong, watcher="another wall"))
    assert kinds(shown) == {Kind.UNFOUNDED}


def test_a_stranger_who_gets_a_punch_is_misnamed() -> None:
    stranger = replace(OTHER, event="f-0", captured_at=at(4.5))
    assert kinds(history(), with_punches(FIRST, stranger, OTHER, AGAIN)) == {Kind.MISNAMED}


def test_a_student_taken_for_another_is_misnamed() -> None:
    taken = replace(FIRST, event="f-0", captured_at=at(14), recorded_at=at(15))
    assert kinds(history(), with_punches(FIRST, OTHER, taken, AGAIN)) == {Kind.MISNAMED}


@pytest.mark.parametrize(("seconds", "caught"), [(3.3, set()), (3.6, {Kind.MISNAMED}), (4.5, {Kind.MISNAMED})])
def test_a_name_shown_for_nobody_is_caught_once_the_picture_can_only_be_of_nobody(
    seconds: float, caught: set[Kind]
) -> None:
    shown = history()
    shown.named.append(Named(DOOR, DOOR, "d-0", "s1", at(seconds)))
    assert kinds(shown) == caught


@pytest.mark.parametrize(("since", "caught"), [(2.9, set()), (3.6, {Kind.MISNAMED})])
def test_an_answer_that_was_held_up_may_be_of_any_picture_since_the_one_before(since: float, caught: set[Kind]) -> None:
    shown = history()
    shown.named.append(Named(DOOR, DOOR, "d-0", "s1", at(7), at(since)))
    assert kinds(shown) == caught


@pytest.mark.parametrize(("seconds", "caught"), [(3.3, set()), (3.6, {Kind.MISNAMED})])
def test_a_camera_that_hurries_may_have_sent_the_next_picture_already(seconds: float, caught: set[Kind]) -> None:
    late = replace(FIRST, captured_at=at(seconds), recorded_at=at(seconds + 0.2))
    shown = History(sent={DOOR: list(SENT)})
    assert kinds(shown, with_punches(late)) == {Kind.MISNAMED}
    shown.hurried.add(DOOR)
    assert kinds(shown, with_punches(late)) == caught


def test_a_stranger_who_is_said_to_be_back_is_misnamed() -> None:
    shown = history()
    shown.told.append(replace(REPEAT, captured_at=at(5), first_at=at(1)))
    assert kinds(shown) == {Kind.MISNAMED}


def test_one_event_with_two_names_is_misnamed() -> None:
    shown = history()
    shown.named.append(Named("wall", DOOR, "d-0", "s2"))
    assert kinds(shown) == {Kind.MISNAMED}


def test_a_place_without_a_camera_can_have_no_punch() -> None:
    assert kinds(history(), with_punches(FIRST, OTHER, AGAIN, replace(FIRST, event="f-0", place="west"))) == {
        Kind.MISNAMED
    }


def test_a_punch_with_the_time_of_its_writing_is_caught() -> None:
    shown = history()
    late = replace(AGAIN, captured_at=at(41), recorded_at=at(41))
    shown.told = [told(FIRST), told(OTHER), told(late)]
    assert kinds(shown, replace(LEDGER, punches=(FIRST, OTHER, late))) == {Kind.TIME}


def test_a_screen_that_shows_another_time_is_caught() -> None:
    shown = history()
    shown.told.append(replace(told(OTHER, "another wall"), captured_at=at(40)))
    assert kinds(shown) == {Kind.TIME}


def test_a_visit_whose_later_sighting_is_the_punch_is_out_of_order() -> None:
    shown = history()
    shown.told.append(replace(REPEAT, event="e-0", captured_at=at(20)))
    ledger = replace(LEDGER, settled=LEDGER.settled | {"e-0"}, accepted=5)
    assert kinds(shown, ledger) == {Kind.ORDER}


def test_punches_of_one_student_written_in_another_order_are_caught() -> None:
    assert kinds(history(), with_punches(AGAIN, OTHER, FIRST)) == {Kind.ORDER}


def test_a_screen_told_of_an_earlier_punch_after_a_later_one_is_caught() -> None:
    shown = history()
    shown.told += [told(AGAIN, "another wall"), told(FIRST, "another wall")]
    assert kinds(shown) == {Kind.ORDER}
