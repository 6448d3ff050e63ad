"""Is it flat? A photo moved, tilted or bent before the camera is told from a head by what a nose does.

When a flat sheet moves, all its points follow one homography; when it is bent, one smooth warp. When a head turns by
an angle a, every point moves by sin(a) times how far it stands out, as well. From one frame to another

    points' = polynomial of degree 2 (points) + e · relief

where the polynomial stands for the best homography and for bending of the sheet, and the relief is what a mean head
(shared/vision/pose.py) has in depth that no such polynomial can make: mostly the nose against its
surroundings. |e| is the sine of the turn: near 0 for the sheet however it moves, while the linear part of the
polynomial says how far a sheet must have been tilted to look like this.

A look keeps POINTS points of the mesh, small enough to travel with a track: rounded to 16 bits, their parallax differs
from that of all points by 0.3° on made sheets and 1° on made heads (docs/models/liveness.md).

Sans-IO: meshes and times in, an answer out; no clock and no camera.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from shared.vision.blink import blinks, eye_opening
from shared.vision.liveness import Liveness, Verdict
from shared.vision.pose import canonical

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FlatnessSettings:
    """Limits, measured in docs/models/liveness.md. Angles in degrees."""

    window: float = 2.0
    """seconds looked back on"""
    max_looks: int = 24
    """looks kept; those that come faster than twelve a second are left out"""
    min_looks: int = 8
    min_span: float = 1.0
    """seconds between first and last look, below which nothing is said"""
    turn: float = 12.0
    """parallax of a head turned by this much is a head …"""
    share: float = 0.8
    """… if it is at least this part of the tilt: the mesh network half believes in the head on a tilted photo"""
    noise: float = 13.0
    """tilt that is only noise and expression; faces that hold still show 14 in the middle"""
    tilt: float = 30.0
    """a change of shape that needs a sheet tilted by this much, with little parallax, is a sheet"""
    steady: int = 3
    """looks in a row after which it must hold: asked at every frame, one bad mesh would be one chance too many"""
    doubt: float = 0.4
    """part of the parallax needed, above which a tilted sheet is not called a fake"""


@dataclass(frozen=True, slots=True)
class Motion:
    """What moved in a track: degrees of turn seen as parallax, degrees of tilt that a sheet would have needed,
    residual of the best warp in hundredths of the eye distance, blinks."""

    turn: float
    tilt: float
    residual: float
    blinks: int


POINTS = 64
"""points of the mesh that a look keeps"""

_CHIN_SIDE = 0.35  # y in the canonical face: just above the upper lip; lips and jaw move when someone speaks


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What the judge needs of one frame: `points` POINTS×2 f32, around their mean, in distances of the eyes of a mean
    head of the same size; `eyes` as blink.eye_opening gives it."""

    seconds: float
    points: Floats
    eyes: float

    def packed(self) -> bytes:
        """The points as they travel: 256 bytes, little-endian f16; an error of 0.0005 beside the mesh's own 0.003."""
        return self.points.astype("<f2").tobytes()

    @classmethod
    def unpacked(cls, seconds: float, points: bytes, eyes: float) -> "Look":
        """Raises ValueError for bytes of another length."""
        return cls(seconds, np.frombuffer(points, "<f2").reshape(POINTS, 2).astype(np.float32), eyes)


def look(mesh: Floats, seconds: float) -> Look:
    """At a mesh of 468×2 (or ×3) points in pixels."""
    head, which = _head()
    points = _normal(mesh[which, :2].astype(np.float64), _size(head[:, :2]))
    return Look(seconds, points.astype(np.float32), eye_opening(mesh[:, :2]))


@dataclass
class FlatnessJudge:
    """Judges one track of one face. Feed it every look; `verdict` may be asked at any time."""

    past: Iterable[Look] = ()
    settings: FlatnessSettings = field(default_factory=FlatnessSettings)
    looks: tuple[Look, ...] = field(default=(), init=False)
    """what a later judge needs to go on, at most `max_looks`, oldest first"""

    def __post_init__(self) -> None:
        for one in self.past:
            self.add(one)

    def add(self, new: Look) -> None:
        """A look at a time that never goes back. Raises ValueError if it does."""
        if self.looks and new.seconds <= self.looks[-1].seconds:
            raise ValueError(f"frame at {new.seconds} s after one at {self.looks[-1].seconds} s")
        apart = self.settings.window / self.settings.max_looks
        if self.looks and new.seconds - self.looks[-1].seconds < 0.99 * apart:
            return
        recent = [old for old in self.looks if new.seconds - old.seconds <= self.settings.window]
        self.looks = (*recent, new)[-self.settings.max_looks :]

    @property
    def long_enough(self) -> bool:
        """Something can be said."""
        return self._enough(self.looks)

    def verdict(self) -> Verdict:
        """LIVE for parallax, or for a blink without a tilt that contradicts it; FAKE for a tilt without parallax."""
        now = self._at(self.looks)
        if now.answer is Liveness.NOT_CHECKED:
            return now
        earlier = (self._at(self.looks[: len(self.looks) - back]).answer for back in range(1, self.settings.steady))
        return (
            now
            if all(answer is now.answer for answer in earlier)
            else Verdict(Liveness.NOT_CHECKED, None, "not_steady")
        )

    def _at(self, looks: tuple[Look, ...]) -> Verdict:
        if not self._enough(looks):
            return Verdict(Liveness.NOT_CHECKED, None, "too_few_looks")
        return self._judge(measure(looks))

    def _enough(self, looks: tuple[Look, ...]) -> bool:
        settings = self.settings
        return len(looks) >= settings.min_looks and looks[-1].seconds - looks[0].seconds >= settings.min_span

    def _judge(self, motion: Motion) -> Verdict:
        need = max(self.settings.turn, self.settings.share * _beyond_noise(motion.tilt, self.settings.noise))
        score = motion.turn / (motion.turn + need)
        if motion.turn >= need:
            return Verdict(Liveness.LIVE, score, "parallax")
        if motion.tilt >= self.settings.tilt and motion.turn < self.settings.doubt * need:
            return Verdict(Liveness.FAKE, score, "flat")
        if motion.blinks and motion.tilt < self.settings.tilt:
            return Verdict(Liveness.LIVE, max(score, 0.5), "blink")
        return Verdict(Liveness.NOT_CHECKED, None, "too_little_motion")


def _beyond_noise(tilt: float, noise: float) -> float:
    """Degrees: the tilt that squeezes as much as is left without the noise's own squeeze."""
    return float(np.degrees(np.arccos(min(1.0, np.cos(np.radians(tilt)) / np.cos(np.radians(noise))))))


def measure(looks: Sequence[Look]) -> Motion:
    """Figures of a track. The reference is the first look; spans are between the 5th and 95th percentile, so that
    one bad mesh does not make a head of a photo."""
    views = np.stack([one.points for one in looks]).astype(np.float64)
    basis = _polynomials(views[0])
    inverse = np.asarray(np.linalg.pinv(basis), np.float64)
    relief = _beyond(basis, inverse, _head()[0][:, 2])
    warps = inverse @ views  # least squares; the relief is orthogonal to the basis
    left = views - basis @ warps
    turns = relief @ left / float(relief @ relief)
    shapes = warps[:, 1:3].transpose(0, 2, 1)
    sine = float(np.linalg.norm(_spread(turns)))
    return Motion(
        turn=float(np.degrees(np.arcsin(min(sine, 1.0)))),
        tilt=_tilt(shapes),
        residual=100 * float(np.median(np.sqrt((left**2).sum(axis=2).mean(axis=1)))),
        blinks=blinks([one.seconds for one in looks], [one.eyes for one in looks]),
    )


@cache
def _head() -> tuple[Doubles, NDArray[np.intp]]:
    """The mean head's kept points, POINTS×3, and which vertices they are: half spread evenly over what is above the
    mouth, half over the part of it that stands out most."""
    head = canonical().astype(np.float64)
    still = np.flatnonzero(head[:, 1] < _CHIN_SIDE)
    basis = _polynomials(head[still, :2])
    relief = np.abs(_beyond(basis, np.asarray(np.linalg.pinv(basis), np.float64), head[still, 2]))
    even = _spread_out(head, still, POINTS // 2)
    standing_out = np.setdiff1d(still[np.argsort(-relief)], even, assume_unique=True)[: 3 * POINTS]
    which = np.sort(np.concatenate([even, _spread_out(head, standing_out, POINTS - POINTS // 2)]))
    return head[which], which


def _spread_out(head: Doubles, among: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """`count` of these vertices, each the farthest from those chosen before it."""
    chosen = [int(among[0])]
    while len(chosen) < count:
        apart = np.linalg.norm(head[among, None] - head[chosen], axis=2).min(axis=1)
        chosen.append(int(among[apart.argmax()]))
    return np.array(chosen, np.intp)


def _normal(points: Doubles, unit: float) -> Doubles:
    """Around their mean, in eye distances, if they are of the mean head's size; `unit` is its size in these."""
    return np.asarray((points - points.mean(axis=0)) * (unit / max(_size(points), 1e-9)), np.float64)


def _size(points: Doubles) -> float:
    """Root mean square distance from the middle."""
    return float(np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()))


def _polynomials(points: Doubles) -> Doubles:
    """N×6: 1, x, y, x², xy, y²."""
    x, y = points.T
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


def _beyond(basis: Doubles, inverse: Doubles, depth: Doubles) -> Doubles:
    """What of the depth no warp of a sheet explains; length N."""
    return np.asarray(depth - basis @ (inverse @ depth), np.float64)


def _spread(values: Doubles) -> Doubles:
    low, high = np.percentile(values, [5, 95], axis=0)
    return np.asarray(high - low, np.float64)


def _tilt(shapes: Doubles) -> float:
    """Degrees: the largest tilt of a sheet that gives the seen range of squeezes of N×2×2 linear parts, cos(tilt) =
    narrow / wide."""
    worst = float(np.linalg.norm(_spread(_squeezes(shapes))))
    return float(np.degrees(np.arccos(np.exp(-min(worst, 3.0)))))


def _squeezes(shapes: Doubles) -> Doubles:
    """Logarithmic change of shape along (x against y, diagonal against diagonal): N×2; 0 for turns and zooms."""
    stretch = shapes.transpose(0, 2, 1) @ shapes
    size = np.sqrt(np.maximum(np.linalg.det(stretch), 1e-12))
    change = np.stack([stretch[:, 0, 0] - stretch[:, 1, 1], 2 * stretch[:, 0, 1]], axis=1)
    return np.asarray(change / (2 * size[:, None]), np.float64)
