"""Questions about real photographs: exactly what was asked, of the right faces, in the right order."""

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import cv2
import numpy as np
import pytest

from recognizer.gallery import Gallery
from recognizer.questions import AT_ONCE, TOO_LATE, Seen, answers, look
from shared.contracts.base import now
from shared.contracts.gallery import FaceRow, GalleryFaces, GroupUsers, LibraryDelta, UserRow
from shared.contracts.recognition import (
    NO_FACE,
    Ask,
    Box,
    FaceResult,
    Frame,
    Hunt,
    Order,
    Question,
    SourceKind,
    Verdict,
    Want,
)
from shared.vision.engine import FaceEngine
from shared.vision.picture import decode
from shared.vision.runtime import Pixels

Photos = dict[str, tuple[bytes, ...]]

HEIGHTS = (200, 420, 300)


async def at_once(work: Callable[[], Any]) -> Any:
    return work()


def as_jpeg(picture: Pixels) -> bytes:
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])


def wall(photos: Photos) -> bytes:
    """Three people side by side; the largest stands in the middle, the smallest left of her."""
    faces = [photos[name][0] for name in ("Emmanuel Macron", "Jacinda Ardern", "Barack Obama")]
    tiles = [cv2.resize(decode(data), (h * 4 // 5, h)) for h, data in zip(HEIGHTS, faces, strict=True)]
    padded = [cv2.copyMakeBorder(tile, 0, max(HEIGHTS) - len(tile), 0, 0, cv2.BORDER_CONSTANT) for tile in tiles]
    return as_jpeg(np.hstack(padded))


async def seen(engine: FaceEngine, jpeg: bytes, question: Question, max_faces: int = 1, patience: float = 60) -> Seen:
    frame = Frame(
        source="s",
        kind=SourceKind.UPLOAD,
        place="api",
        deadline=now() + timedelta(seconds=patience),
        want=Want.ANSWER,
        max_faces=max_faces,
        question=question,
        jpeg=jpeg,
    )
    return await look(frame, question, engine, at_once)


async def ask(engine: FaceEngine, jpeg: bytes, question: Question, max_faces: int = 1) -> list[FaceResult]:
    found = await seen(engine, jpeg, question, max_faces)
    assert found.problem is None
    return answers(found.faces, question, Gallery(engine.model_id))


def left_edges(results: list[FaceResult]) -> list[float]:
    return [result.box.left for result in results]


async def test_nothing_is_told_that_was_not_asked(engine: FaceEngine, photos: Photos) -> None:
    (result,) = await ask(engine, photos["Jacinda Ardern"][0], Question())
    assert (result.verdict, result.embedding, result.candidates) == (Verdict.MEASURED, b"", ())
    assert result.model == engine.model_id
    assert result.measured is not None
    told = {name for name, value in result.measured if value not in (None, (), "", 0.0)}
    assert told == {"probability", "rotation", "yaw", "pitch", "roll"}


async def test_all_that_is_asked_is_told(engine: FaceEngine, photos: Photos) -> None:
    (result,) = await ask(engine, photos["Jacinda Ardern"][0], Question(ask=tuple(Ask)))
    told, box = result.measured, result.box
    assert told is not None
    assert 0.8 < told.probability <= 1
    assert max(abs(told.yaw), abs(told.pitch), abs(told.roll)) < 25
    assert told.rotation == told.roll
    assert (told.completeness, told.gender) == (1, "female")
    assert 0.95 < told.gender_probability <= 1
    assert told.age is not None
    assert 20 < told.age < 60
    assert told.blur is not None
    assert 0 <= told.blur < 0.7
    assert told.illumination is not None
    assert 60 < told.illumination < 250
    assert told.covered is not None
    assert max(value for _, value in told.covered) < 0.6
    assert told.eyes is not None
    assert min(told.eyes) > 0.5
    assert told.liveness is not None
    assert 0 <= told.liveness <= 1
    assert (len(told.landmark4), len(told.landmark72), len(told.landmark150 or {})) == (4, 72, 150)
    for x, y in (*told.landmark4, told.landmark72[57], (told.landmark150 or {})["nose_tip"]):
        assert box.left < x < box.left + box.width
        assert box.top < y < box.top + box.height
    embedding = np.frombuffer(result.embedding, "<f4")
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("what", list(Ask))
async def test_each_field_comes_alone(engine: FaceEngine, photos: Photos, what: Ask) -> None:
    fields = {
        Ask.LANDMARK: {"landmark4", "landmark72"},
        Ask.LANDMARK150: {"landmark150"},
        Ask.QUALITY: {"blur", "illumination", "completeness", "covered"},
        Ask.EYES: {"eyes"},
        Ask.AGE: {"age"},
        Ask.GENDER: {"gender", "gender_probability"},
        Ask.LIVENESS: {"liveness"},
        Ask.EMBEDDING: set(),
    }
    (result,) = await ask(engine, photos["Barack Obama"][1], Question(ask=(what,)))
    assert result.measured is not None
    always = {"probability", "rotation", "yaw", "pitch", "roll"}
    assert {name for name, value in result.measured if value not in (None, (), "", 0.0)} - always == fields[what]
    assert bool(result.embedding) == (what is Ask.EMBEDDING)


async def test_what_needs_the_mesh_is_missing_where_it_sees_no_face(engine: FaceEngine, photos: Photos) -> None:
    question = Question(ask=tuple(Ask))
    (face,) = (await seen(engine, photos["Jacinda Ardern"][0], question)).faces
    bare = type(face)(face.box, face.points, face.score, face.quality)
    (result,) = answers((bare,), question, Gallery(engine.model_id))
    told = result.measured
    assert told is not None
    assert (told.landmark4, told.landmark72, told.landmark150, told.eyes) == ((), (), None, None)
    assert (told.age, told.gender, told.liveness, result.embedding) == (None, "", None, b"")


async def test_the_largest_come_first_or_the_most_central(engine: FaceEngine, photos: Photos) -> None:
    jpeg = wall(photos)
    large = await ask(engine, jpeg, Question(), max_faces=3)
    assert [r.box.width for r in large] == sorted((r.box.width for r in large), reverse=True)
    middle = sum(h * 4 // 5 for h in HEIGHTS) / 2, max(HEIGHTS) / 2

    def away(box: Box) -> float:
        return math.hypot(box.left + box.width / 2 - middle[0], box.top + box.height / 2 - middle[1])

    central = await ask(engine, jpeg, Question(order=Order.CENTRAL), max_faces=3)
    assert [away(r.box) for r in central] == sorted(away(r.box) for r in central)
    assert left_edges(await ask(engine, jpeg, Question(order=Order.CENTRAL))) == left_edges(central[:1])


async def test_the_face_at_a_place_and_only_that(engine: FaceEngine, photos: Photos) -> None:
    jpeg = wall(photos)
    for one in await ask(engine, jpeg, Question(), max_faces=3):
        (found,) = await ask(engine, jpeg, Question(at=one.box), max_faces=3)
        assert found.box == one.box
    everybody = await ask(engine, jpeg, Question(), max_faces=3)
    corner = Box(left=0, top=max(HEIGHTS) - 1, width=1, height=1)  # nobody: the nearest
    (nearest,) = await ask(engine, jpeg, Question(at=corner), max_faces=3)
    assert nearest.box.left == min(left_edges(everybody))


async def test_a_face_on_its_side_is_found_if_wanted(engine: FaceEngine, photos: Photos) -> None:
    jpeg = as_jpeg(cv2.rotate(decode(photos["Jacinda Ardern"][0]), cv2.ROTATE_90_CLOCKWISE))
    (result,) = await ask(engine, jpeg, Question(turned=True))
    assert result.measured is not None
    assert 60 < result.measured.rotation < 120
    upright_only = await seen(engine, jpeg, Question(turned=False))
    assert all(face.score < result.measured.probability for face in upright_only.faces)


async def test_why_there_is_no_answer(engine: FaceEngine, photos: Photos) -> None:
    assert (await seen(engine, as_jpeg(np.full((200, 200, 3), 90, np.uint8)), Question())).problem == NO_FACE
    broken = (await seen(engine, b"not a picture", Question())).problem
    assert broken is not None
    assert broken.code == 222203
    late = await seen(engine, photos["Jacinda Ardern"][0], Question(), patience=-1)
    assert (late.problem, late.faces) == (TOO_LATE, ())


async def test_more_faces_than_are_looked_at_in_one_go(engine: FaceEngine, photos: Photos) -> None:
    tile = cv2.resize(decode(photos["Jacinda Ardern"][0]), (160, 200))
    crowd = as_jpeg(np.vstack([np.hstack([tile] * (AT_ONCE + 1))] * 2))
    results = await ask(engine, crowd, Question(ask=(Ask.EMBEDDING,)), max_faces=120)
    assert len(results) == 2 * (AT_ONCE + 1)
    vectors = np.stack([np.frombuffer(result.embedding, "<f4") for result in results])
    assert (vectors @ vectors[0]).min() > 0.8


async def test_everybody_on_a_picture_is_looked_for(engine: FaceEngine, photos: Photos) -> None:
    """The people are registered with the faces of this very picture, so each scores 100."""
    jpeg, gallery = wall(photos), Gallery(engine.model_id)
    faces = (await seen(engine, jpeg, Question(ask=(Ask.EMBEDDING,)), 3)).faces
    vectors = [face.embedding for face in faces if face.embedding is not None]
    rows = [FaceRow(n, n, vector.astype("<f4").tobytes()) for n, vector in enumerate(vectors, start=1)]
    users = GroupUsers.of(1, 1, "g", [UserRow(n, f"u{n}", f"第{n}个") for n in (1, 2, 3)])
    library = LibraryDelta(revision=1, head=1, users=(users,), faces=(GalleryFaces.of(engine.model_id, rows),))
    gallery.apply(library)
    question = Question(hunt=Hunt(app_id=1, groups=("g",), users=2))
    results = answers((await seen(engine, jpeg, question, 3)).faces, question, gallery)
    best = [result.candidates[0] for result in results]
    assert [(one.group_id, one.user_id, one.user_info, one.score) for one in best] == [
        ("g", f"u{n}", f"第{n}个", 100) for n in (1, 2, 3)
    ]
    assert all(result.candidates[1].score < 80 for result in results)
    assert all(result.embedding == b"" for result in results)
    (other,) = answers(
        (await seen(engine, photos["Jacinda Ardern"][1], question)).faces, question, gallery
    )  # another photo of her
    assert (other.candidates[0].user_id, other.candidates[0].score > 80) == ("u1", True)
