"""Faces at any turn in the picture plane."""

import cv2
import numpy as np
import pytest

from shared.vision.angles import angle_code
from shared.vision.detector import overlap
from shared.vision.engine import FaceEngine, Fields
from shared.vision.picture import decode

Photos = dict[str, tuple[bytes, ...]]


def turned(picture: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """In the middle of a grey square, counter-clockwise; and the matrix."""
    height, width = picture.shape[:2]
    side = int(np.hypot(height, width)) + 2
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    matrix[:, 2] += [side / 2 - width / 2, side / 2 - height / 2]
    return cv2.warpAffine(picture, matrix, (side, side), borderValue=(120, 120, 120)), matrix


@pytest.mark.parametrize("degrees", range(0, 360, 30))
def test_a_face_at_any_turn_is_found_where_it_is(engine: FaceEngine, photos: Photos, degrees: int) -> None:
    picture = cv2.resize(decode(photos["Jacinda Ardern"][0]), (400, 500), interpolation=cv2.INTER_AREA)
    (upright,) = engine.analyze(picture, max_faces=1, fields=Fields.NONE, embed=False)
    view, matrix = turned(picture, degrees)
    (face,) = engine.analyze(view, max_faces=1, fields=Fields.TURNED, embed=False)
    expected = upright.points @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(face.points - expected).max() < 0.12 * upright.box.width
    assert (face.quality.roll - upright.quality.roll + degrees + 180) % 360 == pytest.approx(180, abs=8)
    assert angle_code(-degrees) == angle_code(face.quality.roll - upright.quality.roll)


def test_a_quarter_turn_keeps_the_box(engine: FaceEngine, photos: Photos) -> None:
    picture = decode(photos["Jacinda Ardern"][0])
    (upright,) = engine.analyze(picture, max_faces=1, fields=Fields.NONE, embed=False)
    for quarters in (1, 2, 3):
        view = np.ascontiguousarray(np.rot90(picture, quarters))
        (face,) = engine.analyze(view, max_faces=1, fields=Fields.TURNED, embed=False)
        middle = face.points.mean(axis=0)
        assert face.box.left < middle[0] < face.box.left + face.box.width
        assert face.box.top < middle[1] < face.box.top + face.box.height
        sides = sorted((face.box.width, face.box.height))
        assert sides == pytest.approx(sorted((upright.box.width, upright.box.height)), rel=0.1)
    assert overlap(np.array([0, 0, 2, 2], np.float32), np.array([[0, 0, 2, 2]], np.float32))[0] == pytest.approx(1)


def test_turned_faces_are_one_person(engine: FaceEngine, photos: Photos) -> None:
    picture = decode(photos["Barack Obama"][0])
    upside = np.ascontiguousarray(picture[::-1, ::-1])
    one = engine.analyze(picture, max_faces=1)[0].embedding
    other = engine.analyze(upside, max_faces=1, fields=Fields.TURNED)[0].embedding
    assert one is not None
    assert other is not None
    assert one @ other > 0.9


def test_nobody_at_any_turn(engine: FaceEngine) -> None:
    assert engine.analyze(np.full((300, 400, 3), 90, np.uint8), max_faces=3, fields=Fields.TURNED) == ()
