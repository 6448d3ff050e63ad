"""Is it flat? A photo moved, tilted or bent before the camera is told from a head by what a nose does.

When a flat sheet moves, all its points follow one homography; when it is bent, one smooth warp. When a head turns by
an angle a, every point moves by sin(a) times how far it stands out, as well. From one frame to another

    points' = polynomial of degree 2 (points) + e · relief

where the polynomial stands for the best homography and for bending of the sheet, and the relief is what a mean head
(shared/vision/pose.py) has in depth that no such polynomial can make: mostly the nose against its
surroundings. |e| is the sine of the turn: near 0 for the sheet however it moves, while the linear part of the
polynomial says how far a sheet must have been tilted to look like this.

Sans-IO: meshes and times in, an answer out; no clock and no camera.
"""

from collections import deque
from dataclasses import dataclass, field

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
    min_frames: int = 6
    min_span: float = 0.5
    """seconds between first and last frame, below which nothing is said"""
    turn: float = 8.5
    """parallax of a head turned by this much is a head …"""
    share: float = 0.6
    """… if it is at least this part of the tilt: the mesh network half believes in the head on a tilted photo"""
    tilt: float = 26.0
    """a change of shape that needs a sheet tilted by this much, with little parallax, is a sheet; noise and
    expressions alone reach 22"""
    doubt: float = 0.6
    """part of the parallax needed, above which a tilted sheet is not called a fake"""


@dataclass(frozen=True, slots=True)
class Motion:
    """What moved in a track: degrees of turn seen as parallax, degrees of tilt that a sheet would have needed,
    residual of the best warp in hundredths of the eye distance, blinks."""

    turn: float
    tilt: float
    residual: float
    blinks: int


@dataclass
class FlatnessJudge:
    """Judges one track of one face. Feed it every mesh; `verdict` may be asked at any time."""

    settings: FlatnessSettings = field(default_factory=FlatnessSettings)
    head: Floats = field(default_factory=canonical)
    _frames: deque[tuple[float, Floats]] = field(default_factory=deque, init=False)

    def add(self, mesh: Floats, seconds: float) -> None:
        """468×2 (or ×3) points in pixels, at a time that never goes back. Raises ValueError if it does."""
        if self._frames and seconds <= self._frames[-1][0]:
            raise ValueError(f"frame at {seconds} s after one at {self._frames[-1][0]} s")
        self._frames.append((seconds, np.array(mesh[:, :2], np.float32)))
        while seconds - self._frames[0][0] > self.settings.window:
            self._frames.popleft()

    def reset(self) -> None:
        """Another face, or the face was lost."""
        self._frames.clear()

    def verdict(self) -> Verdict:
        """LIVE for parallax, or for a blink without a tilt that contradicts it; FAKE for a tilt without parallax."""
        if not self._enough():
            return Verdict(Liveness.NOT_CHECKED, None, "too_few_frames")
        return self._judge(self.motion())

    def motion(self) -> Motion:
        """The measured figures of the window."""
        times, meshes = [time for time, _ in self._frames], [mesh for _, mesh in self._frames]
        return measure(times, meshes, self.head)

    def _enough(self) -> bool:
        frames = self._frames
        return len(frames) >= self.settings.min_frames and frames[-1][0] - frames[0][0] >= self.settings.min_span

    def _judge(self, motion: Motion) -> Verdict:
        need = max(self.settings.turn, self.settings.share * motion.tilt)
        score = motion.turn / (motion.turn + need)
        if motion.turn >= need:
            return Verdict(Liveness.LIVE, score, "parallax")
        if motion.tilt >= self.settings.tilt and motion.turn < self.settings.doubt * need:
            return Verdict(Liveness.FAKE, score, "flat")
        if motion.blinks and motion.tilt < self.settings.tilt:
            return Verdict(Liveness.LIVE, max(score, 0.5), "blink")
        return Verdict(Liveness.NOT_CHECKED, None, "too_little_motion")


def measure(times: list[float], meshes: list[Floats], head: Floats) -> Motion:
    """Figures of a track. The reference is the first frame; spans are between the 5th and 95th percentile, so that
    one bad mesh does not make a head of a photo."""
    steady = head[:, 1] < _CHIN_SIDE  # lips and jaw move when someone speaks
    unit = _size(head[steady, :2].astype(np.float64))
    views = [_normal(mesh[steady], unit) for mesh in meshes]
    basis = _polynomials(views[0])
    inverse = np.asarray(np.linalg.pinv(basis), np.float64)
    relief = _beyond(basis, inverse, head[steady, 2].astype(np.float64))
    fits = [_fit(basis, inverse, relief, view) for view in views]
    turns, shapes = np.array([fit[0] for fit in fits]), np.array([fit[1] for fit in fits])
    sine = float(np.linalg.norm(_spread(turns)))
    return Motion(
        turn=float(np.degrees(np.arcsin(min(sine, 1.0)))),
        tilt=_tilt(shapes),
        residual=100 * float(np.median([fit[2] for fit in fits])),
        blinks=blinks(times, [eye_opening(mesh) for mesh in meshes]),
    )


_CHIN_SIDE = 0.35  # y in the canonical face: just above the upper lip


def _normal(points: Floats, unit: float) -> Doubles:
    """Around their mean, in eye distances, if they are of the mean head's size; `unit` is its size in these."""
    wide = points.astype(np.float64)
    return np.asarray((wide - wide.mean(axis=0)) * (unit / max(_size(wide), 1e-9)), np.float64)


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


def _fit(basis: Doubles, inverse: Doubles, relief: Doubles, points: Doubles) -> tuple[Doubles, Doubles, float]:
    """(e: 2, linear part: 2×2, residual of the warp alone), least squares; relief is orthogonal to the basis."""
    warp = inverse @ points
    left = points - basis @ warp
    e = relief @ left / float(relief @ relief)
    return np.asarray(e, np.float64), np.asarray(warp[1:3].T, np.float64), float(np.sqrt((left**2).sum(axis=1).mean()))


def _spread(values: Doubles) -> Doubles:
    low, high = np.percentile(values, [5, 95], axis=0)
    return np.asarray(high - low, np.float64)


def _tilt(shapes: Doubles) -> float:
    """Degrees: the largest tilt of a sheet that gives the seen range of squeezes, cos(tilt) = narrow / wide."""
    squeezes = np.array([_squeeze(shape) for shape in shapes])
    worst = float(np.linalg.norm(_spread(squeezes)))
    return float(np.degrees(np.arccos(np.exp(-min(worst, 3.0)))))


def _squeeze(shape: Doubles) -> Doubles:
    """Logarithmic change of shape along (x against y, diagonal against diagonal): 2; 0 for turns and zooms."""
    stretch = shape.T @ shape
    size = np.sqrt(max(float(np.linalg.det(stretch)), 1e-12))
    change = [stretch[0, 0] - stretch[1, 1], 2 * stretch[0, 1]]
    return np.array([float(part) / (2 * size) for part in change], np.float64)
