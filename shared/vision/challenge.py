"""Active liveness: do as you are asked. A random row of actions, each within a time limit, by one face throughout.

Sans-IO: meshes, angles and times in, state out. Angles have Baidu's signs (yaw −90 left … 90 right, pitch −90 up …
90 down), as the picture shows them: a person before an unmirrored camera who turns to the own left turns to the
picture's right, so `Action` says which side of the picture is meant, and whoever shows the words mirrors them.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from shared.vision.blink import CLOSED, OPEN, eye_opening, mouth_opening
from shared.vision.liveness import Liveness, Verdict

Floats = NDArray[np.float32]


class Action(StrEnum):
    """What a person can be asked to do."""

    BLINK = "blink"
    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"
    NOD = "nod"
    OPEN_MOUTH = "open_mouth"


class Step(StrEnum):
    """Where the challenge is."""

    WAITING = "waiting"
    """for a face that looks straight ahead"""
    ACTING = "acting"
    """`current` is asked for"""
    PASSED = "passed"
    TIMED_OUT = "timed_out"
    FACE_LOST = "face_lost"
    FACE_CHANGED = "face_changed"


@dataclass(frozen=True, slots=True)
class ChallengeSettings:
    """Degrees, seconds, and shares of the face's own resting state."""

    straight: float = 10.0
    """yaw and pitch of a resting face stay within this, seen from its own first frames"""
    turn: float = 18.0
    nod: float = 9.0
    mouth: float = 0.25
    """gap of the inner lips by width of the mouth, above its resting value"""
    per_action: float = 6.0
    """seconds for each action"""
    to_begin: float = 10.0
    """seconds to look straight ahead, before the first and between two actions"""
    longest_gap: float = 0.7
    """seconds without a face"""
    jump: float = 0.6
    """of the face's size: a face that stands farther from its last place is another one"""
    still_frames: int = 3
    """resting frames before the first action"""


@dataclass(frozen=True, slots=True)
class Sight:
    """One frame: 468×2 mesh in pixels, yaw and pitch in degrees, and who it is, if the caller tracks faces."""

    mesh: Floats
    yaw: float
    pitch: float
    track: int = 0


@dataclass(frozen=True, slots=True)
class Rest:
    """The face's own values when it looks straight ahead: a low camera or narrow eyes are nobody's fault."""

    yaw: float
    pitch: float
    eyes: float
    mouth: float


def any_order(random_: random.Random, count: int = 3, among: Iterable[Action] = Action) -> tuple[Action, ...]:
    """`count` different actions; pass random.SystemRandom() where someone could profit from guessing."""
    return tuple(random_.sample(list(among), count))


@dataclass
class Challenge:
    """One person's attempt. Feed every frame to `see`, and `None` for a frame without the face."""

    actions: tuple[Action, ...]
    settings: ChallengeSettings = field(default_factory=ChallengeSettings)
    step: Step = field(default=Step.WAITING, init=False)
    done: int = field(default=0, init=False)
    _clock: float | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)
    _seen: float = field(default=0.0, init=False)
    _last: Sight | None = field(default=None, init=False)
    _still: list[Sight] = field(default_factory=list, init=False)
    _rest: Rest | None = field(default=None, init=False)
    _stage: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not self.actions:
            raise ValueError("a challenge without actions proves nothing")

    @property
    def current(self) -> Action | None:
        """What to ask for now."""
        return self.actions[self.done] if self.step is Step.ACTING else None

    @property
    def over(self) -> bool:
        """Further frames change nothing."""
        return self.step not in (Step.WAITING, Step.ACTING)

    def see(self, sight: Sight | None, seconds: float) -> Step:
        """One frame at a time that never goes back; the step after it. Raises ValueError if time goes back."""
        if self._clock is not None and seconds < self._clock:
            raise ValueError(f"frame at {seconds} s after one at {self._clock} s")
        self._since = seconds if self._clock is None else self._since
        self._clock = seconds
        if not self.over:
            self.step = self._after(sight, seconds)
        return self.step

    def verdict(self) -> Verdict:
        """LIVE if all was done; FAKE if the face was exchanged; else NOT_CHECKED: who does nothing proves nothing."""
        if self.step is Step.PASSED:
            return Verdict(Liveness.LIVE, 1.0, "passed")
        if self.step is Step.FACE_CHANGED:
            return Verdict(Liveness.FAKE, 0.0, self.step.value)
        return Verdict(Liveness.NOT_CHECKED, None, self.step.value)

    def _after(self, sight: Sight | None, now: float) -> Step:
        if self._late(now):
            return Step.TIMED_OUT
        if self._last is not None and now - self._seen > self.settings.longest_gap:
            return Step.FACE_LOST
        if sight is None:
            return self.step
        if self._last is not None and self._another(self._last, sight):
            return Step.FACE_CHANGED
        self._last, self._seen = sight, now
        if self.step is Step.WAITING or self._rest is None:
            return self._waiting(sight, now)
        return self._acting(sight, self._rest, now)

    def _late(self, now: float) -> bool:
        limit = self.settings.to_begin if self.step is Step.WAITING else self.settings.per_action
        return now - self._since > limit

    def _another(self, before: Sight, sight: Sight) -> bool:
        moved = np.linalg.norm(before.mesh[:, :2].mean(axis=0) - sight.mesh[:, :2].mean(axis=0))
        sizes = [float(np.ptp(mesh[:, :2], axis=0).max()) for mesh in (before.mesh, sight.mesh)]
        grown = max(sizes) / max(min(sizes), 1e-6) > 1 + self.settings.jump
        return before.track != sight.track or bool(moved > self.settings.jump * sizes[0]) or grown

    def _waiting(self, sight: Sight, now: float) -> Step:
        """Rest between actions, so that one long turn does not serve two of them."""
        self._still = [*self._still, sight] if self._straight(sight) else []
        if len(self._still) < self.settings.still_frames:
            return Step.WAITING
        self._rest = self._rest or _rest(self._still)
        self._still, self._stage, self._since = [], 0, now
        return Step.ACTING

    def _straight(self, sight: Sight) -> bool:
        yaw, pitch = (self._rest.yaw, self._rest.pitch) if self._rest else (0.0, 0.0)
        # Before the resting pose is known, a camera above or below the face is allowed for.
        slack = self.settings.straight * (1 if self._rest else 2)
        return abs(sight.yaw - yaw) <= self.settings.straight and abs(sight.pitch - pitch) <= slack

    def _acting(self, sight: Sight, rest: Rest, now: float) -> Step:
        stages = _STAGES[self.actions[self.done]]
        if stages[self._stage](sight, rest, self.settings):
            self._stage += 1
        if self._stage < len(stages):
            return Step.ACTING
        self.done, self._since = self.done + 1, now
        return Step.PASSED if self.done == len(self.actions) else Step.WAITING


def _rest(still: Sequence[Sight]) -> Rest:
    rows = [(s.yaw, s.pitch, eye_opening(s.mesh), mouth_opening(s.mesh)) for s in still]
    return Rest(*(float(value) for value in np.median(rows, axis=0)))


Stage = Callable[[Sight, Rest, ChallengeSettings], bool]


def _eyes_closed(sight: Sight, rest: Rest, settings: ChallengeSettings) -> bool:
    return eye_opening(sight.mesh) < CLOSED * rest.eyes


def _eyes_open(sight: Sight, rest: Rest, settings: ChallengeSettings) -> bool:
    return eye_opening(sight.mesh) >= OPEN * rest.eyes


def _left(sight: Sight, rest: Rest, settings: ChallengeSettings) -> bool:
    return sight.yaw - rest.yaw <= -settings.turn


def _right(sight: Sight, rest: Rest, settings: ChallengeSettings) -> bool:
    return sight.yaw - rest.yaw >= settings.turn


def _down(sight: Sight, rest: Rest, settings: ChallengeSettings) -> bool:
    return sight.pitch - rest.pitch >= settings.nod


def _up(sight: Sight, rest: Rest, settings: ChallengeSettings) -> bool:
    return sight.pitch - rest.pitch < settings.nod / 2


def _mouth_open(sight: Sight, rest: Rest, settings: ChallengeSettings) -> bool:
    return mouth_opening(sight.mesh) - rest.mouth >= settings.mouth


# What must be seen, one after the other. Turns end when the face rests again (`_waiting`).
_STAGES: dict[Action, tuple[Stage, ...]] = {
    Action.BLINK: (_eyes_closed, _eyes_open),
    Action.TURN_LEFT: (_left,),
    Action.TURN_RIGHT: (_right,),
    Action.NOD: (_down, _up),
    Action.OPEN_MOUTH: (_mouth_open,),
}
