"""Who does what is asked passes; who does nothing is not called a fake; who is exchanged on the way is."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError

from shared.contracts.recognition import Action, Challenge, Step
from shared.vision.blink import EYES, LIPS, blinks, eye_opening, mouth_opening
from shared.vision.challenge import ASKED, ROWS, Sight, after, drawn, sight
from shared.vision.pose import canonical

FPS = 15.0
START = datetime(2026, 3, 1, tzinfo=UTC)


def mesh_with(*, eyes: float = 1, mouth: float = 0, at: float = 320, size: float = 70) -> np.ndarray:
    """The canonical face with its lids and lips moved; `eyes` is the share of their opening, `mouth` of its width."""
    mesh = canonical()[:, :2].copy()
    for _, pairs in EYES:
        for upper, lower in pairs:
            mesh[upper] = mesh[lower] + (mesh[upper] - mesh[lower]) * eyes
    width = np.linalg.norm(mesh[LIPS[0][0]] - mesh[LIPS[0][1]])
    for upper, lower in LIPS[1]:
        mesh[lower] = mesh[upper] + np.array([0, mouth * width], np.float32)
    return (mesh * size + np.array([at, 240])).astype(np.float32)


def drawn_face(
    yaw: float = 0, pitch: float = 0, *, eyes: float = 1, mouth: float = 0, at: float = 320, size: float = 70
) -> Sight:
    return sight(mesh_with(eyes=eyes, mouth=mouth, at=at, size=size), yaw, pitch)


def doing(action: Action) -> list[Sight]:
    """Rest, the action over some frames, rest."""
    face = drawn_face
    strokes = {
        Action.BLINK: [face(eyes=0.9), face(eyes=0.3), face(eyes=0.2), face(eyes=0.9)],
        Action.TURN_LEFT: [face(yaw=-8), face(yaw=-19), face(yaw=-25), face(yaw=-12)],
        Action.TURN_RIGHT: [face(yaw=8), face(yaw=19), face(yaw=25), face(yaw=12)],
        Action.NOD: [face(pitch=6), face(pitch=14), face(pitch=6), face(pitch=1)],
        Action.OPEN_MOUTH: [face(mouth=0.2), face(mouth=0.5), face(mouth=0.2)],
    }
    return [face()] * 4 + strokes[action] + [face()] * 4


def asking(*actions: Action) -> Challenge:
    return Challenge(actions=actions)


def played(challenge: Challenge, sights: list[Sight | None], start: float = 0) -> Challenge:
    """Feeds the frames, each with the state packed and unpacked as it travels."""
    for i, seen in enumerate(sights):
        at = START + timedelta(seconds=start + i / FPS)
        challenge = after(Challenge.decode(challenge.encode()), seen, at, f"frame-{i}")
    return challenge


@pytest.mark.parametrize("action", list(Action))
def test_each_action_is_recognised(action: Action) -> None:
    assert played(asking(action), list(doing(action))).step is Step.PASSED


@pytest.mark.parametrize("asked", list(Action))
@pytest.mark.parametrize("done", list(Action))
def test_another_action_does_not_count(asked: Action, done: Action) -> None:
    if asked is done:
        return
    challenge = played(asking(asked), list(doing(done)))
    assert (challenge.done, challenge.over) == (0, False)


def test_whatever_is_drawn_can_be_done_in_that_order() -> None:
    for row in ROWS:
        assert played(asking(*row), [seen for action in row for seen in doing(action)]).step is Step.PASSED, row


def test_a_row_asks_for_a_turn_and_an_open_mouth_and_never_twice_running() -> None:
    assert len(ROWS) == 22
    for row in ROWS:
        assert Action.OPEN_MOUTH in row
        assert {Action.TURN_LEFT, Action.TURN_RIGHT} & set(row)
        assert all(one is not other for one, other in pairwise(row))
    assert Action.BLINK not in ASKED


def test_every_row_is_drawn_sooner_or_later() -> None:
    chance = random.Random(1)
    assert {drawn(chance).actions for _ in range(500)} == set(ROWS)


def test_actions_in_the_wrong_order_do_not_count() -> None:
    challenge = played(asking(Action.TURN_LEFT, Action.NOD), [*doing(Action.NOD), *doing(Action.TURN_LEFT)])
    assert challenge.done == 1
    assert challenge.current is Action.NOD


def test_one_long_turn_serves_one_action_only() -> None:
    challenge = played(asking(Action.TURN_LEFT, Action.TURN_LEFT), [drawn_face()] * 4 + [drawn_face(yaw=-30)] * 20)
    assert (challenge.done, challenge.step) == (1, Step.WAITING)


def test_the_last_action_counts_when_the_face_rests_again() -> None:
    turning = [*[drawn_face()] * 4, drawn_face(yaw=-25)]
    assert played(asking(Action.TURN_LEFT), turning).step is Step.WAITING
    assert played(asking(Action.TURN_LEFT), [*turning, *[drawn_face()] * 3]).step is Step.PASSED


def test_the_picture_is_the_first_that_shows_a_good_face_at_rest() -> None:
    dark = replace(drawn_face(), good=False)
    challenge = played(asking(Action.NOD), [dark, dark, dark, *doing(Action.NOD)])
    assert (challenge.step, challenge.picture) == (Step.PASSED, "frame-5")
    assert played(asking(Action.NOD), [dark] * 30).step is Step.WAITING


def test_what_moves_as_a_sheet_is_flat() -> None:
    challenge = played(asking(Action.NOD), [*[drawn_face()] * 4, replace(drawn_face(pitch=14), flat=True)])
    assert challenge.step is Step.FLAT


def test_a_still_photo_times_out() -> None:
    assert played(asking(Action.BLINK), [drawn_face()] * 150).step is Step.TIMED_OUT


def test_nobody_there_times_out_as_well() -> None:
    assert played(asking(Action.BLINK), [None] * 200).step is Step.TIMED_OUT


def test_after_the_end_nothing_changes() -> None:
    ended = played(asking(Action.NOD), [None] * 200)
    assert played(ended, list(doing(Action.NOD)), 20) == ended


def test_a_face_may_be_missed_for_a_moment_but_not_for_long() -> None:
    challenge = played(asking(Action.NOD), [*[drawn_face()] * 4, *[None] * 6, drawn_face()])
    assert challenge.step is Step.ACTING
    assert played(challenge, [*[None] * 12, drawn_face()], 11 / FPS).step is Step.FACE_LOST


def test_a_busy_server_is_not_the_persons_fault_but_a_long_silence_ends_it() -> None:
    begun = played(asking(Action.NOD), [drawn_face()] * 4)
    assert played(begun, [drawn_face()], 2).step is Step.ACTING
    assert played(begun, [drawn_face()], 3.5).step is Step.FACE_LOST


@pytest.mark.parametrize("other", [drawn_face(at=600), drawn_face(size=140)], ids=["elsewhere", "larger"])
def test_another_face_ends_it(other: Sight) -> None:
    challenge = played(asking(Action.NOD), [*[drawn_face()] * 4, other, *doing(Action.NOD)])
    assert challenge.step is Step.FACE_CHANGED


def test_a_low_camera_is_nobodys_fault() -> None:
    """Everything is seen from 15° below: the resting pitch is taken from the face itself."""
    sights = [*doing(Action.NOD), *doing(Action.TURN_LEFT)]
    lower = [replace(s, pose=s.pose.model_copy(update={"pitch": s.pose.pitch - 15})) for s in sights]
    assert played(asking(Action.NOD, Action.TURN_LEFT), lower).step is Step.PASSED


def test_a_frame_from_the_past_changes_nothing() -> None:
    challenge = played(asking(Action.NOD), [drawn_face()] * 4, 5)
    assert after(challenge, None, START) == challenge
    assert after(challenge, drawn_face(pitch=14), START) == challenge


def test_nothing_asked_proves_nothing() -> None:
    with pytest.raises(ValidationError):
        Challenge(actions=())


def test_what_travels_stays_small() -> None:
    challenge = played(asking(*ROWS[0]), [drawn_face()] * 40)
    assert len(challenge.encode()) < 1_000


def test_openings_follow_lids_and_lips() -> None:
    wide, narrow = (eye_opening(mesh_with(eyes=share)) for share in (1, 0.3))
    assert narrow == pytest.approx(0.3 * wide, rel=0.01)
    assert mouth_opening(mesh_with(mouth=0.4)) == pytest.approx(0.4, rel=0.01)


@pytest.mark.parametrize(
    ("openings", "count"),
    [
        ([0.3, 0.3, 0.1, 0.1, 0.3, 0.3], 1),
        ([0.3, 0.1, 0.3, 0.3, 0.1, 0.3], 2),
        ([0.3, 0.3, 0.25, 0.28, 0.3, 0.3], 0),
        ([0.1, 0.1, 0.3, 0.3, 0.3, 0.3], 0),
        ([0.3, 0.3, 0.3, 0.3, 0.1, 0.1], 0),
        ([0.3, *[0.1] * 12, *[0.3] * 30], 0),
        ([0.3], 0),
    ],
    ids=["one", "two", "flutter", "only opening", "only closing", "asleep", "too short"],
)
def test_blinks(openings: list[float], count: int) -> None:
    assert blinks([i / FPS for i in range(len(openings))], openings) == count
