"""Who is named, when, and how often it is reported."""

from datetime import timedelta

from recognizer.index import Match
from shared.contracts.base import now
from shared.contracts.recognition import Box, Track, TrackedFace
from shared.vision.decision import LOOK_AGAIN, MARGIN, REPORT_AGAIN, continued, decide, known_from_track, sure

HERE = Box(left=100, top=100, width=100, height=100)
NEAR = Box(left=110, top=105, width=100, height=100)
AWAY = Box(left=400, top=100, width=100, height=100)
START = now()


def look(past: TrackedFace | None, found: int, seconds: float = 0, streaming: bool = True):  # type: ignore[no-untyped-def]
    at = START + timedelta(seconds=seconds)
    return decide(past, HERE, at, found, 90.0, streaming=streaming, event_id=f"e{seconds}")


def test_a_match_must_reach_the_threshold_and_stand_clear_of_the_next_person() -> None:
    assert sure(Match(7, 0.60, 0.20), 0.5) == 7
    assert sure(Match(7, 0.49, 0.20), 0.5) == 0
    assert sure(Match(7, 0.60, 0.60 - MARGIN / 2), 0.5) == 0
    assert sure(None, 0.5) == 0


def test_a_single_picture_is_decided_on_its_own() -> None:
    decision = look(None, 7, streaming=False)
    assert (decision.student_id, decision.pending, decision.news) == (7, False, True)


def test_in_a_stream_two_looks_must_agree() -> None:
    first = look(None, 7)
    assert (first.student_id, first.pending, first.news) == (0, True, False)
    second = look(first.face, 7, 0.2)
    assert (second.student_id, second.news, second.face.event_id) == (7, True, "e0.2")


def test_one_disagreeing_look_does_not_undo_two() -> None:
    face = look(look(None, 7).face, 7, 0.2).face
    third = look(face, 0, 0.4)
    assert third.student_id == 0
    fourth = look(third.face, 7, 0.6)
    assert (fourth.student_id, fourth.news) == (7, False)


def test_a_stranger_is_called_one_only_when_two_looks_say_so() -> None:
    first = look(None, 0)
    assert (first.student_id, first.pending) == (0, True)
    second = look(first.face, 0, 0.2)
    assert (second.student_id, second.pending, second.news) == (0, False, False)
    assert not look(None, 0, streaming=False).pending


def test_two_different_people_in_turn_are_nobody() -> None:
    face = None
    for step, found in enumerate((7, 8, 9)):
        decision = look(face, found, step * 0.2)
        face = decision.face
        assert decision.student_id == 0


def test_somebody_who_stays_is_reported_once_then_again_after_a_while() -> None:
    face, reports = None, []
    for tick in range(60):
        decision = look(face, 7, tick * 0.2)
        face = decision.face
        if decision.news:
            reports.append(tick * 0.2)
    assert len(reports) == 2
    assert reports[1] - reports[0] >= REPORT_AGAIN.total_seconds()


def test_a_face_that_moves_a_little_continues_its_track_and_one_elsewhere_does_not() -> None:
    track = Track(faces=(TrackedFace(box=HERE, seen_at=START),))
    assert continued(track, NEAR, START + timedelta(seconds=1)) is not None
    assert continued(track, AWAY, START + timedelta(seconds=1)) is None
    assert continued(track, HERE, START + timedelta(seconds=3)) is None


def test_a_steady_reported_face_is_answered_from_its_track_but_looked_at_again_soon() -> None:
    reported = look(look(None, 7).face, 7, 0.2).face
    soon = START + timedelta(seconds=0.4)
    assert known_from_track(reported, NEAR, soon)
    assert not known_from_track(reported, AWAY, soon)
    assert not known_from_track(reported, NEAR, START + timedelta(seconds=0.2) + LOOK_AGAIN)
    assert not known_from_track(None, NEAR, soon)


def test_a_track_whose_last_look_disagreed_is_looked_at_again() -> None:
    reported = look(look(None, 7).face, 7, 0.2).face
    doubted = look(reported, 0, 0.4).face
    assert not known_from_track(doubted, HERE, START + timedelta(seconds=0.5))
