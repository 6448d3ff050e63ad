"""MediaPipe's face mesh: 468 points of a face that the detector found, of which five serve to align it.

YuNet's own points lean towards an upright face: of a picture turned by 25° they report 13°. The mesh follows the
turn, and with its points the recogniser errs less (bench/README.md).
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.runtime import Network, Pixels, RuntimeSettings

Floats = NDArray[np.float32]

SIDE = 192
POINTS = 468
# The face's share of the crop that the mesh was trained on (MediaPipe's face_landmark graph: 1.5 times the box).
MARGIN = 1.5
# Vertices around each eye, the nose tip and the mouth corners, in the detector's order.
FIVE = ((33, 133, 159, 145), (263, 362, 386, 374), (1,), (61,), (291,))
SHARES = np.array([[(i in vertices) / len(vertices) for i in range(POINTS)] for vertices in FIVE], np.float32)

# The detector's points lean towards an upright face; where they were off by more than this (radians, 10°), the mesh
# looks again along its own axis.
LEANING = 0.175


class Mesh:
    """Looks closely at one face. For one thread at a time."""

    def __init__(self, model: Path, runtime: RuntimeSettings) -> None:
        self._network = Network(model, [1, SIDE, SIDE, 3], runtime, rgb=True, layout="NHWC", scale=255.0)

    def __call__(self, picture: Pixels, box: Floats, points: Floats) -> Floats | None:
        """468×3 points of a face with this box and these five points; None if it is no face.

        In picture pixels; the third is the depth, smaller towards the camera, 0 about the middle of the head.
        """
        turn = _turn(points)
        mesh = self._look(picture, box, turn)
        if mesh is None or abs(_turn(five(mesh)) - turn) < LEANING:
            return mesh
        return self._look(picture, box, _turn(five(mesh)))

    def _look(self, picture: Pixels, box: Floats, turn: float) -> Floats | None:
        """With the crop turned by this angle (radians)."""
        matrix = _into_crop(box, turn)
        crop = cv2.warpAffine(picture, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
        outputs = self._network(crop[None]).values()
        face, confidence = max(outputs, key=np.size), min(outputs, key=np.size)
        if confidence.item() < 0:  # a logit: as likely a face as not
            return None
        return _out_of_crop(face.reshape(POINTS, 3), matrix)


def five(mesh: Floats) -> Floats:
    """5×2: the middle of each eye, nose tip, mouth corners, from the picture's left."""
    points: Floats = SHARES @ mesh[:, :2]
    return points


def _turn(points: Floats) -> float:
    """Radians, clockwise: along the eyes and across the line from eyes to mouth, which steady each other."""
    down = (points[3] + points[4] - points[0] - points[1]) / 2
    across = points[1] - points[0] + np.array([down[1], -down[0]])
    return float(np.arctan2(across[1], across[0]))


def _into_crop(box: Floats, turn: float) -> NDArray[np.float64]:
    """2×3: picture → crop with the face upright in its middle."""
    scale = SIDE / (MARGIN * max(float(box[2:].max()), 1.0))
    a, b = scale * np.cos(-turn), scale * np.sin(-turn)
    matrix = np.array([[a, -b, 0.0], [b, a, 0.0]])
    matrix[:, 2] = SIDE / 2 - matrix[:, :2] @ (box[:2] + box[2:] / 2)
    return matrix


def _out_of_crop(points: Floats, matrix: NDArray[np.float64]) -> Floats:
    back = cv2.invertAffineTransform(matrix)
    scale = np.hypot(back[0, 0], back[1, 0])
    turned = np.array([[back[0, 0], back[1, 0], 0], [back[0, 1], back[1, 1], 0], [0, 0, scale]], np.float32)
    moved: Floats = points @ turned + np.array([back[0, 2], back[1, 2], 0], np.float32)
    return moved
