"""Passive liveness: does one picture show a face, or a photo or a screen that shows a face?

The network (ours, train/liveness.py, docs/models/liveness.md) looks at two views of a face side by side: wide, where
the edges of a phone or a sheet and the hand that holds it may be seen, and close, where the grain of print and
screen is.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.runtime import Pixels, RuntimeSettings, open_network

Floats = NDArray[np.float32]

SIDE = 96  # pixels of each view
WIDE, CLOSE = 2.7, 1.2  # side of the square view over the square root of the box's area
OUTSIDE = 128  # grey level where a view reaches beyond the picture; the network is trained with such views
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
        self._network = open_network(weights, [-1, 3, SIDE, 2 * SIDE], runtime, rgb=False, scale=255.0)
        self._score_map = score_map or ScoreMap.load()

    @classmethod
    def own(cls, runtime: RuntimeSettings) -> Self:
        """With the weights in this package."""
        with resources.as_file(resources.files(__package__) / "weights_own" / "liveness.onnx") as path:
            return cls(path, runtime)

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
    """96×192×3: the face wide on the left, close on the right."""
    return np.hstack([view(picture, box, WIDE), view(picture, box, CLOSE)])


def view(picture: Pixels, box: Floats, reach: float) -> Pixels:
    """A square around the box's middle, SIDE×SIDE×3, grey where it leaves the picture.

    Only what the picture has is enlarged or shrunk, so the seam to the grey stays sharp and says "end of picture".
    """
    left, top, side = _square(box, reach)
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    canvas = np.full((SIDE, SIDE, 3), OUTSIDE, np.uint8)
    if x1 <= x0 or y1 <= y0:
        return canvas
    columns, rows = _span(x0 - left, x1 - left, side), _span(y0 - top, y1 - top, side)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    canvas[rows, columns] = cv2.resize(picture[y0:y1, x0:x1], size, interpolation=_filter(side))
    return canvas


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
