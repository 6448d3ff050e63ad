"""Faces are found where they are, at any size, turn and number."""

import cv2
import numpy as np
import pytest

from shared.vision.aligner import TEMPLATE, align, similarity
from shared.vision.detector import Detector, DetectorSettings, canvas_shape, letterbox, overlap
from shared.vision.engine import FaceEngine
from shared.vision.mesh import Mesh, five
from shared.vision.picture import decode
from shared.vision.runtime import RuntimeSettings
from shared.vision.weights import Weights

Photos = dict[str, tuple[bytes, ...]]


@pytest.fixture(scope="session")
def detector(weights: Weights) -> Detector:
    return Detector(weights.find("yunet"), RuntimeSettings(), DetectorSettings())


def on_camera_frame(picture: np.ndarray, height: int, left: int = 200, top: int = 60) -> np.ndarray:
    """The photo, this high, on a grey 640×480 frame."""
    small = cv2.resize(picture, (picture.shape[1] * height // picture.shape[0], height), interpolation=cv2.INTER_AREA)
    frame = np.full((480, 640, 3), 110, np.uint8)
    frame[top : top + height, left : left + small.shape[1]] = small
    return frame


def test_one_face_in_every_portrait(detector: Detector, photos: Photos) -> None:
    for person, files in photos.items():
        for data in files:
            found = detector(decode(data))
            assert len(found) == 1, person
            assert found.scores[0] > 0.8


def test_points_lie_like_a_face(detector: Detector, photos: Photos) -> None:
    points = detector(decode(photos["Jacinda Ardern"][0])).points[0]
    left_eye, right_eye, nose, left_mouth, right_mouth = points
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


@pytest.mark.parametrize("height", [120, 200, 400])
def test_places_are_in_pixels_of_the_picture(detector: Detector, photos: Photos, height: int) -> None:
    """The same photo, smaller and moved: the box moves and shrinks with it."""
    photo = decode(photos["Jacinda Ardern"][0])
    scale = height / photo.shape[0]
    expected = detector(photo).boxes[0] * np.float32(scale) + np.array([150, 30, 0, 0], np.float32)
    found = detector(on_camera_frame(photo, height, 150, 30))
    assert len(found) == 1
    assert overlap(expected, found.boxes)[0] > 0.8


def test_a_thumbnail_is_enlarged(detector: Detector, photos: Photos) -> None:
    photo = cv2.resize(decode(photos["Barack Obama"][0]), (60, 69), interpolation=cv2.INTER_AREA)
    assert len(detector(photo)) == 1


def test_several_faces_are_each_found_once(detector: Detector, photos: Photos) -> None:
    tiles = [cv2.resize(decode(files[0]), (200, 240)) for files in photos.values()]
    found = detector(np.hstack(tiles[:3]))
    assert len(found) == 3
    assert sorted(int(x // 200) for x in found.boxes[:, 0]) == [0, 1, 2]


@pytest.mark.parametrize("shape", [(40, 40), (480, 640), (640, 480), (50, 2000), (2000, 50), (33, 65)])
def test_no_face_in_an_empty_picture_of_any_shape(detector: Detector, shape: tuple[int, int]) -> None:
    found = detector(np.full((*shape, 3), 127, np.uint8))
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)
    assert found.points.shape == (0, 5, 2)


@pytest.fixture(scope="session")
def mesh(weights: Weights) -> Mesh:
    return Mesh(weights.find("face_landmark"), RuntimeSettings())


def test_the_mesh_agrees_with_the_detector_on_an_upright_face(detector: Detector, mesh: Mesh, photos: Photos) -> None:
    for files in photos.values():
        photo = decode(files[0])
        found = detector(photo)
        points = mesh(photo, found.boxes[0], found.points[0])
        assert points is not None
        assert points.shape == (468, 3)
        assert np.abs(five(points) - found.points[0]).max() < 0.15 * found.boxes[0, 2]


def test_the_mesh_of_half_a_face_or_of_none(detector: Detector, mesh: Mesh, photos: Photos) -> None:
    photo = decode(photos["Barack Obama"][4])  # half of the face is cut off
    found = detector(photo)
    assert mesh(photo, found.boxes[0], found.points[0]) is not None
    assert mesh(np.zeros_like(photo), found.boxes[0], found.points[0]) is None


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1280, 720), (1920, 1080), (320, 240), (333, 777)])
@pytest.mark.parametrize("side", [320, 640])
def test_the_shape_of_the_canvas_is_known_beforehand(width: int, height: int, side: int) -> None:
    canvas, _ = letterbox(np.zeros((height, width, 3), np.uint8), side)
    assert canvas.shape[:2] == canvas_shape(width, height, side)


def test_a_usual_camera_sees_what_any_other_sees(detector: Detector, photos: Photos) -> None:
    """The usual sizes have networks of their own; one more row of black makes the size unusual."""
    usual = cv2.resize(decode(photos["Jacinda Ardern"][0]), (320, 256), interpolation=cv2.INTER_AREA)
    unusual = cv2.copyMakeBorder(usual, 0, 1, 0, 0, cv2.BORDER_CONSTANT)
    one, other = detector(usual), detector(unusual)
    assert len(one) == len(other) > 0
    assert one.boxes == pytest.approx(other.boxes, abs=0.5)
    assert one.scores == pytest.approx(other.scores, abs=0.01)


def test_letterbox_only_pads_what_already_fits() -> None:
    picture = np.full((240, 320, 3), 9, np.uint8)
    canvas, scale = letterbox(picture, 320)
    assert scale == 1
    assert canvas.shape == (256, 320, 3)
    assert np.array_equal(canvas[:240], picture)
    assert not canvas[240:].any()


def test_the_alignment_undoes_turn_scale_and_shift() -> None:
    angle, scale = np.radians(25), 3.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (TEMPLATE @ (scale * turn).T + [40, -7]).astype(np.float32)
    matrix = similarity(points, TEMPLATE)
    back = points @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(back - TEMPLATE).max() < 1e-3


def test_the_alignment_is_the_best_one() -> None:
    """Least squares: no small change of turn, scale or shift brings distorted points closer."""
    rng = np.random.default_rng(5)
    points = (TEMPLATE * 2 + rng.normal(0, 3, TEMPLATE.shape)).astype(np.float32)
    matrix = similarity(points, TEMPLATE)

    def error(a: float, b: float, x: float, y: float) -> float:
        moved = points @ np.array([[a, -b], [b, a]]).T + [x, y]
        return float(((moved - TEMPLATE) ** 2).sum())

    best = (matrix[0, 0], matrix[1, 0], matrix[0, 2], matrix[1, 2])
    for change in np.eye(4) * 1e-3:
        assert error(*best) <= error(*(best + change))
        assert error(*best) <= error(*(best - change))


def test_points_all_in_one_place_do_not_crash(photos: Photos) -> None:
    crop = align(decode(photos["Barack Obama"][0]), np.full((5, 2), 50, np.float32))
    assert crop.shape == (112, 112, 3)


@pytest.mark.parametrize("times", [1, 2, 4])
def test_a_large_face_aligns_to_the_same_crop(engine: FaceEngine, photos: Photos, times: int) -> None:
    """The averaging for large faces shifts nothing: the crop of the enlarged photo is that of the photo."""
    photo = cv2.resize(decode(photos["Jacinda Ardern"][0]), (286, 360), interpolation=cv2.INTER_AREA)
    points = engine.analyze(photo, max_faces=1, embed=False)[0].points
    large = cv2.resize(photo, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    moved = (points + 0.5) * times - 0.5
    difference = np.abs(align(large, moved.astype(np.float32)).astype(int) - align(photo, points))
    assert difference.mean() < 3
