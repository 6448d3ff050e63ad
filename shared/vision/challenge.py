"""Active liveness: do as you are asked. A random row of actions, each within a time limit, by one face throughout.

Pure: what a frame shows and when go in with the attempt so far (shared.contracts.recognition.Challenge, which travels
with its source's track), the attempt after it comes out. Angles have Baidu's signs (yaw −90 left … 90 right, pitch −90
up … 90 down), as the picture shows them: a person before an unmirrored camera who turns to the own left turns to the
picture's right, so `Action` says which side of the picture is meant, and whoever shows the words mirrors them.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product

import numpy as np
from numpy.typing import NDArray

from shared.contracts.recognition import Action, Challenge, Rest, Step
from shared.vision.blink import CLOSED, OPEN, eye_opening, mouth_opening

Floats = NDArray[np.float32]

ASKED = (Action.TURN_LEFT, Action.TURN_RIGHT, Action.NOD, Action.OPEN_MOUTH)
"""What is asked. Not to blink: of a laughing face with shut eyes the mesh still says three fifths of the usual opening,
and nobody would pass (docs/models/liveness.md)."""

ROWS = tuple(
    row
    for row in product(ASKED, repeat=3)
    if Action.OPEN_MOUTH in row and {Action.TURN_LEFT, Action.TURN_RIGHT} & set(row) and row[0] != row[1] != row[2]
)
"""The rows of three that are asked, 24 of them: none asks for the same twice running, all for a turn, which a sheet
cannot do without showing that it is flat, and for an open mouth, which a print cannot do."""


@dataclass(frozen=True, slots=True)
class ChallengeSettings:
    """Degrees, and shares of the face's own resting state."""

    straight: float = 10.0
    """yaw and pitch of a resting face stay within this, seen from its own first frames"""
    turn: float = 18.0
    nod: float = 9.0
    mouth: float = 0.2
    """gap of the inner lips by width of the mouth, above its resting value; wide open mouths in LFW show 0.3 to 0.45,
    half of its faces less than 0.08"""
    longest_gap: timedelta = timedelta(seconds=0.7)
    """without the face, on frames that lack it"""
    longest_silence: timedelta = timedelta(seconds=3)
    """without a frame: a busy server is not the person's fault"""
    jump: float = 0.6
    """of the face's size: a face that stands farther from its last place is another one"""
    still_frames: int = 3
    """resting frames before an action"""


@dataclass(frozen=True, slots=True)
class Sight:
    """One frame of the face: its middle and size in pixels, where it looks in degrees, openings of eyes and mouth."""

    middle: tuple[float, float]
    size: float
    pose: Rest
    good: bool = True
    """good enough to be the picture that is registered"""
    flat: bool = False
    """the last seconds moved as a sheet does"""


def sight(mesh: Floats, yaw: float, pitch: float, *, good: bool = True, flat: bool = False) -> Sight:
    """Of a mesh of 468×2 (or ×3) points in pixels."""
    points = mesh[:, :2]
    x, y = (float(value) for value in points.mean(axis=0))
    pose = Rest(yaw=yaw, pitch=pitch, eyes=eye_opening(points), mouth=mouth_opening(points))
    return Sight((x, y), float(np.ptp(points, axis=0).max()), pose, good, flat)


def drawn(chance: random.Random) -> Challenge:
    """A new attempt at a random row. Pass random.SystemRandom() where someone could profit from guessing."""
    return Challenge(actions=chance.choice(ROWS))


def after(
    challenge: Challenge,
    seen: Sight | None,
    at: datetime,
    frame_id: str = "",
    settings: ChallengeSettings = ChallengeSettings(),
) -> Challenge:
    """The attempt after one more frame; `None` for a frame without the face. A frame that is older than the one before
    changes nothing."""
    if challenge.over or (challenge.seen_at is not None and at < challenge.seen_at):
        return challenge
    if challenge.since is None:
        challenge = challenge.model_copy(update={"since": at})
    if ended := _ended(challenge, seen, at, settings):
        return challenge.model_copy(update={"step": ended})
    if seen is None:
        return challenge
    challenge = challenge.model_copy(update={"seen_at": at, "middle": seen.middle, "size": seen.size})
    step = _acting if challenge.step is Step.ACTING else _waiting
    return step(challenge, seen, at, frame_id, settings)


def _ended(challenge: Challenge, seen: Sight | None, at: datetime, settings: ChallengeSettings) -> Step | None:
    """Why it fails at this frame, if it does."""
    if challenge.since is not None and at - challenge.since > timedelta(seconds=challenge.limit_s):
        return Step.TIMED_OUT
    gone = settings.longest_gap if seen is None else settings.longest_silence
    if challenge.seen_at is not None and challenge.rest and at - challenge.seen_at > gone:
        return Step.FACE_LOST
    if seen is None:
        return None
    if challenge.rest and _elsewhere(challenge, seen, settings.jump):
        return Step.FACE_CHANGED
    return Step.FLAT if seen.flat else None


def _elsewhere(challenge: Challenge, seen: Sight, jump: float) -> bool:
    moved = np.hypot(seen.middle[0] - challenge.middle[0], seen.middle[1] - challenge.middle[1])
    grown = max(seen.size, challenge.size) / max(min(seen.size, challenge.size), 1e-6)
    return bool(moved > jump * challenge.size) or grown > 1 + jump


def _waiting(challenge: Challenge, seen: Sight, at: datetime, frame_id: str, settings: ChallengeSettings) -> Challenge:
    """Rest before each action, so that one long turn does not serve two of them, and at the end."""
    resting = _straight(challenge.rest, seen.pose, settings.straight) and (seen.good or challenge.rest is not None)
    still = (*challenge.still, seen.pose)[-settings.still_frames :] if resting else ()
    if len(still) < settings.still_frames:
        return challenge.model_copy(update={"still": still})
    step = Step.PASSED if challenge.done == len(challenge.actions) else Step.ACTING
    begun = {"step": step, "since": at, "stage": 0, "still": ()}
    if challenge.rest is None:
        begun |= {"rest": _median(still), "picture": frame_id}
    return challenge.model_copy(update=begun)


def _straight(rest: Rest | None, pose: Rest, limit: float) -> bool:
    yaw, pitch = (rest.yaw, rest.pitch) if rest else (0.0, 0.0)
    # Before the resting pose is known, a camera above or below the face is allowed for.
    slack = limit * (1 if rest else 2)
    return abs(pose.yaw - yaw) <= limit and abs(pose.pitch - pitch) <= slack


def _acting(challenge: Challenge, seen: Sight, at: datetime, frame_id: str, settings: ChallengeSettings) -> Challenge:
    stages = _STAGES[challenge.actions[challenge.done]]
    stage = challenge.stage
    if challenge.rest is not None and stages[stage](seen.pose, challenge.rest, settings):
        stage += 1
    if stage < len(stages):
        return challenge.model_copy(update={"stage": stage})
    return challenge.model_copy(update={"step": Step.WAITING, "done": challenge.done + 1, "since": at, "stage": 0})


def _median(still: Sequence[Rest]) -> Rest:
    rows = np.median([(one.yaw, one.pitch, one.eyes, one.mouth) for one in still], axis=0)
    yaw, pitch, eyes, mouth = (float(value) for value in rows)
    return Rest(yaw=yaw, pitch=pitch, eyes=eyes, mouth=mouth)


Stage = Callable[[Rest, Rest, ChallengeSettings], bool]


def _eyes_closed(now: Rest, rest: Rest, settings: ChallengeSettings) -> bool:
    return now.eyes < CLOSED * rest.eyes


def _eyes_open(now: Rest, rest: Rest, settings: ChallengeSettings) -> bool:
    return now.eyes >= OPEN * rest.eyes


def _left(now: Rest, rest: Rest, settings: ChallengeSettings) -> bool:
    return now.yaw - rest.yaw <= -settings.turn


def _right(now: Rest, rest: Rest, settings: ChallengeSettings) -> bool:
    return now.yaw - rest.yaw >= settings.turn


def _down(now: Rest, rest: Rest, settings: ChallengeSettings) -> bool:
    return now.pitch - rest.pitch >= settings.nod


def _up(now: Rest, rest: Rest, settings: ChallengeSettings) -> bool:
    return now.pitch - rest.pitch < settings.nod / 2


def _mouth_open(now: Rest, rest: Rest, settings: ChallengeSettings) -> bool:
    return now.mouth - rest.mouth >= settings.mouth


# What must be seen, one after the other. Every action ends when the face rests again (`_waiting`).
_STAGES: dict[Action, tuple[Stage, ...]] = {
    Action.BLINK: (_eyes_closed, _eyes_open),
    Action.TURN_LEFT: (_left,),
    Action.TURN_RIGHT: (_right,),
    Action.NOD: (_down, _up),
    Action.OPEN_MOUTH: (_mouth_open,),
}
