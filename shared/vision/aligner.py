"""Brings a face into the pose that the recogniser was trained on: eyes, nose and mouth at fixed places of 112×112."""

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.runtime import Pixels

SIDE = 112

# Where the five points belong; the template of ArcFace (Deng et al. 2019), used to train SFace as well.
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)


def similarity(source: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float64]:
    """The 2×3 matrix (turn, scale, shift) that brings K×2 points closest to K×2 others, least squares.

    Umeyama 1991 without reflection. In the plane it has a short form with complex numbers: a turn and a scale are
    one factor, a = Σ conj(s)·t / Σ|s|² over the centred points. Points all in one place give the scale 0.
    """
    s, t = _complex(source), _complex(target)
    centred = s - s.mean()
    spread = float((np.abs(centred) ** 2).sum())
    factor = (np.conj(centred) * (t - t.mean())).sum() / spread if spread > 0 else 0j
    shift = t.mean() - factor * s.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def _complex(points: NDArray[np.float32]) -> NDArray[np.complex128]:
    wide = points.astype(np.float64)
    return np.asarray(wide[:, 0] + 1j * wide[:, 1], np.complex128)


def align(picture: Pixels, points: NDArray[np.float32]) -> Pixels:
    """The face with these five points (5×2, picture pixels) as 112×112×3, in the picture's channel order."""
    return cut(picture, similarity(points, TEMPLATE), SIDE)


def cut(picture: Pixels, matrix: NDArray[np.float64], side: int) -> Pixels:
    """side×side×3 of a picture, by a matrix 2×3 from picture to crop pixels.

    What is much larger than its crop is drawn `times` as large first and then averaged: plain interpolation would
    skip pixels and let noise and fine patterns through.
    """
    times = _oversampling(matrix)
    enlarged = matrix * times
    enlarged[:, 2] += (times - 1) / 2
    drawn: Pixels = cv2.warpAffine(picture, enlarged, (side * times, side * times), flags=cv2.INTER_LINEAR)
    if times > 1:
        drawn = cv2.resize(drawn, (side, side), interpolation=cv2.INTER_AREA)
    return drawn


def _oversampling(matrix: NDArray[np.float64]) -> int:
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    return int(np.clip(round(1 / max(scale, 1e-6)), 1, 8))
