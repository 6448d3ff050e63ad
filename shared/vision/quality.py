"""How good a face in a picture is: what is measured. What is good enough, and what to say if it is not: limits.py."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.limits import LEVELS, Failure, Limits, Quality, check
from shared.vision.pose import Pose, pose
from shared.vision.runtime import Pixels

__all__ = [
    "LEVELS",
    "Failure",
    "Limits",
    "Quality",
    "blur",
    "check",
    "completeness",
    "compression",
    "illumination",
    "measure",
    "roll",
    "yaw",
]

Floats = NDArray[np.float32]

# Distance of the eyes over how far the nose tip stands out of the plane of eyes and mouth corners: 6.30 / 3.60 cm in
# MediaPipe's canonical face model (vertices 1, 33, 133, 61 and their mirror images).
NOSE_LEVER = 1.75

# What the measure of Crete et al. gives for the sharpest studio faces, and for faces under a Gaussian blur of 6 px on
# 112 px. Between them lies the scale 0–1. The limit 0.7 is then a blur of about 1.9 px, at which a face still has a
# cosine of 0.87 with its sharp self; at 3 px (0.88) it is 0.69. Table of all kernels: docs/models/attributes.md.
SHARP, SMEARED = 0.3, 0.9
# JPEG's blocks. The height of their edges says how much a face has lost, whatever its size: 1 - exp(-height / 4.5 grey
# levels) is the blur of a Gaussian that costs the same cosine, within 0.1 for faces of 64 to 300 px (same table).
BLOCK, BLOCK_HEIGHT = 8, 4.5
# A patch this large has a thousand block edges; fewer than four in a row say nothing.
LARGEST_PATCH, SMALLEST_PATCH = 256, 4 * BLOCK
# (down, right) to the neighbour: up and down, sideways, both diagonals.
DIRECTIONS = ((1, 0), (0, 1), (1, 1), (1, -1))


def measure(picture: Pixels, box: Floats, points: Floats, aligned: Pixels, mesh: Floats | None = None) -> Quality:
    """Of a face with this box (left, top, width, height) and points (5×2) in a BGR picture; `aligned` is 112×112.

    Without a mesh (468×3) the angles are the rough ones of the five points.
    """
    angles = Pose(yaw(points), 0.0, roll(points)) if mesh is None else pose(mesh)
    return Quality(
        size=float(min(box[2], box[3])),
        illumination=illumination(aligned),
        blur=max(blur(aligned), compression(picture, box)),
        completeness=completeness(box, picture.shape[1], picture.shape[0]),
        yaw=angles.yaw,
        roll=angles.roll,
        pitch=angles.pitch,
    )


def illumination(aligned: Pixels) -> float:
    """Mean luma (ITU-R BT.601) of forehead to chin, without the corners of the picture, 0–255."""
    return float(cv2.mean(cv2.cvtColor(aligned[16:104, 20:92], cv2.COLOR_BGR2GRAY))[0])


def blur(aligned: Pixels) -> float:
    """How little a further blur changes the face: Crete et al. 2007, "The Blur Effect", 0 sharp to 1 blurred.

    On the aligned face, so it says how much detail reaches the recogniser, whatever the size of the picture. Four
    directions are measured and the worst counts: a shaken camera blurs only one.
    """
    grey = cv2.cvtColor(aligned, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return _scaled(max(_blur_along(grey, down, right) for down, right in DIRECTIONS))


def _scaled(effect: float) -> float:
    return min(1.0, max(0.0, (effect - SHARP) / (SMEARED - SHARP)))


def _blur_along(grey: Floats, down: int, right: int) -> float:
    """Share of the steps between neighbours in this direction that a blur of nine pixels along it takes away."""
    sharp = _steps(grey, down, right)
    soft = _steps(_smeared(grey, down, right), down, right)
    total = float(sharp.sum())
    return 1.0 if total == 0 else 1.0 - float(np.maximum(sharp - soft, 0).sum()) / total


def _steps(grey: Floats, down: int, right: int) -> Floats:
    height, width = grey.shape
    one = grey[: height - down, max(0, -right) : width - max(0, right)]
    other = grey[down:, max(0, right) : width - max(0, -right)]
    steps: Floats = np.abs(other - one)
    return steps


def _smeared(grey: Floats, down: int, right: int) -> Floats:
    if not (down and right):
        smeared: Floats = cv2.blur(grey, (1, 9) if down else (9, 1))
        return smeared
    # Seven pixels of a diagonal are as long as nine in a row (7·√2 ≈ 9.9).
    line = np.eye(7, dtype=np.float32) / 7
    diagonal: Floats = cv2.filter2D(grey, -1, line if right > 0 else line[:, ::-1])
    return diagonal


def compression(picture: Pixels, box: Floats) -> float:
    """What JPEG took from the face in this box, on the scale of `blur`, to which the edges of blocks are detail.

    Seen in the picture as it came: once it is enlarged or turned, the blocks have lost their grid. Where the grid
    begins is searched, because pictures are cropped.
    """
    left, top, width, height = _patch(picture, box)
    if min(width, height) < SMALLEST_PATCH:
        return 0.0
    grey = cv2.cvtColor(picture[top : top + height, left : left + width], cv2.COLOR_BGR2GRAY)
    sideways = _edge_height(cv2.reduce(cv2.absdiff(grey[:, 1:], grey[:, :-1]), 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F))
    downwards = _edge_height(cv2.reduce(cv2.absdiff(grey[1:], grey[:-1]), 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F))
    return 1 - math.exp(-(sideways + downwards) / 2 / BLOCK_HEIGHT)


def _patch(picture: Pixels, box: Floats) -> tuple[int, int, int, int]:
    """Left, top, width and height of the middle of the box, as far as the picture shows it."""
    spans = []
    for start, size, end in ((box[0], box[2], picture.shape[1]), (box[1], box[3], picture.shape[0])):
        middle, half = float(start + size / 2), min(float(size), LARGEST_PATCH) / 2
        low, high = max(0, round(middle - half)), min(end, round(middle + half))
        spans.append((low, max(0, high - low)))
    (left, width), (top, height) = spans
    return left, top, width, height


def _edge_height(steps: Floats) -> float:
    """By how many grey levels the steps between neighbours (mean of each line) rise at every eighth line."""
    line = steps.ravel()
    rise = line[1:-1] - (line[:-2] + line[2:]) / 2
    phases = rise[: len(rise) // BLOCK * BLOCK].reshape(-1, BLOCK).mean(axis=0)
    return float(phases.max() - np.median(phases))


def completeness(box: Floats, width: int, height: int) -> int:
    """1 if the box lies in the picture; two hundredths of its size may stick out, which is the detector's own error."""
    left, top, wide, high = (float(value) for value in box)
    slack_x, slack_y = 0.02 * wide, 0.02 * high
    inside = left >= -slack_x and top >= -slack_y
    return int(inside and left + wide <= width + slack_x and top + high <= height + slack_y)


def roll(points: Floats) -> float:
    """Angle of the line through the eyes, degrees in (-180, 180], clockwise positive."""
    right, down = (float(value) for value in points[1] - points[0])
    return math.degrees(math.atan2(down, right))


def yaw(points: Floats) -> float:
    """Rough turn of the head in degrees, from how far the nose tip stands from the middle of the eyes and mouth.

    The nose tip stands out in front of the plane of eyes and mouth, so a turn moves it sideways by
    depth · sin(yaw) while the eyes come closer by cos(yaw): tan(yaw) = NOSE_LEVER · shift / eye distance.
    Of 40 studio portraits, 90 % measure within ±4° (points of the mesh). Large angles are not checked against a
    measured head; take them as coarse.
    """
    angle = math.radians(roll(points))
    across = np.array([math.cos(angle), math.sin(angle)])
    middle = (points[0] + points[1] + points[3] + points[4]) / 4
    shift = float((points[2] - middle) @ across)
    eyes = float(np.linalg.norm(points[1] - points[0]))
    return math.degrees(math.atan2(NOSE_LEVER * shift, eyes))
