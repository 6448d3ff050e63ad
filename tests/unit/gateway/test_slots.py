"""One slot per source: the newest frame wins, and one turn at most is out."""

from datetime import timedelta

from gateway.slots import Slots
from shared.contracts.base import now
from shared.contracts.recognition import Frame, Result, SourceKind, Track


def a_frame(source: str = "s", number: int = 1, seconds: float = 5) -> Frame:
    return Frame(
        frame_id=f"f{number}",
        source=source,
        kind=SourceKind.WEB,
        place="门",
        deadline=now() + timedelta(seconds=seconds),
        jpeg=b"\xff\xd8\xff\xd9",
    )


def a_result(frame: Frame, track: Track | None = None) -> Result:
    return Result(frame_id=frame.frame_id, source=frame.source, captured_at=now(), track=track or Track())


def test_the_first_frame_asks_for_a_turn_and_the_next_ones_do_not() -> None:
    slots = Slots()
    assert [slots.put(a_frame(number=n), now=n) for n in range(3)] == [True, False, False]
    assert slots.counts.replaced == 2


def test_a_recognizer_gets_the_newest_frame() -> None:
    slots = Slots()
    for number in range(3):
        slots.put(a_frame(number=number), now=0)
    frame = slots.take("s", now=1, at=now())
    assert frame is not None
    assert frame.frame_id == "f2"


def test_a_frame_stays_until_its_result_so_that_a_dead_recognizer_costs_nothing() -> None:
    slots = Slots()
    slots.put(a_frame(), now=0)
    assert slots.take("s", now=1, at=now()) == slots.take("s", now=2, at=now())


def test_a_redelivered_turn_gets_the_frame_that_came_meanwhile() -> None:
    slots = Slots()
    slots.put(a_frame(number=1), now=0)
    slots.take("s", now=1, at=now())
    slots.put(a_frame(number=2), now=2)
    newer = slots.take("s", now=3, at=now())
    assert newer is not None
    assert newer.frame_id == "f2"


def test_a_result_ends_the_turn_and_a_newer_frame_asks_for_the_next() -> None:
    slots = Slots()
    first, second = a_frame(number=1), a_frame(number=2)
    slots.put(first, now=0)
    slots.take("s", now=1, at=now())
    slots.put(second, now=2)
    assert slots.settle(a_result(first), now=3)
    assert not slots.settle(a_result(second), now=4)
    assert slots.take("s", now=5, at=now()) is None
    assert slots.put(a_frame(number=3), now=6)


def test_the_track_travels_with_the_next_frame() -> None:
    slots, first = Slots(), a_frame(number=1)
    slots.put(first, now=0)
    track = Track(faces=())
    slots.settle(a_result(first, track), now=1)
    slots.put(a_frame(number=2), now=2)
    frame = slots.take("s", now=3, at=now())
    assert frame is not None
    assert frame.track is track


def test_a_lost_turn_is_asked_for_again_but_not_at_once_again() -> None:
    slots = Slots()
    slots.put(a_frame(), now=0)
    assert slots.overdue(now=2, patience_s=2.5) == []
    assert slots.overdue(now=3, patience_s=2.5) == ["s"]
    assert slots.overdue(now=4, patience_s=2.5) == []


def test_a_turn_that_is_in_work_is_not_lost() -> None:
    slots = Slots()
    slots.put(a_frame(), now=0)
    for second in range(1, 9):
        slots.in_work("s", now=second)
        assert slots.overdue(now=second + 1, patience_s=2.5) == []
    assert slots.overdue(now=11, patience_s=2.5) == ["s"]


def test_late_words_of_work_ask_for_nothing() -> None:
    slots, frame = Slots(), a_frame()
    slots.in_work("s", now=0)
    assert len(slots) == 0
    slots.put(frame, now=0)
    slots.settle(a_result(frame), now=1)
    slots.in_work("s", now=2)
    assert slots.put(a_frame(number=2), now=3)


def test_a_frame_whose_time_is_over_is_neither_handed_out_nor_asked_for_again() -> None:
    slots = Slots()
    slots.put(a_frame(seconds=-0.001), now=0)
    assert slots.take("s", now=1, at=now()) is None
    assert slots.counts.handed_out == 0
    assert slots.overdue(now=60, patience_s=2.5) == slots.waiting() == []
    assert slots.put(a_frame(number=2), now=61), "the next one has a turn of its own"


def test_sources_do_not_disturb_each_other() -> None:
    slots = Slots()
    assert slots.put(a_frame("a"), now=0)
    assert slots.put(a_frame("b"), now=0)
    slots.forget("a")
    assert slots.take("a", now=1, at=now()) is None
    assert slots.take("b", now=1, at=now()) is not None
    assert slots.waiting() == ["b"]


def test_the_result_of_a_source_that_left_is_nothing() -> None:
    assert not Slots().settle(a_result(a_frame()), now=0)
