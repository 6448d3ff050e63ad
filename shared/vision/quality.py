"""How good a face in a picture is, and what to tell the person if it is not good enough.

Measured from the pixels and the five points only. Occlusion, pitch and open eyes need a face mesh and are not
guessed here.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.runtime import Pixels

Floats = NDArray[np.float32]

# Distance of the eyes over how far the nose tip stands out of the plane of eyes and mouth corners: 6.30 / 3.60 cm in
# MediaPipe's canonical face model (vertices 1, 33, 133, 61 and their mirror images).
NOSE_LEVER = 1.75

# What the measure of Crete et al. gives for the sharpest studio faces, and for faces under a Gaussian blur of 6 px on
# 112 px. Between them lies the scale 0–1. The limit 0.7 is then a blur of about 2.2 px, at which a face still has
# a cosine of 0.82 with its sharp self; at 3 px (0.83) it is 0.70. Measured on 51 LFW and 11 sample photos.
SHARP, SMEARED = 0.3, 0.9


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures of one face, in the units and directions of Baidu's `quality` and `angle` fields."""

    size: float
    """shorter side of the face box, pixels"""
    illumination: float
    """mean luma of the face, 0 (dark) to 255"""
    blur: float
    """0 sharp, 1 blurred"""
    completeness: int
    """1: the whole face box lies inside the picture"""
    yaw: float
    """degrees, positive: turned towards the picture's right; coarse, see `yaw`"""
    roll: float
    """degrees in the picture plane, positive: clockwise"""


@dataclass(frozen=True, slots=True)
class Limits:
    """Figures at the limit pass. Defaults: the recommended table of seed 000 §5.1.4.2, except the size.

    The seed recommends 100 px; Baidu itself refuses only below 64 (222213), and a person one metre from a 640×480
    webcam shows about 80, so 64 is the limit.
    """

    size: float = 64
    illumination: float = 40
    blur: float = 0.7
    completeness: int = 0
    yaw: float = 20
    roll: float = 20


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that is not good enough: figure, limit, Baidu error code, and what the person can do."""

    check: str
    measured: float
    limit: float
    code: int
    zh: str
    en: str


def measure(picture: Pixels, box: Floats, points: Floats, aligned: Pixels) -> Quality:
    """Of a face with this box (left, top, width, height) and points (5×2) in a BGR picture; `aligned` is 112×112."""
    return Quality(
        size=float(min(box[2], box[3])),
        illumination=illumination(aligned),
        blur=blur(aligned),
        completeness=completeness(box, picture.shape[1], picture.shape[0]),
        yaw=yaw(points),
        roll=roll(points),
    )


def illumination(aligned: Pixels) -> float:
    """Mean luma (ITU-R BT.601) of forehead to chin, without the corners of the picture, 0–255."""
    return float(cv2.mean(cv2.cvtColor(aligned[16:104, 20:92], cv2.COLOR_BGR2GRAY))[0])


def blur(aligned: Pixels) -> float:
    """How little a further blur changes the face: Crete et al. 2007, "The Blur Effect", 0 sharp to 1 blurred.

    On the aligned face, so it says how much detail reaches the recogniser, whatever the size of the picture. Both
    directions are measured and the worse counts: a shaken camera blurs only one.
    """
    grey = cv2.cvtColor(aligned, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return _scaled(max(_blur_along(grey, axis) for axis in (0, 1)))


def _scaled(effect: float) -> float:
    return min(1.0, max(0.0, (effect - SHARP) / (SMEARED - SHARP)))


def _blur_along(grey: Floats, axis: int) -> float:
    window = (1, 9) if axis == 0 else (9, 1)
    sharp = np.abs(np.diff(grey, axis=axis))
    soft = np.abs(np.diff(cv2.blur(grey, window), axis=axis))
    total = float(sharp.sum())
    return 1.0 if total == 0 else 1.0 - float(np.maximum(sharp - soft, 0).sum()) / total


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
    return tuple(failure for rule in _RULES if (failure := rule(quality, limits)) is not None)


def _size(quality: Quality, limits: Limits) -> Failure | None:
    if quality.size >= limits.size:
        return None
    zh, en = "人脸太小，请离镜头近一点", "Your face is too small: come closer to the camera"
    return Failure("size", quality.size, limits.size, 222213, zh, en)


def _completeness(quality: Quality, limits: Limits) -> Failure | None:
    if quality.completeness >= limits.completeness:
        return None
    zh, en = "人脸不完整，请让整张脸进入画面", "Part of your face is outside the picture: move to the middle"
    return Failure("completeness", quality.completeness, limits.completeness, 223116, zh, en)


def _blur(quality: Quality, limits: Limits) -> Failure | None:
    if quality.blur <= limits.blur:
        return None
    zh, en = "照片模糊，请保持不动，并擦净镜头", "The picture is blurred: hold still and wipe the lens"
    return Failure("blur", quality.blur, limits.blur, 223114, zh, en)


def _illumination(quality: Quality, limits: Limits) -> Failure | None:
    if quality.illumination >= limits.illumination:
        return None
    zh, en = "光线太暗，请面向光源", "It is too dark: turn towards the light"
    return Failure("illumination", quality.illumination, limits.illumination, 223115, zh, en)


def _yaw(quality: Quality, limits: Limits) -> Failure | None:
    if abs(quality.yaw) <= limits.yaw:
        return None
    zh, en = "脸侧得太多，请正对镜头", "Your head is turned away: face the camera"
    return Failure("yaw", quality.yaw, limits.yaw, 223129, zh, en)


def _roll(quality: Quality, limits: Limits) -> Failure | None:
    if abs(quality.roll) <= limits.roll:
        return None
    zh, en = "头歪得太多，请把头摆正", "Your head is tilted: hold it upright"
    return Failure("roll", quality.roll, limits.roll, 223129, zh, en)


_RULES = (_size, _completeness, _blur, _illumination, _yaw, _roll)
