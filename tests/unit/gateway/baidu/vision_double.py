"""Recognizers in memory: the answers that a test puts there."""

import asyncio
import io
import tomllib
from array import array
from importlib import resources
from typing import Any

from PIL import Image

from shared.contracts.recognition import (
    Ask,
    Box,
    Candidate,
    Covered,
    FaceResult,
    Measured,
    Problem,
    Question,
    Result,
    Verdict,
    Want,
)

CALIBRATED = tomllib.loads((resources.files("shared.vision") / "calibration.toml").read_text("utf-8"))
MODEL = next(iter(CALIBRATED["model"]))
OPEN = Covered(left_eye=0, right_eye=0, nose=0, mouth=0, left_cheek=0, right_cheek=0, chin_contour=0.125)
GOOD = Measured(
    probability=1,
    rotation=-3.4,
    yaw=1.234,
    pitch=-2.5,
    roll=3.0,
    blur=0.05,
    illumination=128.4,
    completeness=1,
    covered=OPEN,
    landmark4=((60, 70), (100, 70), (80, 90), (80, 110)),
    landmark72=tuple((float(n), n + 0.5) for n in range(72)),
    landmark150={"nose_tip": (80, 90)},
    eyes=(0.91, 1),
    age=30.6,
    gender="female",
    gender_probability=0.987,
    liveness=0.95,
)
LARGE, SMALL = Box(left=40, top=40, width=100, height=120), Box(left=200.126, top=20, width=70.4, height=80)


def unit(*values: float) -> bytes:
    """An embedding that begins like this."""
    return array("f", [*values, *[0.0] * (128 - len(values))]).tobytes()


def a_face(
    box: Box = LARGE,
    measured: Measured = GOOD,
    embedding: bytes = unit(1),
    candidates: tuple[Candidate, ...] = (),
) -> FaceResult:
    return FaceResult(
        box=box,
        verdict=Verdict.MEASURED,
        model=MODEL,
        measured=measured,
        embedding=embedding,
        candidates=candidates,
    )


class VisionDouble:
    """Stands where the frames stand. `faces` are what every picture shows; `by_size` what one of that size does."""

    def __init__(self) -> None:
        self.faces: list[FaceResult] = [a_face()]
        self.by_size: dict[tuple[int, int], list[FaceResult]] = {}
        self.problem: Problem | None = None
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.asked: list[tuple[bytes, int, Question]] = []

    async def once(
        self, jpeg: bytes, *, place: str, want: Want, max_faces: int, question: Question | None = None
    ) -> Result:
        assert want is Want.ANSWER
        assert question is not None
        self.asked.append((jpeg, max_faces, Question.decode(question.encode())))
        if self.gate:
            await self.gate.wait()
        if self.error:
            raise self.error
        width, height = Image.open(io.BytesIO(jpeg)).size
        faces = self.by_size.get((width, height), self.faces)[:max_faces]
        return Result(
            frame_id="f",
            source="s",
            captured_at="2026-03-01T00:00:00Z",  # type: ignore[arg-type]
            faces=tuple(faces),
            problem=self.problem,
            width=width,
            height=height,
        )

    @property
    def question(self) -> Question:
        return self.asked[-1][2]

    @property
    def wanted(self) -> set[Ask]:
        return set(self.question.ask)


class IndexesDouble:
    """Every recognizer is at once where it should be."""

    def __init__(self) -> None:
        self.reached: list[int] = []

    async def reach(self, revision: int) -> bool:
        self.reached.append(revision)
        return True


def a_picture(width: int = 320, height: int = 240, colour: Any = "grey", format: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, format)
    return out.getvalue()
