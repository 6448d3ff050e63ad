"""Age and gender, with dlib-models' two small networks (Davis King, CC0).

Each sees the face alone, cut out as dlib cuts it: eye corners and the base of the nose at fixed places of a square,
`margin` of the face's width around it. How well they do: docs/models/attributes.md.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.aligner import similarity
from shared.vision.runtime import Network, Pixels, RuntimeSettings

Floats = NDArray[np.float32]

# The numbers of seed 004.
MALE: Final = 0
FEMALE: Final = 1
UNKNOWN: Final = -1

# Below this the answer is "unknown": of those above, 96 % are right (97.5 % from 15 years on).
SURE = 0.95

# Outer and inner corner of the eye on the picture's left, inner and outer corner of the other, base of the nose: as
# mesh vertices, and where dlib's five-point model has them in the unit square.
VERTICES = (33, 133, 362, 263, 2)
PLACES = np.array(
    [[0.1206, 0.2137], [0.3341, 0.2291], [0.6461, 0.2290], [0.8596, 0.2135], [0.4901, 0.6278]], np.float32
)
# dlib's example has 0.4 and 0.25 around its own points; with the mesh's, these err least (every third UTKFace photo).
AGE_MARGIN, GENDER_MARGIN = 0.15, 0.2
AGE_SIDE, GENDER_SIDE = 64, 32
# Taken off red, green and blue, and what divides them: dlib's input_rgb_image.
MEAN, SCALE = (122.782, 117.001, 104.298), 256.0


@dataclass(frozen=True, slots=True)
class Gender:
    """`value` 0 male, 1 female; `probability` of it, 0.5–1."""

    value: Literal[0, 1]
    probability: float

    @property
    def code(self) -> int:
        """As seed 004 wants it: 0, 1, or -1 where the network is not sure."""
        return self.value if self.probability >= SURE else UNKNOWN


class AgeEstimator:
    """Years, 0–80. For one thread at a time."""

    def __init__(self, model: Path, runtime: RuntimeSettings) -> None:
        self._network = _network(model, AGE_SIDE, runtime)

    def __call__(self, chips: Pixels) -> tuple[float, ...]:
        """Of N chips 64×64: the mean over the network's 81 classes, one a year."""
        shares = self._network(chips)["probabilities"]
        return tuple(float(age) for age in shares @ np.arange(shares.shape[1], dtype=np.float32))


class GenderEstimator:
    """Man or woman. For one thread at a time."""

    def __init__(self, model: Path, runtime: RuntimeSettings) -> None:
        self._network = _network(model, GENDER_SIDE, runtime)

    def __call__(self, chips: Pixels) -> tuple[Gender, ...]:
        """Of N chips 32×32."""
        return tuple(_gender(float(male)) for male in self._network(chips)["probabilities"][:, 1])


def _gender(male: float) -> Gender:
    return Gender(MALE, male) if male >= 0.5 else Gender(FEMALE, 1 - male)


def _network(model: Path, side: int, runtime: RuntimeSettings) -> Network:
    return Network(model, [-1, 3, side, side], runtime, rgb=True, mean=MEAN, scale=SCALE)


def age_chip(picture: Pixels, mesh: Floats) -> Pixels:
    """64×64×3 of the face with this mesh (468×3, picture pixels)."""
    return _chip(picture, mesh, AGE_SIDE, AGE_MARGIN)


def gender_chip(picture: Pixels, mesh: Floats) -> Pixels:
    """32×32×3."""
    return _chip(picture, mesh, GENDER_SIDE, GENDER_MARGIN)


def _chip(picture: Pixels, mesh: Floats, side: int, margin: float) -> Pixels:
    # Drawn four times as large and averaged: a chip is much smaller than most faces.
    target = (PLACES + margin) / (1 + 2 * margin) * side * 4
    matrix = similarity(mesh[list(VERTICES), :2], target.astype(np.float32))
    drawn = cv2.warpAffine(picture, matrix, (side * 4, side * 4), flags=cv2.INTER_LINEAR)
    chip: Pixels = cv2.resize(drawn, (side, side), interpolation=cv2.INTER_AREA)
    return chip
