"""Faces that lie on their side or stand on their head."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from shared.vision.detector import Detections
from shared.vision.runtime import Pixels

Floats = NDArray[np.float32]

# The detector also fires on faces that stand on their head, with points as if they stood upright and scores up to
# 0.89; upright portraits get 0.91 and more. Above this nothing else is tried.
UPRIGHT = 0.9


def find_turned(detect: Callable[[Pixels], Detections], picture: Pixels) -> Detections:
    """Faces of an upright picture; if none is surely upright, of the quarter turn that shows the surest face.

    The detector finds faces up to about 50° from upright, so four quarters cover the circle.
    """
    best, turned = detect(picture), 0
    if _surest(best) < UPRIGHT:
        for quarters in (1, 3, 2):
            found = detect(np.ascontiguousarray(np.rot90(picture, quarters)))
            if _surest(found) > _surest(best):
                best, turned = found, quarters
    return _turned_back(best, turned, picture.shape[1], picture.shape[0])


def _surest(found: Detections) -> float:
    return float(found.scores[0]) if len(found) else 0.0


def _turned_back(found: Detections, quarters: int, width: int, height: int) -> Detections:
    """From a picture that was turned counter-clockwise by quarters, to the W×H picture before."""
    if not quarters:
        return found
    points = _points_back(found.points, quarters, width, height)
    ends = np.stack([found.boxes[:, :2], found.boxes[:, :2] + found.boxes[:, 2:]], axis=1)
    corners = _points_back(ends, quarters, width, height)
    low, high = corners.min(axis=1), corners.max(axis=1)
    return Detections(np.concatenate([low, high - low], axis=1), points, found.scores)


def _points_back(points: Floats, quarters: int, width: int, height: int) -> Floats:
    x, y = points[..., 0], points[..., 1]
    if quarters == 1:
        return np.stack([width - 1 - y, x], axis=-1)
    if quarters == 3:
        return np.stack([y, height - 1 - x], axis=-1)
    return np.stack([width - 1 - x, height - 1 - y], axis=-1)
