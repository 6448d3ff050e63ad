"""YuNet: faces and five points in each.

The network answers on three grids (strides 8, 16, 32). For the cell in column c, row r of the grid with stride s
(Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023):

    score  = sqrt(cls · obj)
    centre = (c + dx, r + dy) · s      size = (exp(dw), exp(dh)) · s      point k = (c + x_k, r + y_k) · s

Points, in this order: the eye on the picture's left, the eye on its right, nose tip, left and right mouth corner.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.runtime import Pixels, RuntimeSettings, open_network

Floats = NDArray[np.float32]

STRIDES = (8, 16, 32)
GRANULE = 32  # the coarsest grid: both sides of the input must be a multiple of it
CAMERAS = ((640, 480), (1280, 720))


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """`side`: the picture's long side is brought to this many pixels, smaller or larger, before the search."""

    side: int = 320
    min_score: float = 0.6
    max_overlap: float = 0.3
    before_suppression: int = 500


@dataclass(frozen=True, slots=True)
class Detections:
    """N faces in picture pixels, best score first: boxes N×4 (left, top, width, height), points N×5×2, scores N."""

    boxes: Floats
    points: Floats
    scores: Floats

    def take(self, which: NDArray[np.intp]) -> "Detections":
        """These faces, in this order."""
        return Detections(self.boxes[which], self.points[which], self.scores[which])

    def scaled(self, scale: float) -> "Detections":
        """The same faces in a picture that is `scale` times as large."""
        return Detections(self.boxes * np.float32(scale), self.points * np.float32(scale), self.scores)

    def __len__(self) -> int:
        return len(self.scores)


class Detector:
    """Finds faces. For one thread at a time."""

    def __init__(self, model: Path, runtime: RuntimeSettings, settings: DetectorSettings) -> None:
        self._any = open_network(model, [1, 3, -1, -1], runtime, rgb=False)
        # A network of fixed size is a fifth faster (docs/adr/0008), with the same numbers: one for each usual camera.
        cameras = CAMERAS if runtime.device == "cpu" else ()
        shapes = [canvas_shape(width, height, settings.side) for width, height in cameras]
        self._fixed = {shape: open_network(model, [1, 3, *shape], runtime, rgb=False) for shape in shapes}
        self._settings = settings
        self._grids: dict[tuple[int, int, int], Floats] = {}

    def __call__(self, picture: Pixels) -> Detections:
        """Faces in a BGR picture H×W×3, best first."""
        canvas, scale = letterbox(picture, self._settings.side)
        height, width = canvas.shape[:2]
        outputs = self._fixed.get((height, width), self._any)(canvas[None])
        parts = [self._decode(outputs, stride, height, width) for stride in STRIDES]
        return self._suppress(_joined(parts)).scaled(1 / scale)

    def _decode(self, outputs: dict[str, Floats], stride: int, height: int, width: int) -> Detections:
        scores = np.sqrt(outputs[f"cls_{stride}"][0, :, 0] * outputs[f"obj_{stride}"][0, :, 0])
        likely = np.flatnonzero(scores >= self._settings.min_score)
        cells = self._cells(height, width, stride)[likely]
        box, points = outputs[f"bbox_{stride}"][0, likely], outputs[f"kps_{stride}"][0, likely]
        centre, size = (cells + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride
        boxes = np.concatenate([centre - size / 2, size], axis=1)
        return Detections(boxes, (points.reshape(-1, 5, 2) + cells[:, None]) * stride, scores[likely])

    def _cells(self, height: int, width: int, stride: int) -> Floats:
        """(column, row) of each cell, row by row; kept, because a camera always sends the same size."""
        key = (height, width, stride)
        if key not in self._grids:
            if len(self._grids) > 64:
                self._grids.clear()
            rows, columns = np.mgrid[: height // stride, : width // stride]
            self._grids[key] = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32)
        return self._grids[key]

    def _suppress(self, found: Detections) -> Detections:
        order = np.argsort(-found.scores, kind="stable")[: self._settings.before_suppression]
        return found.take(_without_overlaps(found.boxes, order, self._settings.max_overlap))


def canvas_shape(width: int, height: int, side: int) -> tuple[int, int]:
    """Height and width of what the network gets of such a picture."""
    scale = side / max(width, height)
    high, wide = (-(-max(1, round(size * scale)) // GRANULE) * GRANULE for size in (height, width))
    return high, wide


def letterbox(picture: Pixels, side: int) -> tuple[Pixels, float]:
    """The picture with its long side at `side`, padded right and below to whole granules; and the scale used."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    if scale != 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    down, right = (-picture.shape[0]) % GRANULE, (-picture.shape[1]) % GRANULE
    if down or right:
        picture = cv2.copyMakeBorder(picture, 0, down, 0, right, cv2.BORDER_CONSTANT)
    return picture, scale


def _joined(parts: list[Detections]) -> Detections:
    return Detections(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )


def _without_overlaps(boxes: Floats, order: NDArray[np.intp], limit: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: the best box stays, what overlaps it more than `limit` (IoU) goes."""
    kept: list[np.intp] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        order = rest[overlap(boxes[best], boxes[rest]) <= limit]
    return np.array(kept, np.intp)


def overlap(one: Floats, many: Floats) -> Floats:
    """Intersection over union of one box with each of N boxes (left, top, width, height)."""
    low = np.maximum(one[:2], many[:, :2])
    high = np.minimum(one[:2] + one[2:], many[:, :2] + many[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    union = one[2:].prod() + many[:, 2:].prod(axis=1) - shared
    ratio: Floats = shared / np.maximum(union, np.float32(1e-6))
    return ratio
