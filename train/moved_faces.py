"""A photo brought to life: shown as a flat or bent sheet that moves before a camera, or as the head it was taken of.

The head has the depth that the mesh network sees in the photo, and stands before a wall; between known points the
picture is stretched smoothly. The camera adds changing light, noise and JPEG. Lengths are in distances of the eyes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.mesh import Mesh, five
from shared.vision.runtime import Pixels

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

SIDE = 360
EYE = SIDE / 5.0
"""pixels between the eyes: a face 50 cm from a 640×480 webcam"""
CAMERA = 9.0
"""from face to camera: about 55 cm"""
WALL = 0.9
"""how far behind the middle of the head the surroundings of a photo stand"""
KNOTS = 44
"""of the grid on which a stretch is computed, along each side"""


class Kind(StrEnum):
    """What moves, and how."""

    SHEET_SHIFTED = "sheet shifted, zoomed"
    SHEET_TILTED = "sheet tilted"
    SHEET_BENT = "sheet bent"
    HEAD_TURNED = "head turned"
    HEAD_NODDING = "head nodding"
    HEAD_STILL = "head still"

    @property
    def flat(self) -> bool:
        """A photo, not a person."""
        return self in (Kind.SHEET_SHIFTED, Kind.SHEET_TILTED, Kind.SHEET_BENT)


def amplitudes(kind: Kind, rng: np.random.Generator) -> Doubles:
    """Of the motion: yaw, pitch, roll (degrees), right, down, away."""
    free = rng.uniform
    rows = {
        Kind.SHEET_SHIFTED: (3, 3, 4, 0.25, 0.2, 0.6),
        Kind.SHEET_TILTED: (free(12, 30), free(5, 20), 6, 0.15, 0.15, 0.4),
        Kind.SHEET_BENT: (free(5, 25), free(5, 15), 5, 0.15, 0.15, 0.3),
        Kind.HEAD_TURNED: (free(10, 18), 4, 3, 0.1, 0.1, 0.2),
        Kind.HEAD_NODDING: (4, free(8, 14), 3, 0.1, 0.1, 0.2),
        Kind.HEAD_STILL: (1.5, 1.5, 1, 0.02, 0.02, 0.05),
    }
    return np.array(rows[kind], np.float64)


def wandering(reach: Doubles, seconds: float, count: int, rng: np.random.Generator) -> Doubles:
    """count×6: smooth to and fro with these amplitudes, each part in its own time of 1.7 to 5 seconds."""
    times = np.linspace(0, seconds / 2, count)[:, None]
    waves = np.sin(2 * np.pi * rng.uniform(0.4, 1.2, 6) * times + rng.uniform(0, 2 * np.pi, 6))
    return np.asarray(reach * (waves - waves[0] * rng.uniform(0, 1, 6)))


@dataclass(frozen=True, slots=True)
class Sitter:
    """A photo SIDE×SIDE×3 with the face in its middle, and the head in it: 468×3, depth away from the camera."""

    photo: Pixels
    head: Floats


def sitter(picture: Pixels, box: Floats, points: Floats, mesh: Mesh) -> Sitter | None:
    """Of a face that the detector found; None where the mesh sees none."""
    found = mesh(picture, box, points)
    if found is None:
        return None
    left, right = five(found)[:2]
    apart, middle = float(np.linalg.norm(right - left)), found.mean(axis=0)
    scale = EYE / apart
    matrix = np.array([[scale, 0, SIDE / 2 - scale * middle[0]], [0, scale, SIDE / 2 - scale * middle[1]]])
    photo = cv2.warpAffine(picture, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    return Sitter(np.asarray(photo, np.uint8), ((found - middle) / apart).astype(np.float32))


def film(who: Sitter, kind: Kind, path: Doubles, rng: np.random.Generator) -> Iterator[Pixels]:
    """One frame for each row of the path, as a camera sees it."""
    plain = _sheet(who, path, kind, rng) if kind.flat else _head(who, path)
    for frame in plain:
        yield filmed(frame, rng)


def filmed(frame: Pixels, rng: np.random.Generator) -> Pixels:
    """With another exposure, noise of four levels, and JPEG at quality 80."""
    noisy = frame * rng.uniform(0.95, 1.05) + rng.normal(0, 4, frame.shape)
    _, packed = cv2.imencode(".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)


def turned(yaw: float, pitch: float, roll: float) -> Doubles:
    """3×3 rotation, degrees."""
    y, p, r = np.radians([yaw, pitch, roll])
    around_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    around_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    around_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(around_z @ around_y @ around_x)


def projected(points: Doubles, motion: Doubles) -> Doubles:
    """N×2 of N×3 points, moved by one row of a path."""
    moved = points @ turned(*motion[:3]).T + motion[3:]
    return np.asarray(moved[:, :2] * (CAMERA / (CAMERA + moved[:, 2:])))


def _head(who: Sitter, path: Doubles) -> Iterator[Pixels]:
    for motion in path:
        yield posed(who, motion)


def posed(who: Sitter, motion: Doubles, gape: float = 0.0) -> Pixels:
    """The head after one row of a path, its mouth opened by `gape` (distance of the inner lips): lower lip and jaw
    moved down, darkness between the lips."""
    spots = np.linspace(-2.5, 2.5, 13)
    wall = np.array([(x, y, WALL) for x in spots for y in spots if np.hypot(x, y) > 1.75])
    head = who.head.astype(np.float64)
    moved = head.copy()
    moved[:, 1] += gape * _jaw(head)
    photo = _stretched(who.photo, np.concatenate([head, wall])[:, :2], projected(np.concatenate([moved, wall]), motion))
    if gape:
        lips = projected(moved[list(INNER_LIPS)], motion) * EYE + SIDE / 2
        cv2.fillPoly(photo, [np.rint(lips).astype(np.int32)], (25, 20, 50), lineType=cv2.LINE_AA)
    return photo


INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
"""vertices around the mouth's opening, the upper lip first"""


def _jaw(head: Doubles) -> Doubles:
    """468: how far each point follows the jaw, 0 above the mouth to 1 at the lower lip and the chin; the corners of
    the mouth half."""
    share = np.clip((head[:, 1] - head[13, 1]) / max(float(head[14, 1] - head[13, 1]), 0.05), 0, 1)
    share[[78, 308, 61, 291]] = 0.3
    share[head[:, 1] < head[13, 1] + 1e-6] = 0
    share[list(INNER_LIPS[1:10])] = 0
    share[list(INNER_LIPS[11:])] = 1
    return np.asarray(share, np.float64)


def _sheet(who: Sitter, path: Doubles, kind: Kind, rng: np.random.Generator) -> Iterator[Pixels]:
    bend = rng.uniform(0.1, 0.4) if kind is Kind.SHEET_BENT else 0.0
    axis = int(rng.integers(2))
    for motion in path:
        # The curve changes while the hands move.
        curve = bend * np.sin(0.3 * motion[0] + 3 * motion[3] + 1.0)
        yield _bent(who.photo, motion, curve, axis) if abs(curve) > 1e-3 else _flat(who.photo, motion)


def _flat(photo: Pixels, motion: Doubles) -> Pixels:
    corners = np.array([[-2, -2, 0], [2, -2, 0], [2, 2, 0], [-2, 2, 0]], np.float64)
    source, target = corners[:, :2] * EYE + SIDE / 2, projected(corners, motion) * EYE + SIDE / 2
    matrix = cv2.getPerspectiveTransform(source.astype(np.float32), target.astype(np.float32))
    drawn = cv2.warpPerspective(photo, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(drawn, np.uint8)


def _bent(photo: Pixels, motion: Doubles, curve: float, axis: int) -> Pixels:
    """Rolled around an upright (axis 0) or a level one (1), radius 1 / curve."""
    flat = np.stack(np.meshgrid(*[np.linspace(-2.2, 2.2, 33)] * 2), axis=-1).reshape(-1, 2)
    angle = flat[:, axis] * curve
    sheet = np.column_stack([flat, (1 - np.cos(angle)) / curve])
    sheet[:, axis] = np.sin(angle) / curve
    return _stretched(photo, flat, projected(sheet, motion))


def _stretched(photo: Pixels, source: Doubles, target: Doubles) -> Pixels:
    """The photo with each source point at its target: weighted means of the nearest shifts, on a grid."""
    line = np.linspace(0, SIDE, KNOTS)
    knots = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    places, back = target * EYE + SIDE / 2, (source - target) * EYE
    squares = (knots**2).sum(axis=1)[:, None] + (places**2).sum(axis=1) - 2 * knots @ places.T
    weights = (1 / (squares.astype(np.float32) / np.float32((0.07 * EYE) ** 2) + np.float32(0.3))) ** 3
    shifts = (weights @ back) / weights.sum(axis=1, keepdims=True)
    coarse = (knots + shifts).reshape(KNOTS, KNOTS, 2).astype(np.float32)
    steps = np.linspace(0, KNOTS - 1, SIDE).astype(np.float32)
    fine = cv2.remap(coarse, *np.meshgrid(steps, steps), cv2.INTER_LINEAR)
    x, y = np.ascontiguousarray(fine[..., 0]), np.ascontiguousarray(fine[..., 1])
    return np.asarray(cv2.remap(photo, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)
