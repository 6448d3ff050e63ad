"""What is good enough of a face, and what to tell the person if it is not. Pure: a gateway checks without OpenCV.

The names, directions and codes are those of Baidu's `quality` and `angle` fields (specs/baidu-face-v3.md §4).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields


@dataclass(frozen=True, slots=True)
class Occlusion:
    """0 open to 1 wholly covered; left and right are those of the picture, as in Baidu's `landmark`."""

    left_eye: float = 0.0
    right_eye: float = 0.0
    nose: float = 0.0
    mouth: float = 0.0
    left_cheek: float = 0.0
    right_cheek: float = 0.0
    chin_contour: float = 0.0


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


PARTS = tuple(part.name for part in fields(Occlusion))

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
TO_ENROL = Limits()
TO_IDENTIFY = Limits(size=40, illumination=20, blur=0.8, yaw=50, roll=50, pitch=50, occlusion=None)
"""At the door a poor look is refused only where the answer would mean nothing; the next frame comes soon. A mask only
lowers the chance of being recognised."""

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
