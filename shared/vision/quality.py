"""How good a face in a picture is, and what to tell the person if it is not good enough.

The names, directions and codes are those of Baidu's `quality` and `angle` fields (specs/baidu-face-v3.md §4).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.occlusion import PARTS, Occlusion
from shared.vision.pose import Pose, pose
from shared.vision.runtime import Pixels

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


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures of one face, in the units and directions of Baidu's `quality` and `angle` fields."""

    size: float
    """shorter side of the face box, pixels"""
    illumination: float
    """mean luma of the face, 0 (dark) to 255"""
    blur: float
    """0 sharp, 1 blurred or compressed to pieces"""
    completeness: int
    """1: the whole face box lies inside the picture"""
    yaw: float
    """degrees, positive: turned towards the picture's right"""
    roll: float
    """degrees in the picture plane, positive: clockwise"""
    pitch: float = 0.0
    """degrees, positive: looking down; 0 where there is no mesh to measure it on"""
    occlusion: Occlusion | None = None
    """how much of each part is covered; None: not looked at"""


RECOMMENDED_OCCLUSION = Occlusion(
    left_eye=0.6, right_eye=0.6, nose=0.7, mouth=0.7, left_cheek=0.8, right_cheek=0.8, chin_contour=0.6
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Figures at the limit pass. Defaults: the recommended table of seed 000 §5.1.4.2, except the size.

    The seed recommends 100 px; Baidu itself refuses only below 64 (222213), and a person one metre from a 640×480
    webcam shows about 80, so 64 is the limit. `occlusion` None: whatever covers the face is let through.
    """

    size: float = 64
    illumination: float = 40
    blur: float = 0.7
    completeness: int = 0
    yaw: float = 20
    roll: float = 20
    pitch: float = 20
    occlusion: Occlusion | None = field(default=RECOMMENDED_OCCLUSION)


def _evenly(limit: float) -> Occlusion:
    return Occlusion(*(limit for _ in PARTS))


# Baidu's `quality_control`. It names no size, and says of angles only that 223129 means more than 30°, not at which
# levels: here from NORMAL on.
LEVELS = {
    "LOW": Limits(0, 20, 0.8, 0, yaw=90, roll=180, pitch=90, occlusion=_evenly(0.8)),
    "NORMAL": Limits(0, 40, 0.6, 0, yaw=30, roll=30, pitch=30, occlusion=_evenly(0.6)),
    "HIGH": Limits(0, 100, 0.2, 1, yaw=30, roll=30, pitch=30, occlusion=_evenly(0.2)),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that is not good enough: figure, limit, Baidu error code, and what the person can do."""

    check: str
    measured: float
    limit: float
    code: int
    zh: str
    en: str


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


def check(quality: Quality, limits: Limits = Limits()) -> tuple[Failure, ...]:
    """Every limit that the face misses, in Baidu's order; empty if it is good."""
    return tuple(_failures(quality, limits))


def _failures(quality: Quality, limits: Limits) -> Iterator[Failure]:
    for name in AT_LEAST:
        if getattr(quality, name) < getattr(limits, name):
            yield _failure(name, getattr(quality, name), getattr(limits, name))
    if quality.occlusion is not None and limits.occlusion is not None:
        for name in PARTS:
            if getattr(quality.occlusion, name) > getattr(limits.occlusion, name):
                yield _failure(name, getattr(quality.occlusion, name), getattr(limits.occlusion, name))
    for name in AT_MOST:
        if abs(getattr(quality, name)) > getattr(limits, name):
            yield _failure(name, getattr(quality, name), getattr(limits, name))


def _failure(name: str, measured: float, limit: float) -> Failure:
    return Failure(name, measured, limit, *WORDS[name])


AT_LEAST = ("size", "completeness", "illumination")
AT_MOST = ("blur", "yaw", "pitch", "roll")

# What missed → Baidu's code, and what the person can do. Left and right are those of the picture.
WORDS: dict[str, tuple[int, str, str]] = {
    "size": (222213, "人脸太小，请离镜头近一点", "Your face is too small: come closer to the camera"),
    "completeness": (
        223116,
        "人脸不完整，请让整张脸进入画面",
        "Part of your face is outside the picture: move to the middle",
    ),
    "illumination": (223115, "光线太暗，请面向光源", "It is too dark: turn towards the light"),
    "left_eye": (
        223121,
        "画面左侧的眼睛被遮挡，请摘下墨镜或拨开头发",
        "The eye on the left is covered: take off sunglasses or move your hair away",
    ),
    "right_eye": (
        223122,
        "画面右侧的眼睛被遮挡，请摘下墨镜或拨开头发",
        "The eye on the right is covered: take off sunglasses or move your hair away",
    ),
    "nose": (223126, "鼻子被遮挡，请摘下口罩", "Your nose is covered: take off your mask"),
    "mouth": (
        223127,
        "嘴巴被遮挡，请摘下口罩或把手移开",
        "Your mouth is covered: take off your mask or move your hand away",
    ),
    "left_cheek": (
        223123,
        "画面左侧的脸颊被遮挡，请拨开头发或把手移开",
        "The cheek on the left is covered: move your hair or hand away",
    ),
    "right_cheek": (
        223124,
        "画面右侧的脸颊被遮挡，请拨开头发或把手移开",
        "The cheek on the right is covered: move your hair or hand away",
    ),
    "chin_contour": (
        223125,
        "下巴被遮挡，请摘下口罩或拉低衣领",
        "Your chin is covered: take off your mask or lower your collar",
    ),
    "blur": (223114, "照片模糊，请保持不动，并擦净镜头", "The picture is blurred: hold still and wipe the lens"),
    "yaw": (223129, "脸侧得太多，请正对镜头", "Your head is turned away: face the camera"),
    "pitch": (223129, "头仰得或低得太多，请平视镜头", "Your head is raised or lowered: look straight at the camera"),
    "roll": (223129, "头歪得太多，请把头摆正", "Your head is tilted: hold it upright"),
}
