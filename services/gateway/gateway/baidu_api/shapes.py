"""Results as Baidu's JSON has them (V3 §2.3, §3): names, types and number style. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.contracts.recognition import Ask, Box, Candidate, Covered, Measured

FIELDS: Final[Mapping[str, Ask]] = {
    "age": Ask.AGE,
    "gender": Ask.GENDER,
    "landmark": Ask.LANDMARK,
    "landmark72": Ask.LANDMARK,
    "landmark150": Ask.LANDMARK150,
    "quality": Ask.QUALITY,
    "eye_status": Ask.EYES,
    "mask": Ask.QUALITY,
}
"""face_field → what is measured for it. The others are accepted and left out: docs/baidu.md says why."""
MASKED: Final = 0.5
"""Nose and mouth covered at least this much is a mask."""


@dataclass(frozen=True, slots=True)
class Scale:
    """From the pixels that were looked at to the caller's."""

    x: float = 1.0
    y: float = 1.0

    def point(self, at: tuple[float, float]) -> dict[str, Any]:
        """{x, y}"""
        return {"x": number(at[0] * self.x), "y": number(at[1] * self.y)}


def number(value: float, digits: int = 2) -> int | float:
    """As PHP writes it: whole numbers without a point."""
    rounded = round(value, digits)
    return int(rounded) if rounded == int(rounded) else rounded


def location(box: Box, rotation: float, scale: Scale) -> dict[str, Any]:
    """Five keys; `rotation` in degrees, clockwise from upright."""
    return {
        "left": number(box.left * scale.x),
        "top": number(box.top * scale.y),
        "width": round(box.width * scale.x),
        "height": round(box.height * scale.y),
        "rotation": round(rotation),
    }


def asked(shown: frozenset[str]) -> tuple[Ask, ...]:
    """What to measure for these face_fields."""
    return tuple(dict.fromkeys(FIELDS[name] for name in sorted(shown) if name in FIELDS))


def face(token: str, box: Box, measured: Measured, scale: Scale, shown: frozenset[str]) -> dict[str, Any]:
    """An entry of face_list: what is always there, then the fields asked for, as far as they could be told."""
    return {
        "face_token": token,
        "location": location(box, measured.rotation, scale),
        "face_probability": number(measured.probability),
        "angle": {name: number(getattr(measured, name)) for name in ("yaw", "pitch", "roll")},
        **dict(_fields(measured, scale, shown)),
    }


def liveness(score: float) -> dict[str, Any]:
    """The score that clients compare with their own limit."""
    return {"livemapscore": number(score, 6)}


def user(found: Candidate) -> dict[str, Any]:
    """An entry of user_list."""
    return {
        "group_id": found.group_id,
        "user_id": found.user_id,
        "user_info": found.user_info,
        "score": number(found.score, 12),
    }


def _fields(face: Measured, scale: Scale, shown: frozenset[str]) -> Iterator[tuple[str, Any]]:
    if "age" in shown and face.age is not None:
        yield "age", round(face.age)
    if "gender" in shown and face.gender:
        yield "gender", {"type": face.gender, "probability": number(face.gender_probability)}
    if "eye_status" in shown and face.eyes is not None:
        yield "eye_status", {"left_eye": number(face.eyes[0]), "right_eye": number(face.eyes[1])}
    if "mask" in shown and face.covered is not None:
        yield "mask", _mask(face.covered)
    if "quality" in shown and face.covered is not None:
        yield "quality", _quality(face, face.covered)
    yield from _landmarks(face, scale, shown)


def _landmarks(face: Measured, scale: Scale, shown: frozenset[str]) -> Iterator[tuple[str, Any]]:
    if shown & {"landmark", "landmark72"}:
        if face.landmark4:
            yield "landmark", [scale.point(at) for at in face.landmark4]
        if face.landmark72:
            yield "landmark72", [scale.point(at) for at in face.landmark72]
    if "landmark150" in shown and face.landmark150:
        yield "landmark150", {name: scale.point(at) for name, at in face.landmark150.items()}


def _mask(covered: Covered) -> dict[str, Any]:
    share = min(covered.nose, covered.mouth)
    worn = share >= MASKED
    return {"type": int(worn), "probability": number(share if worn else 1 - share)}


def _quality(face: Measured, covered: Covered) -> dict[str, Any]:
    return {
        "occlusion": {name: number(share) for name, share in covered.model_dump().items()},
        "blur": number(face.blur or 0.0),
        "illumination": round(face.illumination or 0.0),
        "completeness": face.completeness or 0,
    }
