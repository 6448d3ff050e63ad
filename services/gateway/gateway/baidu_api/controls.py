"""quality_control, liveness_control, spoofing_control: whether a face may be used, and which code says no (V3 §4).

Pure.
"""

from collections.abc import Iterator
from typing import Final

from gateway.baidu_api.parameters import Controls, Level
from shared.codes import FaceCode
from shared.contracts.recognition import Ask, Measured
from shared.vision.limits import LEVELS, Occlusion, Quality, check

LIVENESS: Final = {Level.LOW: 0.05, Level.NORMAL: 0.3, Level.HIGH: 0.9}
"""livemapscore that each level asks for; shared.vision.liveness has the same, for those who have OpenCV"""
SPOOFING: Final = {Level.LOW: 0.9, Level.NORMAL: 0.3, Level.HIGH: 0.05}
"""The same score, the other way round: here LOW is the strict level (§4.1)."""
ORDER: Final = (
    FaceCode.LEFT_EYE,
    FaceCode.RIGHT_EYE,
    FaceCode.LEFT_CHEEK,
    FaceCode.RIGHT_CHEEK,
    FaceCode.CHIN,
    FaceCode.NOSE,
    FaceCode.MOUTH,
    FaceCode.COVERED,
    FaceCode.BLURRED,
    FaceCode.LIGHT,
    FaceCode.INCOMPLETE,
    FaceCode.NOT_FRONTAL,
)
"""of the quality checks, as in the table of §4.2"""


def asked(controls: Controls) -> tuple[Ask, ...]:
    """What must be measured to judge."""
    quality = (Ask.QUALITY,) if controls.quality is not Level.NONE else ()
    alive = controls.liveness is not Level.NONE or controls.spoofing is not Level.NONE
    return (*quality, Ask.LIVENESS) if alive else quality


def failure(face: Measured, controls: Controls) -> FaceCode | None:
    """The first check that the face does not pass: quality, then liveness, then spoofing."""
    poor = sorted(_poor(face, controls.quality), key=ORDER.index)
    if poor:
        return poor[0]
    if not _is_alive(face, LIVENESS.get(controls.liveness)):
        return FaceCode.NOT_ALIVE
    return None if _is_alive(face, SPOOFING.get(controls.spoofing)) else FaceCode.SPOOFING


def _poor(face: Measured, level: Level) -> Iterator[FaceCode]:
    if level is not Level.NONE:
        yield from (FaceCode(missed.code) for missed in check(_quality(face), LEVELS[level]))


def _quality(face: Measured) -> Quality:
    """The levels name no size. What could not be measured is not held against the face."""
    return Quality(
        size=0,
        illumination=255 if face.illumination is None else face.illumination,
        blur=face.blur or 0.0,
        completeness=1 if face.completeness is None else face.completeness,
        yaw=face.yaw,
        roll=face.roll,
        pitch=face.pitch,
        occlusion=Occlusion(**face.covered.model_dump()) if face.covered else None,
    )


def _is_alive(face: Measured, limit: float | None) -> bool:
    """A face that cannot be judged (too small) is not let through a control that was asked for."""
    return limit is None or (face.liveness is not None and face.liveness >= limit)
