"""Passive liveness: does one picture show a face, or a photo or a screen that shows a face?

The network (train/liveness.py, docs/models/liveness.md) looks at four views of a face side by side: two close, where
the grain, the haze and the casts of print and screen are, and two wide, where the edges of a phone or a sheet and the
hand that holds it may be seen.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.runtime import Pixels, RuntimeSettings, open_network

Floats = NDArray[np.float32]

SIDE = 80  # pixels of each view
CLOSE = (1.0, 1.6)
"""side of the square view over the square root of the box's area; mirrored where the picture ends"""
WIDE = (2.7, 4.0)
"""boxes that the view is wide and high, or as many as the picture has; as MiniFASNet V2 and V1SE were trained"""
VIEWS = len(CLOSE) + len(WIDE)
OUTSIDE = 128  # grey level of a close view whose square lies wholly outside the picture
MIN_FACE = 48
"""Shorter side of the box in pixels, below which print and screen leave no trace to see."""


LEVELS = {"LOW": 0.05, "NORMAL": 0.3, "HIGH": 0.9}
"""livemapscore that each of Baidu's liveness_control levels asks for (specs/baidu-face-v3.md §4.1)"""


class Liveness(StrEnum):
    """NOT_CHECKED is no suspicion: nothing was seen that could tell."""

    LIVE = "live"
    FAKE = "fake"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer and its score, 0 fake to 1 live; the score is None if and only if nothing was checked."""

    answer: Liveness
    score: float | None = None
    reason: str = ""


def judged(score: float | None, limit: float, reason: str = "") -> Verdict:
    """LIVE at or above the limit, FAKE below, NOT_CHECKED without a score."""
    if score is None:
        return Verdict(Liveness.NOT_CHECKED, None, reason)
    return Verdict(Liveness.LIVE if score >= limit else Liveness.FAKE, score, reason)


@dataclass(frozen=True, slots=True)
class ScoreMap:
    """Network's margin (logit of live, f32) → livemapscore: straight lines between anchors, monotone, in [0, 1]."""

    margins: tuple[float, ...]
    scores: tuple[float, ...]

    def __call__(self, margins: Floats) -> Floats:
        return np.interp(margins, self.margins, self.scores).astype(np.float32)

    @classmethod
    def load(cls) -> Self:
        """The anchors measured for the weights beside it (weights_own/liveness.toml)."""
        text = resources.files(__package__).joinpath("weights_own", "liveness.toml").read_text(encoding="utf-8")
        entry = tomllib.loads(text)["livemapscore"]
        return cls(tuple(entry["margins"]), tuple(entry["scores"]))


class PassiveLiveness:
    """Scores faces of one picture. For one thread at a time."""

    def __init__(self, weights: Path, runtime: RuntimeSettings, score_map: ScoreMap | None = None) -> None:
        self._network = open_network(weights, [-1, 3, SIDE, VIEWS * SIDE], runtime, rgb=False)
        self._score_map = score_map or ScoreMap.load()

    @classmethod
    def own(cls, runtime: RuntimeSettings) -> Self:
        """With the weights in this package; in f32, as its small depth-wise convolutions take twice as long in bf16."""
        with resources.as_file(resources.files(__package__) / "weights_own" / "liveness.onnx") as path:
            return cls(path, replace(runtime, precision="f32"))

    def scores(self, picture: Pixels, boxes: Sequence[Floats]) -> list[float]:
        """livemapscore in [0, 1] of each box (left, top, width, height) in a BGR picture H×W×3."""
        if len(boxes) == 0:
            return []
        return [float(score) for score in self._score_map(self.margins(picture, boxes))]

    def margins(self, picture: Pixels, boxes: Sequence[Floats]) -> Floats:
        """Logit of live for each box, before calibration; f32."""
        stack = np.stack([views(picture, box) for box in boxes])
        return self._network(stack)["live"].reshape(-1).copy()

    def verdict(self, picture: Pixels, box: Floats, limit: float) -> Verdict:
        """One face against a level (0.05, 0.3, 0.9 of the Baidu contract); tiny faces are not judged."""
        if min(float(box[2]), float(box[3])) < MIN_FACE:
            return judged(None, limit, "face_too_small")
        return judged(self.scores(picture, [box])[0], limit)


def views(picture: Pixels, box: Floats) -> Pixels:
    """80×320×3: the close views, then the wide ones, from left to right."""
    near = [close(picture, box, reach) for reach in CLOSE]
    return np.hstack([*near, *(wide(picture, box, reach) for reach in WIDE)])


def close(picture: Pixels, box: Floats, reach: float) -> Pixels:
    """A square around the box's middle, SIDE×SIDE×3, mirrored where it leaves the picture."""
    left, top, side = _square(box, reach)
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    if x1 <= x0 or y1 <= y0:
        return np.full((SIDE, SIDE, 3), OUTSIDE, np.uint8)
    columns, rows = _span(x0 - left, x1 - left, side), _span(y0 - top, y1 - top, side)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    seen = cv2.resize(picture[y0:y1, x0:x1], size, interpolation=_filter(side))
    ends = (rows.start, SIDE - rows.stop, columns.start, SIDE - columns.stop)
    return np.asarray(cv2.copyMakeBorder(seen, *ends, cv2.BORDER_REFLECT_101), np.uint8)


def wide(picture: Pixels, box: Floats, reach: float) -> Pixels:
    """The box enlarged `reach` times, or as far as the picture goes, pushed into the picture; SIDE×SIDE×3."""
    height, width = picture.shape[:2]
    x, y = float(box[0]), float(box[1])
    w, h = max(float(box[2]), 1.0), max(float(box[3]), 1.0)
    reach = min((height - 1) / h, (width - 1) / w, reach)
    left = min(max(x + w / 2 - w * reach / 2, 0), width - 1 - w * reach)
    top = min(max(y + h / 2 - h * reach / 2, 0), height - 1 - h * reach)
    cut = picture[int(top) : int(top + h * reach) + 1, int(left) : int(left + w * reach) + 1]
    return np.asarray(cv2.resize(cut, (SIDE, SIDE)), np.uint8)


def _square(box: Floats, reach: float) -> tuple[int, int, int]:
    """Left, top and side of the view, in whole pixels."""
    width, height = max(float(box[2]), 1.0), max(float(box[3]), 1.0)
    side = reach * float(np.sqrt(width * height))
    return round(float(box[0]) + (width - side) / 2), round(float(box[1]) + (height - side) / 2), max(round(side), 1)


def _span(start: int, stop: int, side: int) -> slice:
    """At least one pixel of the view."""
    first = min(round(start * SIDE / side), SIDE - 1)
    return slice(first, max(round(stop * SIDE / side), first + 1))


def _filter(side: int) -> int:
    # Averaging when shrinking: skipped pixels would make patterns that look like a screen's.
    return int(cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR)
