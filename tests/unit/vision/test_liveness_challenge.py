"""Who does what is asked passes; who does nothing is not called a fake; who is exchanged on the way is."""

import random
from collections.abc import Iterator

import numpy as np
import pytest

from shared.vision.blink import EYES, LIPS, blinks, eye_opening, mouth_opening
from shared.vision.challenge import Action, Challenge, ChallengeSettings, Sight, Step, any_order
from shared.vision.liveness import Liveness
from shared.vision.pose import canonical

FPS = 15.0


def drawn(yaw: float = 0, pitch: float = 0, *, eyes: float = 1, mouth: float = 0, at: float = 320) -> Sight:
    """The canonical face with its lids and lips moved; `eyes` is the share of their opening, `mouth` of its width."""
    mesh = canonical()[:, :2].copy()
    for _, pairs in EYES:
        for upper, lower in pairs:
            mesh[upper] = mesh[lower] + (mesh[upper] - mesh[lower]) * eyes
    width = np.linalg.norm(mesh[LIPS[0][0]] - mesh[LIPS[0][1]])
    for upper, lower in LIPS[1]:
        mesh[lower] = mesh[upper] + np.array([0, mouth * width], np.float32)
    return Sight((mesh * 70 + np.array([at, 240])).astype(np.float32), yaw, pitch)


def doing(action: Action) -> list[Sight]:
    """Rest, the action over some frames, rest."""
    strokes = {
        Action.BLINK: [drawn(eyes=0.9), drawn(eyes=0.3), drawn(eyes=0.2), drawn(eyes=0.9)],
        Action.TURN_LEFT: [drawn(yaw=-8), drawn(yaw=-19), drawn(yaw=-25), drawn(yaw=-12)],
        Action.TURN_RIGHT: [drawn(yaw=8), drawn(yaw=19), drawn(yaw=25), drawn(yaw=12)],
        Action.NOD: [drawn(pitch=6), drawn(pitch=14), drawn(pitch=6), drawn(pitch=1)],
        Action.OPEN_MOUTH: [drawn(mouth=0.2), drawn(mouth=0.5), drawn(mouth=0.2)],
    }
    return [drawn()] * 4 + strokes[action] + [drawn()] * 4


def played(challenge: Challenge, sights: list[Sight | None], start: float = 0) -> float:
    """Feeds the frames; the time of the next."""
    for i, sight in enumerate(sights):
        challenge.see(sight, start + i / FPS)
    return start + len(sights) / FPS


@pytest.mark.parametrize("action", list(Action))
def test_each_action_is_recognised(action: Action) -> None:
    challenge = Challenge((action,))
    played(challenge, list(doing(action)))
    assert challenge.step is Step.PASSED
    assert challenge.verdict().answer is Liveness.LIVE


@pytest.mark.parametrize("asked", list(Action))
@pytest.mark.parametrize("done", list(Action))
def test_another_action_does_not_count(asked: Action, done: Action) -> None:
    if asked is done:
        return
    challenge = Challenge((asked,))
    played(challenge, list(doing(done)))
    assert challenge.step in (Step.ACTING, Step.WAITING)
    assert challenge.done == 0


def test_all_actions_in_any_order() -> None:
    for seed in range(20):
        actions = any_order(random.Random(seed), 5)
        challenge = Challenge(actions)
        played(challenge, [sight for action in actions for sight in doing(action)])
        assert challenge.step is Step.PASSED, actions


def test_the_order_is_not_always_the_same_and_names_nothing_twice() -> None:
    orders = {any_order(random.Random(seed)) for seed in range(50)}
    assert len(orders) > 20
    assert all(len(set(order)) == 3 for order in orders)


def test_actions_in_the_wrong_order_do_not_count() -> None:
    challenge = Challenge((Action.TURN_LEFT, Action.NOD))
    played(challenge, [*doing(Action.NOD), *doing(Action.TURN_LEFT)])
    assert challenge.done == 1
    assert challenge.current is Action.NOD


def test_one_long_turn_serves_one_action_only() -> None:
    challenge = Challenge((Action.TURN_LEFT, Action.TURN_LEFT))
    played(challenge, [drawn()] * 4 + [drawn(yaw=-30)] * 20)
    assert (challenge.done, challenge.step) == (1, Step.WAITING)


def test_a_still_photo_times_out_and_is_not_called_a_fake() -> None:
    challenge = Challenge((Action.BLINK,))
    played(challenge, [drawn()] * 150)
    verdict = challenge.verdict()
    assert challenge.step is Step.TIMED_OUT
    assert (verdict.answer, verdict.score, verdict.reason) == (Liveness.NOT_CHECKED, None, "timed_out")


def test_nobody_there_times_out_as_well() -> None:
    challenge = Challenge((Action.BLINK,))
    played(challenge, [None] * 200)
    assert challenge.step is Step.TIMED_OUT
    assert challenge.verdict().answer is Liveness.NOT_CHECKED


def test_before_the_end_nothing_is_said() -> None:
    assert Challenge((Action.BLINK,)).verdict().answer is Liveness.NOT_CHECKED


def test_a_face_may_be_missed_for_a_moment_but_not_for_long() -> None:
    challenge = Challenge((Action.NOD,))
    now = played(challenge, [*[drawn()] * 4, *[None] * 6, drawn()])
    assert challenge.step is Step.ACTING
    played(challenge, [*[None] * 12, drawn()], now)
    assert challenge.step is Step.FACE_LOST


def exchanged() -> Iterator[Sight]:
    yield drawn(at=600)
    yield Sight(drawn().mesh * 2, 0, 0)
    yield Sight(drawn().mesh, 0, 0, track=2)


@pytest.mark.parametrize("other", list(exchanged()), ids=["elsewhere", "larger", "another track"])
def test_another_face_ends_it(other: Sight) -> None:
    challenge = Challenge((Action.NOD,))
    played(challenge, [*[drawn()] * 4, other, *doing(Action.NOD)])
    assert challenge.step is Step.FACE_CHANGED
    assert challenge.verdict().answer is Liveness.FAKE


def test_a_low_camera_is_nobodys_fault() -> None:
    """Everything is seen from 15° below: the resting pitch is taken from the face itself."""
    challenge = Challenge((Action.NOD, Action.TURN_LEFT))
    sights = [*doing(Action.NOD), *doing(Action.TURN_LEFT)]
    played(challenge, [Sight(sight.mesh, sight.yaw, sight.pitch - 15) for sight in sights])
    assert challenge.step is Step.PASSED


def test_time_does_not_go_back() -> None:
    challenge = Challenge((Action.NOD,))
    challenge.see(drawn(), 5)
    with pytest.raises(ValueError, match="after"):
        challenge.see(drawn(), 4)


def test_nothing_asked_proves_nothing() -> None:
    with pytest.raises(ValueError, match="without actions"):
        Challenge(())


def test_slow_people_get_the_time_that_is_set() -> None:
    slow = [*[drawn()] * 4, *[drawn()] * 120, *doing(Action.NOD)]
    hasty, patient = Challenge((Action.NOD,)), Challenge((Action.NOD,), ChallengeSettings(per_action=20))
    played(hasty, list(slow))
    played(patient, list(slow))
    assert (hasty.step, patient.step) == (Step.TIMED_OUT, Step.PASSED)


def test_openings_follow_lids_and_lips() -> None:
    wide, narrow = (eye_opening(drawn(eyes=share).mesh) for share in (1, 0.3))
    assert narrow == pytest.approx(0.3 * wide, rel=0.01)
    assert mouth_opening(drawn(mouth=0.4).mesh) == pytest.approx(0.4, rel=0.01)


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
