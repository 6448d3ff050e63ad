"""Lids are followed: of real open eyes, and of the same eyes with lids drawn over them."""

import cv2
import numpy as np
import pytest

from shared.vision.blink import eye_opening
from shared.vision.engine import Face, FaceEngine, Fields
from shared.vision.eyes import EYES, LIDS, Lids, gaps, openness
from shared.vision.mesh import POINTS
from shared.vision.picture import decode
from shared.vision.pose import canonical
from shared.vision.runtime import RuntimeSettings
from shared.vision.weights import Weights

Photos = dict[str, tuple[bytes, ...]]
PEOPLE = ("Emmanuel Macron", "Jacinda Ardern", "Barack Obama", "Rishi Sunak", "Joe Biden")


def look(engine: FaceEngine, picture: np.ndarray, fields: Fields = Fields.EYES) -> Face:
    return engine.analyze(picture, max_faces=1, fields=fields, embed=False)[0]


def seen(face: Face) -> tuple[np.ndarray, tuple[float, float]]:
    assert face.mesh is not None
    assert face.eyes is not None
    return face.mesh, face.eyes


def shut(picture: np.ndarray, mesh: np.ndarray, eyes: tuple[int, ...] = (0, 1)) -> np.ndarray:
    """Lids in the colour of the cheek below, lashes on the lower rim."""
    drawn = picture.copy()
    for vertices in [LIDS[eye] for eye in eyes]:
        ring = mesh[list(vertices), :2]
        lower, upper = ring[:9], np.concatenate([ring[:1], ring[9:], ring[8:9]])
        width = float(np.linalg.norm(ring[0] - ring[8]))
        x, y = (lower[4] + np.array([0, 0.4 * width])).astype(int)
        skin = picture[y - 2 : y + 3, x - 4 : x + 5].reshape(-1, 3).mean(axis=0)
        lid = np.concatenate([upper - np.array([0, 0.06 * width]), lower[::-1] + np.array([0, 0.04 * width])])
        cv2.fillPoly(drawn, [lid.astype(np.int32)], skin.tolist())
        lashes = (lower + np.array([0, 0.02 * width])).astype(np.int32)
        cv2.polylines(drawn, [lashes], False, (skin * 0.35).tolist(), max(1, int(width * 0.05)), cv2.LINE_AA)
    return drawn


@pytest.mark.parametrize("person", PEOPLE)
def test_open_eyes_are_open_and_drawn_lids_close_them(engine: FaceEngine, photos: Photos, person: str) -> None:
    picture = decode(photos[person][0])
    mesh, eyes = seen(look(engine, picture))
    closed_mesh, closed_eyes = seen(look(engine, shut(picture, mesh)))
    assert sum(eyes) / 2 > 0.5
    assert sum(closed_eyes) < 0.7 * sum(eyes)
    assert eye_opening(closed_mesh) < 0.7 * eye_opening(mesh)


@pytest.mark.parametrize("eye", [0, 1])
def test_one_closed_eye_is_found_on_its_own_side(engine: FaceEngine, photos: Photos, eye: int) -> None:
    picture = decode(photos["Emmanuel Macron"][0])
    mesh, eyes = seen(look(engine, picture))
    _, winking = seen(look(engine, shut(picture, mesh, (eye,))))
    assert winking[eye] < 0.7 * eyes[eye]
    assert winking[1 - eye] > 0.9 * eyes[1 - eye]


def test_a_mirrored_wink_is_on_the_other_side(engine: FaceEngine, photos: Photos) -> None:
    picture = decode(photos["Emmanuel Macron"][0])
    mesh, _ = seen(look(engine, picture))
    mirrored = shut(picture, mesh, (0,))[:, ::-1].copy()
    _, (left, right) = seen(look(engine, mirrored))
    assert left > right + 0.3


def test_only_lids_move(engine: FaceEngine, photos: Photos) -> None:
    picture = decode(photos["Jacinda Ardern"][0])
    plain, face = look(engine, picture, Fields.NONE), look(engine, picture)
    mesh, _ = seen(face)
    assert plain.mesh is not None
    assert plain.eyes is None
    rest = np.setdiff1d(np.arange(POINTS), LIDS)
    assert np.array_equal(mesh[rest], plain.mesh[rest])
    assert np.array_equal(mesh[:, 2], plain.mesh[:, 2])
    width = float(np.linalg.norm(plain.mesh[33] - plain.mesh[133]))
    assert 0 < np.abs(mesh - plain.mesh).max() < 0.5 * width


def test_embedding_pose_and_age_do_not_depend_on_the_lids(engine: FaceEngine, photos: Photos) -> None:
    picture = decode(photos["Jacinda Ardern"][0])
    fields = Fields.OCCLUSION | Fields.AGE
    (one,) = engine.analyze(picture, max_faces=1, fields=fields)
    (other,) = engine.analyze(picture, max_faces=1, fields=fields | Fields.EYES)
    assert np.array_equal(one.points, other.points)
    assert one.embedding is not None
    assert other.embedding is not None
    assert np.array_equal(one.embedding, other.embedding)
    assert (one.quality, one.age) == (other.quality, other.age)


def test_several_faces_at_once_are_seen_as_one_at_a_time(engine: FaceEngine, photos: Photos) -> None:
    one, other = (cv2.resize(decode(photos[person][0]), (400, 500)) for person in PEOPLE[:2])
    both = np.hstack([one, shut(other, seen(look(engine, other))[0])])
    faces = engine.analyze(both, max_faces=2, fields=Fields.EYES, embed=False)
    left, right = sorted(faces, key=lambda face: face.box.left)
    assert min(seen(left)[1]) > max(seen(right)[1])


def test_lids_that_touch_are_closed() -> None:
    mesh = canonical().copy()
    _, upper, lower = EYES[0]
    mesh[list(upper)] = mesh[list(lower)]
    assert openness(mesh)[0] == 0
    assert openness(mesh)[1] > 0.5
    assert gaps(mesh)[0] == 0


def test_a_face_without_extent_is_left_alone(weights: Weights) -> None:
    """The corners of its eyes lie in one place: nothing is divided by zero, nothing moves."""
    point = np.full((POINTS, 3), 50, np.float32)
    same = Lids(weights.find("iris_landmark"), RuntimeSettings())(np.zeros((100, 100, 3), np.uint8), point)
    assert np.array_equal(same, point)
    assert openness(same) == (0, 0)
