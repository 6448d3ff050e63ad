"""How much of each of seven parts of a face is hidden, learned on a feature map that the recogniser computes anyway.

A small head looks at each of 14×14 places of the aligned face and says how likely something lies before the face
there; a part's figure is the mean over its places. Trained by train/occlusion.py; what on, and how well it does:
docs/models/occlusion.md.
"""

from importlib import resources
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.limits import Occlusion

__all__ = ["CELLS", "LAYER", "PARTS", "Occlusion", "OcclusionHead", "part_masks"]

Floats = NDArray[np.float32]

# The layer of SFace that the head looks at, 512×14×14.
LAYER = "conv_12_relu"
CELLS = 14
# The products are taken in so many slices of the 512 maps, and one for each neighbour. A product of more than 262,144
# multiplications wakes a thread of OpenBLAS on every core; smaller ones, one after the other, take 0.17 ms in all.
SLICES = 16

# Mesh points whose convex hull is the part; left is the picture's left, as in Baidu's `landmark`.
PARTS: dict[str, tuple[int, ...]] = {
    "left_eye": (226, 247, 30, 29, 27, 28, 56, 190, 243, 112, 26, 22, 23, 24, 110, 25),
    "right_eye": (446, 467, 260, 259, 257, 258, 286, 414, 463, 341, 256, 252, 253, 254, 339, 255),
    "nose": (6, 129, 98, 2, 327, 358, 64, 294),
    "mouth": (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
    "left_cheek": (116, 117, 118, 101, 205, 207, 187, 147, 123, 213),
    "right_cheek": (345, 346, 347, 330, 425, 427, 411, 376, 352, 433),
    "chin_contour": (201, 421, 194, 418, 140, 369, 149, 176, 148, 152, 377, 400, 378),
}


def part_masks(mesh: Floats, side: int = 112) -> Floats:
    """7×side×side, 1 inside each part of a face whose mesh (468×2) is given in pixels of the aligned picture."""
    masks = np.zeros((len(PARTS), side, side), np.float32)
    for mask, vertices in zip(masks, PARTS.values(), strict=True):
        cv2.fillConvexPoly(mask, cv2.convexHull(np.round(mesh[list(vertices)]).astype(np.int32)), 1.0)
    return masks


class OcclusionHead:
    """Reads occlusion off the recogniser's feature map. 3 million multiplications a face."""

    def __init__(self, weights: Path | None = None) -> None:
        """`weights`: an .npz of train/occlusion.py; default: the one that is delivered."""
        path = weights or str(resources.files(__package__).joinpath("weights_own/occlusion.npz"))
        with np.load(path) as arrays:
            own: dict[str, Floats] = {name: arrays[name].astype(np.float32) for name in arrays.files}
        hidden, around = len(own["w1"]), own["w2"].shape[2:]
        self._first = own["w1"].reshape(hidden, SLICES, -1).transpose(1, 0, 2).copy()
        self._second = own["w2"].reshape(-1, hidden, around[0] * around[1]).transpose(2, 0, 1).copy()
        self._own = own

    def __call__(self, features: Floats) -> tuple[Occlusion, ...]:
        """Of N faces with feature maps N×512×14×14 (layer LAYER)."""
        cells = self.cells(features)
        parts = cells.reshape(len(cells), -1) @ self._own["pool"].T
        return tuple(Occlusion(*(float(share) for share in face)) for face in parts)

    def cells(self, features: Floats) -> Floats:
        """N×14×14: how likely something lies before the face in each place, 0–1."""
        own, count = self._own, len(features)
        maps = features.reshape(count, SLICES, -1, CELLS * CELLS)
        hidden = (self._first @ maps).sum(axis=1) + own["b1"][:, None]
        around = _neighbours(np.maximum(hidden, 0).reshape(count, -1, CELLS, CELLS))
        seen = (self._second @ around).sum(axis=1) + own["b2"][:, None]
        logits = own["w3"] @ np.maximum(seen, 0) + own["b3"]
        likely: Floats = (1 / (1 + np.exp(-logits))).reshape(count, CELLS, CELLS)
        return likely


def _neighbours(maps: Floats) -> Floats:
    """N×C×14×14 → N×9×C×196: each place with its eight neighbours, zeros outside."""
    padded = np.pad(maps, ((0, 0), (0, 0), (1, 1), (1, 1)))
    shifted = [padded[:, :, y : y + CELLS, x : x + CELLS] for y in range(3) for x in range(3)]
    stacked: Floats = np.stack(shifted, axis=1).reshape(len(maps), len(shifted), -1, CELLS * CELLS)
    return stacked
