"""What a caller of the face API asks about a picture: seen face by face, measured, looked for. Nobody clocks in."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import numpy as np

from recognizer.gallery import Gallery
from shared.contracts.base import now
from shared.contracts.recognition import (
    NO_FACE,
    Ask,
    Box,
    Candidate,
    Covered,
    FaceResult,
    Frame,
    Measured,
    Order,
    Problem,
    Question,
    Verdict,
)
from shared.vision import engine as vision
from shared.vision.attributes import MALE
from shared.vision.engine import Face, FaceEngine
from shared.vision.landmarks import Floats, landmark4, landmark72, landmark150
from shared.vision.picture import PictureError, decode

AT_ONCE = 4
"""Faces that are looked at in one go: between them the door has its turn, and 120 at once took 0.8 GB."""

TOO_LATE = Problem(code=2, zh="识别服务繁忙，请稍后再试", en="The time for this picture ran out")

FIELDS = {
    Ask.QUALITY: vision.Fields.OCCLUSION,
    Ask.AGE: vision.Fields.AGE,
    Ask.GENDER: vision.Fields.GENDER,
    Ask.EYES: vision.Fields.EYES,
    Ask.LIVENESS: vision.Fields.LIVENESS,
}

T = TypeVar("T")
Rank = Callable[[vision.Box], tuple[float, ...]]


class Run(Protocol):
    """Does a piece of work in the engine's thread."""

    def __call__(self, work: Callable[[], T]) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class Seen:
    """The faces of a picture W×H in the order that was asked for, or why there are none."""

    faces: tuple[Face, ...] = ()
    size: tuple[int, int] = (0, 0)
    problem: Problem | None = None


async def look(frame: Frame, question: Question, engine: FaceEngine, run: Run) -> Seen:
    """The frame's faces with what the question asks of each; gives up at the frame's deadline."""
    try:
        picture = await run(partial(decode, frame.jpeg))
    except PictureError as error:
        return Seen(problem=Problem(code=error.number, zh=error.zh, en=error.en))
    size = (picture.shape[1], picture.shape[0])
    fields, count = fields_of(question), 1 if question.at else frame.max_faces
    found = await run(partial(engine.find, picture, max_faces=count, fields=fields, rank=rank(question, size)))
    faces: list[Face] = []
    for start in range(0, len(found), AT_ONCE):
        if now() > frame.deadline:
            return Seen(size=size, problem=TOO_LATE)
        some = found.take(np.arange(start, min(start + AT_ONCE, len(found))))
        faces += await run(partial(engine.look, picture, some, fields=fields, embed=_embeds(question)))
    return Seen(tuple(faces), size, None if faces else NO_FACE)


def answers(faces: tuple[Face, ...], question: Question, gallery: Gallery) -> list[FaceResult]:
    """What is said of each face."""
    alike = _alike(faces, question, gallery)
    return [_answer(face, users, question, gallery.model) for face, users in zip(faces, alike, strict=True)]


def fields_of(question: Question) -> vision.Fields:
    """What the engine has to look at, and no more."""
    fields = vision.Fields.TURNED if question.turned else vision.Fields.NONE
    for ask in question.ask:
        fields |= FIELDS.get(ask, vision.Fields.NONE)
    return fields


def rank(question: Question, size: tuple[int, int]) -> Rank | None:
    """Which faces of a picture W×H come first; None: the largest."""
    if question.at is not None:
        here = question.at
        return lambda box: (-_box(box).overlap(here), _distance(box, _middle(here)))
    if question.order is Order.CENTRAL:
        return lambda box: (_distance(box, (size[0] / 2, size[1] / 2)),)
    return None


def _middle(box: Box | vision.Box) -> tuple[float, float]:
    return box.left + box.width / 2, box.top + box.height / 2


def _distance(box: vision.Box, point: tuple[float, float]) -> float:
    return float(np.hypot(*np.subtract(_middle(box), point)))


def _embeds(question: Question) -> bool:
    """Life is judged only of faces that are embedded."""
    return question.hunt is not None or not {Ask.EMBEDDING, Ask.LIVENESS}.isdisjoint(question.ask)


def _alike(faces: tuple[Face, ...], question: Question, gallery: Gallery) -> list[tuple[Candidate, ...]]:
    probes = [face.embedding for face in faces if face.embedding is not None]
    if question.hunt is None or not probes:
        return [()] * len(faces)
    return gallery.search(np.stack(probes), question.hunt)


def _answer(face: Face, alike: tuple[Candidate, ...], question: Question, model: str) -> FaceResult:
    embedding = face.embedding if Ask.EMBEDDING in question.ask else None
    return FaceResult(
        box=_box(face.box),
        verdict=Verdict.MEASURED,
        model=model,
        embedding=b"" if embedding is None else embedding.astype("<f4").tobytes(),
        measured=measured(face, question),
        candidates=alike,
    )


def measured(face: Face, question: Question) -> Measured:
    """Only what was asked for; what needs the mesh is missing where the mesh sees no face."""
    quality, ask, mesh = face.quality, set(question.ask), face.mesh
    values: dict[str, object] = {}
    if Ask.QUALITY in ask:
        values |= {"blur": quality.blur, "illumination": quality.illumination, "completeness": quality.completeness}
        values["covered"] = _covered(face)
    if Ask.LANDMARK in ask and mesh is not None:
        values |= {"landmark4": _points(landmark4(mesh)), "landmark72": _points(landmark72(mesh))}
    if Ask.LANDMARK150 in ask and mesh is not None:
        values["landmark150"] = landmark150(mesh)
    if Ask.EYES in ask and face.eyes is not None:
        values["eyes"] = face.eyes
    if Ask.GENDER in ask and face.gender is not None:
        values["gender"] = "male" if face.gender.value == MALE else "female"
        values["gender_probability"] = face.gender.probability
    return Measured.model_validate(
        {
            "probability": face.score,
            "rotation": quality.roll,
            "yaw": quality.yaw,
            "pitch": quality.pitch,
            "roll": quality.roll,
            "age": face.age if Ask.AGE in ask else None,
            "liveness": face.liveness if Ask.LIVENESS in ask else None,
            **values,
        }
    )


def _covered(face: Face) -> Covered | None:
    parts = face.quality.occlusion
    if parts is None:
        return None
    return Covered(
        left_eye=parts.left_eye,
        right_eye=parts.right_eye,
        nose=parts.nose,
        mouth=parts.mouth,
        left_cheek=parts.left_cheek,
        right_cheek=parts.right_cheek,
        chin_contour=parts.chin_contour,
    )


def _points(points: Floats) -> tuple[tuple[float, float], ...]:
    return tuple((x, y) for x, y in points.tolist())


def _box(box: vision.Box) -> Box:
    return Box(left=box.left, top=box.top, width=box.width, height=box.height)
