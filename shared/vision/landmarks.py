"""Baidu's sets of 4, 72 and 150 points, from the 468 of the mesh.

Every point is the mean of one to six mesh vertices; the tables below name them (the mesh's numbering is that of
MediaPipe's canonical face model). Which index of the 72 lies where, and the names of the 150, follow
specs/baidu-face-v3.md §3.1: in the 4 and the 72 "left" is the picture's left; in the names of the 150 it is the
person's. Numbered points run from the picture's left to its right, contours from above to below.

The mesh sees lids, not pupils: the eyeball's middle is the middle of the open eye, wherever it looks.
"""

from functools import cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Vertices = tuple[int, ...]

POINTS = 468

LEFT_EYE: Vertices = (159, 145, 158, 153, 160, 144)
RIGHT_EYE: Vertices = (386, 374, 385, 380, 387, 373)
NOSE_TIP: Vertices = (1,)
MOUTH: Vertices = (13, 14)

LANDMARK_4: tuple[Vertices, ...] = (LEFT_EYE, RIGHT_EYE, NOSE_TIP, MOUTH)


def _single(*vertices: int) -> tuple[Vertices, ...]:
    return tuple((vertex,) for vertex in vertices)


LANDMARK_72: tuple[Vertices, ...] = (
    *_single(127, 93, 58, 172, 150, 176, 152, 400, 379, 397, 288, 323, 356),  # 0–12 contour, chin at 6
    *_single(33, 160, 159, 158, 133, 153, 145, 144),  # 13–20 eye: outer corner, above, inner corner, below
    LEFT_EYE,  # 21
    *_single(70, 63, 105, 66, 107, 65, 52, 53),  # 22–29 brow: above to the right, below back
    *_single(362, 385, 386, 387, 263, 373, 374, 380),  # 30–37 eye: inner corner, above, outer corner, below
    RIGHT_EYE,  # 38
    *_single(336, 296, 334, 293, 300, 283, 282, 295),  # 39–46 brow
    *_single(193, 236, 198, 129, 98, 327, 358, 420, 456, 417),  # 47–56 nose: down the left side, up the right
    NOSE_TIP,  # 57
    *_single(61, 39, 0, 269, 291, 405, 17, 181),  # 58–65 lips, outside, around
    *_single(81, 13, 311, 402, 14, 178),  # 66–71 lips, inside, around
)


def _numbered(stem: str, points: tuple[Vertices, ...]) -> dict[str, Vertices]:
    return {f"{stem}_{number}": vertices for number, vertices in enumerate(points, 1)}


def _eye(side: str, corners: tuple[int, int], upper: Vertices, lower: Vertices) -> dict[str, Vertices]:
    """`corners`, `upper` and `lower` from the picture's left; the iris spans the inner three fifths of the lids."""
    stem = f"eye_{side}"
    return {
        f"{stem}_corner_right": corners[:1],
        f"{stem}_corner_left": corners[1:],
        **_numbered(f"{stem}_eyelid_upper", _single(*upper)),
        **_numbered(f"{stem}_eyelid_lower", _single(*lower)),
        f"{stem}_eyeball_center": (*upper[2:5], *lower[2:5]),
        f"{stem}_eyeball_right": (upper[2], lower[2]),
        f"{stem}_eyeball_left": (upper[4], lower[4]),
    }


def _brow(side: str, corners: tuple[Vertices, Vertices], upper: Vertices, lower: Vertices) -> dict[str, Vertices]:
    stem = f"eyebrow_{side}"
    return {
        f"{stem}_corner_right": corners[0],
        f"{stem}_corner_left": corners[1],
        **_numbered(f"{stem}_upper", _single(*upper)),
        **_numbered(f"{stem}_lower", _single(*lower)),
    }


def _lip(stem: str, corners: tuple[int, int], between: Vertices) -> dict[str, Vertices]:
    """The mesh has nine points between the corners; the first and last of eleven lie half-way to them."""
    first, last = (corners[0], between[0]), (between[-1], corners[1])
    return _numbered(f"mouth_lip_{stem}", (first, *_single(*between), last))


@cache
def landmark_150() -> dict[str, Vertices]:
    """Name → vertices, in the order of the specification."""
    return {
        **_numbered("cheek_right", _single(162, 127, 234, 93, 132, 58, 172, 136, 150, 149, 176)),
        **_numbered("cheek_left", _single(389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400)),
        **_numbered("chin", _single(148, 152, 377)),
        **_eye("right", (33, 133), (246, 161, 160, 159, 158, 157, 173), (7, 163, 144, 145, 153, 154, 155)),
        **_eye("left", (362, 263), (398, 384, 385, 386, 387, 388, 466), (382, 381, 380, 374, 373, 390, 249)),
        **_brow("right", ((46, 70), (55, 107)), (70, 63, 105, 66, 107), (53, 52, 65)),
        **_brow("left", ((285, 336), (276, 300)), (336, 296, 334, 293, 300), (295, 282, 283)),
        "nose_tip": NOSE_TIP,
        **_numbered("nose_bridge", _single(6, 197, 5)),
        **_numbered("nose_right_contour", _single(193, 174, 236, 198, 129, 98, 97)),
        **_numbered("nose_left_contour", _single(417, 399, 456, 420, 358, 327, 326)),
        "nose_middle_contour": (2,),
        **_mouth(),
    }


def _mouth() -> dict[str, Vertices]:
    outer, inner = (61, 291), (78, 308)
    return {
        "mouth_corner_right_outer": outer[:1],
        "mouth_corner_left_outer": outer[1:],
        "mouth_corner_right_inner": inner[:1],
        "mouth_corner_left_inner": inner[1:],
        **_lip("upper_outer", outer, (185, 40, 39, 37, 0, 267, 269, 270, 409)),
        **_lip("upper_inner", inner, (191, 80, 81, 82, 13, 312, 311, 310, 415)),
        **_lip("lower_outer", outer, (146, 91, 181, 84, 17, 314, 405, 321, 375)),
        **_lip("lower_inner", inner, (95, 88, 178, 87, 14, 317, 402, 318, 324)),
    }


@cache
def _means(points: tuple[Vertices, ...]) -> Floats:
    """K×468: the product with the mesh is the K means."""
    table = np.zeros((len(points), POINTS), np.float32)
    rows = list(chain.from_iterable([row] * len(vertices) for row, vertices in enumerate(points)))
    table[rows, list(chain.from_iterable(points))] = [1 / len(points[row]) for row in rows]
    return table


def landmark4(mesh: Floats) -> Floats:
    """4×2 pixels: eye and eye from the picture's left, nose tip, middle of the mouth."""
    return _means(LANDMARK_4) @ mesh[:, :2]


def landmark72(mesh: Floats) -> Floats:
    """72×2 pixels; 21, 38 and 57 are the first three of `landmark4`."""
    return _means(LANDMARK_72) @ mesh[:, :2]


def landmark150(mesh: Floats) -> dict[str, tuple[float, float]]:
    """Name → (x, y), pixels."""
    names = landmark_150()
    points = _means(tuple(names.values())) @ mesh[:, :2]
    return {name: (float(x), float(y)) for name, (x, y) in zip(names, points, strict=True)}
