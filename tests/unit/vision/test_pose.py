"""Angles and landmarks of real faces, turned and mirrored."""

import cv2
import numpy as np
import pytest

from shared.vision.angles import ANGLE_CODES, angle_code
from shared.vision.engine import Face, FaceEngine
from shared.vision.landmarks import LANDMARK_72, landmark4, landmark72, landmark150
from shared.vision.picture import decode
from shared.vision.pose import Pose, canonical, mirror, pose

Photos = dict[str, tuple[bytes, ...]]


def face(engine: FaceEngine, picture: np.ndarray) -> Face:
    return engine.analyze(picture, max_faces=1, embed=lambda _: False)[0]


def mesh_of(engine: FaceEngine, picture: np.ndarray) -> np.ndarray:
    mesh = face(engine, picture).mesh
    assert mesh is not None
    return mesh


def turned_head(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The canonical face, turned by these degrees, 300 px large."""
    b, a, c = np.radians([yaw, pitch, roll])
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return (canonical() @ (rz @ ry @ rx).T * 130 + [200, 240, 0]).astype(np.float32)


@pytest.mark.parametrize("angles", [(0, 0, 0), (35, 0, 0), (-35, 10, 0), (0, -25, 0), (20, 15, 170), (-60, 5, -95)])
def test_the_angles_of_a_head_of_known_turn(angles: tuple[float, ...]) -> None:
    found = pose(turned_head(*angles))
    assert (found.yaw, found.pitch, found.roll) == pytest.approx(angles, abs=0.1)


def test_signs() -> None:
    """Nose towards the picture's right: yaw above 0. Nose down: pitch above 0. Right eye lower: roll above 0."""
    nose = canonical()[1]
    assert turned_head(20, 0, 0)[1, 0] > turned_head(0, 0, 0)[1, 0]
    assert turned_head(0, 20, 0)[1, 1] > turned_head(0, 0, 0)[1, 1]
    assert turned_head(0, 0, 20)[263, 1] > turned_head(0, 0, 20)[33, 1]
    assert nose[2] < canonical()[:, 2].mean()  # towards the camera


def test_the_canonical_face_is_its_own_mirror_image() -> None:
    swapped = mirror()
    assert np.array_equal(swapped[swapped], np.arange(468))
    assert np.abs(canonical()[swapped] * [-1, 1, 1] - canonical()).max() < 1e-5


def test_a_mirrored_photo_turns_the_other_way(engine: FaceEngine, photos: Photos) -> None:
    for person, files in photos.items():
        picture = decode(files[0])
        one, other = (pose(mesh_of(engine, view)) for view in (picture, picture[:, ::-1].copy()))
        assert (one.yaw, one.pitch, one.roll) == pytest.approx((-other.yaw, other.pitch, -other.roll), abs=7), person


@pytest.mark.parametrize("degrees", [-40, -20, 20, 40])
def test_turning_the_picture_changes_the_roll_alone(engine: FaceEngine, photos: Photos, degrees: int) -> None:
    picture = decode(photos["Jacinda Ardern"][0])
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 0.8)
    one, other = pose(mesh_of(engine, picture)), pose(mesh_of(engine, cv2.warpAffine(picture, turn, (width, height))))
    assert other.roll - one.roll == pytest.approx(degrees, abs=4)
    assert other.yaw - one.yaw == pytest.approx(0, abs=8)
    assert other.pitch - one.pitch == pytest.approx(0, abs=8)


def test_portraits_look_ahead(engine: FaceEngine, photos: Photos) -> None:
    for person, files in photos.items():
        found = pose(mesh_of(engine, decode(files[0])))
        assert max(abs(found.yaw), abs(found.pitch), abs(found.roll)) < 20, (person, found)


def test_landmarks_lie_like_a_face(engine: FaceEngine, photos: Photos) -> None:
    mesh = mesh_of(engine, decode(photos["Jacinda Ardern"][0]))
    few, many, named = landmark4(mesh), landmark72(mesh), landmark150(mesh)
    assert (few.shape, many.shape, len(named)) == ((4, 2), (72, 2), 150)
    assert np.allclose(many[[21, 38, 57]], few[:3])
    assert many[6, 1] == many[:, 1].max()  # the chin is the lowest
    assert (np.diff(many[:7, 1]) > 0).all()  # the contour runs down the left side
    assert (np.diff(many[6:13, 1]) < 0).all()  # and up the right
    # In the names, right is the person's: the picture's left.
    assert named["eye_right_eyeball_center"] == pytest.approx(tuple(few[0]), abs=0.1 * float(np.ptp(many[:, 0])))
    assert named["eye_right_corner_right"][0] < named["eye_right_corner_left"][0] < named["eye_left_corner_right"][0]
    assert named["mouth_lip_upper_outer_6"][1] < named["mouth_lip_lower_outer_6"][1]
    assert named["nose_tip"] == pytest.approx(tuple(few[2]))


def test_landmarks_of_the_mirrored_face_are_mirrored() -> None:
    """The tables treat both halves alike: the canonical face, which is symmetric, has symmetric landmarks."""
    points = landmark72(canonical())
    flipped = points * [-1, 1]
    nearest = np.linalg.norm(flipped[:, None] - points[None], axis=2).min(axis=1)
    contour = 13
    assert nearest[contour:].max() < 1e-5
    assert len(LANDMARK_72) == 72
    for name, (x, y) in landmark150(canonical()).items():
        swapped = name.replace("right", "?").replace("left", "right").replace("?", "left")
        if "corner" in name and "eyelid" not in name:
            assert landmark150(canonical())[swapped] == pytest.approx((-x, y), abs=1e-5), name


def test_every_angle_has_its_code() -> None:
    assert sorted(ANGLE_CODES.values()) == list(range(1, 13))
    assert [angle_code(roll) for roll in (0, 14, -90, 90, 180, -180, -31, 29)] == [1, 1, 2, 3, 4, 4, 5, 12]
    assert isinstance(pose(canonical()), Pose)
