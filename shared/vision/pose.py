"""Which way a face looks: its mesh against the canonical face, which looks straight ahead.

The canonical face is the mean of the meshes of 90 neutral portraits (CC BY 4.0, face.npz), made symmetric. The best
turn between the two (Kabsch 1976, with scale) is taken apart so that turning the picture changes the roll alone:

    R = Rz(roll) · Ry(yaw) · Rx(pitch)        x right, y down, z away from the camera
"""

import math
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Below this height (in distances of the eyes from the middle of the face) are mouth and jaw, which speak and laugh.
STILL = 0.5


@dataclass(frozen=True, slots=True)
class Pose:
    """Degrees. `yaw` −90 left … 90 right and `pitch` −90 up … 90 down, of an upright face as the picture shows it;
    `roll` −180 … 180 in the picture plane, clockwise."""

    yaw: float
    pitch: float
    roll: float


@cache
def canonical() -> Floats:
    """468×3, in distances of the eyes, around the middle of the face."""
    with np.load(_file()) as arrays:
        points: Floats = arrays["points"]
    return points


@cache
def mirror() -> NDArray[np.intp]:
    """468: which point is each one's mirror image."""
    with np.load(_file()) as arrays:
        return np.asarray(arrays["mirror"], np.intp)


def _file() -> str:
    return str(resources.files(__package__).joinpath("weights_own/face.npz"))


@cache
def _still() -> NDArray[np.intp]:
    return np.flatnonzero(canonical()[:, 1] < STILL)


def pose(mesh: Floats) -> Pose:
    """Of a face with this mesh (468×3, picture pixels)."""
    turn = rotation(canonical()[_still()], mesh[_still()])
    yaw = math.asin(float(np.clip(turn[2, 0], -1, 1)))
    pitch = math.atan2(turn[2, 1], turn[2, 2])
    roll = math.atan2(turn[1, 0], turn[0, 0])
    return Pose(math.degrees(yaw), math.degrees(pitch), math.degrees(roll))


def rotation(source: Floats, target: Floats) -> NDArray[np.float64]:
    """The 3×3 turn (no reflection) that brings N×3 points closest to N×3 others, whatever the scale and shift."""
    spread = (target - target.mean(axis=0)).T.astype(np.float64) @ (source - source.mean(axis=0))
    left, _, right = np.linalg.svd(spread)
    kept = np.diag([1.0, 1.0, np.linalg.det(left @ right)])
    turn: NDArray[np.float64] = left @ kept @ right
    return turn
