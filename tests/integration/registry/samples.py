"""Made-up students, faces and sightings."""

import random
import struct
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from shared.contracts.base import new_id
from shared.contracts.library import EnrolledFace
from shared.contracts.people import EditStudent, Gender, RegisterStudent
from shared.contracts.recognition import Identified, SourceKind

LIBRARY_KEY = "ab" * 32
SHANGHAI = ZoneInfo("Asia/Shanghai")
EIGHT = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
"""Eight in the morning in Shanghai."""


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def embedding(seed: int, size: int = 128) -> bytes:
    """A unit vector, little-endian float32."""
    dice = random.Random(seed)
    values = [dice.gauss(0, 1) for _ in range(size)]
    norm = sum(v * v for v in values) ** 0.5
    return struct.pack(f"<{size}f", *(v / norm for v in values))


def photo(seed: int) -> bytes:
    """Bytes that only this seed gives."""
    return b"\xff\xd8" + random.Random(seed).randbytes(2_000)


def face(seed: int, *, model: str = "sface") -> EnrolledFace:
    return EnrolledFace(model=model, embedding=embedding(seed), jpeg=photo(seed), box=(10.0, 20.5, 100.0, 120.0))


def registration(seed: int, **fields: Any) -> RegisterStudent:
    given = {
        "num": f"2026{seed:04}",
        "name": f"学生{seed}",
        "class_name": "一班",
        "gender": Gender.WOMAN,
        "face": face(seed),
    }
    return RegisterStudent(**(given | fields))


def correction(student_id: int, **fields: Any) -> EditStudent:
    given = {"num": "1", "name": "新名", "class_name": "二班", "gender": Gender.MAN, "by": "office"}
    return EditStudent(student_id=student_id, **(given | fields))


def sighting(student_id: int, after_s: float = 0.0, **fields: Any) -> Identified:
    """`after_s` seconds after eight."""
    given = {
        "frame_id": new_id(),
        "place": "正门",
        "kind": SourceKind.DEVICE,
        "source": "device-1",
        "captured_at": EIGHT + timedelta(seconds=after_s),
        "score": 93.25,
    }
    return Identified(student_id=student_id, **(given | fields))
