"""How far each eye is open: a second look at each eye puts the mesh's lids where the picture shows them.

The mesh network hardly moves its lids: of real closed eyes its opening is the same as of open ones (AUC 0.50).
MediaPipe's iris network, which looks at each eye alone, follows them (AUC 0.99). As in MediaPipe's own graph its
points replace the mesh's, so whatever reads lids off a mesh (`openness`, blink.py, landmarks.py) gets better with it.
Figures and the photos they come from: docs/models/attributes.md.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.vision.aligner import cut, similarity
from shared.vision.runtime import Network, Pixels, RuntimeSettings

Floats = NDArray[np.float32]

SIDE = 64
MARGIN = 2.3  # side of the view over the width of the eye; that of MediaPipe's iris_landmark graph
# Mesh vertices of the network's first sixteen points, from the outer corner: lower lid to the inner corner, upper lid.
LIDS = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
)
CONTOUR = "output_eyes_contours_and_brows"
CONTOUR_POINTS = 71

# Corners, upper lid, lower lid; the eye on the picture's left first.
EYES = (((33, 133), (159, 158, 160), (145, 153, 144)), ((263, 362), (386, 385, 387), (374, 380, 373)))
# Distance of the lids over that of the corners, around 0.18, which parts closed from open eyes best.
CLOSED, OPEN = 0.08, 0.28


class Lids:
    """Looks closely at the eyes of a face whose mesh is known. For one thread at a time."""

    def __init__(self, model: Path, runtime: RuntimeSettings) -> None:
        # Always f32: near 32, the middle of the view, bf16 knows only quarters of a pixel.
        exact = replace(runtime, precision="f32")
        self._network = Network(model, [2, SIDE, SIDE, 3], exact, rgb=True, layout="NHWC", scale=255.0)

    def __call__(self, picture: Pixels, mesh: Floats) -> Floats:
        """A mesh 468×3 (picture pixels) again, with the lids and corners of both eyes moved; the depth stays."""
        matrices = [_into_view(mesh, eye) for eye in (0, 1)]
        views = np.stack([cut(picture, matrix, SIDE) for matrix in matrices])
        views[1] = views[1, :, ::-1]  # the network knows the eye on the picture's left
        points = self._network(views)[CONTOUR].reshape(2, CONTOUR_POINTS, 3)[:, : len(LIDS[0]), :2].copy()
        points[1, :, 0] = SIDE - 1 - points[1, :, 0]
        return _moved(mesh, points, matrices)


def _into_view(mesh: Floats, eye: int) -> NDArray[np.float64]:
    """2×3, picture → view: the corners on a level, the eye in the middle."""
    (outer, inner), _, _ = EYES[eye]
    corners = mesh[[outer, inner] if eye == 0 else [inner, outer], :2]
    half = SIDE / MARGIN / 2
    middle = SIDE / 2
    return similarity(corners, np.array([[middle - half, middle], [middle + half, middle]], np.float32))


def _moved(mesh: Floats, points: Floats, matrices: Sequence[NDArray[np.float64]]) -> Floats:
    moved = mesh.copy()
    for vertices, seen, matrix in zip(LIDS, points, matrices, strict=True):
        if np.linalg.det(matrix[:, :2]) > 0:  # else the corners lie in one place, and there was nothing to see
            moved[list(vertices), :2] = (seen - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    return moved


def openness(mesh: Floats) -> tuple[float, float]:
    """0 closed to 1 open, of the eye on the picture's left and on its right; mesh 468×3 that went through Lids."""
    left, right = ((gap - CLOSED) / (OPEN - CLOSED) for gap in gaps(mesh))
    return min(1.0, max(0.0, left)), min(1.0, max(0.0, right))


def gaps(mesh: Floats) -> tuple[float, float]:
    """Distance of the lids over that of the corners, of either eye."""
    left, right = (_gap(mesh[:, :2], *eye) for eye in EYES)
    return left, right


def _gap(mesh: Floats, corners: tuple[int, int], upper: tuple[int, ...], lower: tuple[int, ...]) -> float:
    height = np.linalg.norm(mesh[list(upper)] - mesh[list(lower)], axis=1).mean()
    width = np.linalg.norm(mesh[corners[0]] - mesh[corners[1]])
    return float(height / max(width, 1e-6))
