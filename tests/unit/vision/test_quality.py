"""What is measured follows what was done to a real photo, and every shortcoming is named."""

import dataclasses

import cv2
import numpy as np
import pytest

from shared.vision.engine import Face, FaceEngine, Fields
from shared.vision.picture import decode
from shared.vision.quality import Limits, Quality, check, completeness, compression, roll, yaw

Photos = dict[str, tuple[bytes, ...]]
GOOD = Quality(size=150, illumination=120, blur=0.2, completeness=1, yaw=3, roll=-2)


@pytest.fixture(scope="module")
def photo(photos: Photos) -> np.ndarray:
    return decode(photos["Jacinda Ardern"][0])


def face(engine: FaceEngine, picture: np.ndarray) -> Face:
    return engine.analyze(picture, max_faces=1, fields=Fields.NONE, embed=False)[0]


def test_good_photos_pass(engine: FaceEngine, photos: Photos) -> None:
    for person, files in photos.items():
        assert check(face(engine, decode(files[0])).quality) == (), person


def test_more_blur_measures_more_blurred(engine: FaceEngine, photos: Photos) -> None:
    for files in photos.values():
        for data in files[:2]:
            picture = decode(data)
            size = face(engine, picture).box.width
            blurred = [cv2.GaussianBlur(picture, (0, 0), size * share) for share in (0.005, 0.015, 0.03, 0.06)]
            figures = [face(engine, view).quality.blur for view in (picture, *blurred)]
            assert figures[1:] == sorted(figures[1:])
            assert figures[0] < figures[2]  # the first blur only smooths the photo's own JPEG blocks
            assert figures[0] < 0.35
            assert figures[-1] > 0.7


@pytest.mark.parametrize("axis", [0, 1])
def test_a_shaken_camera_counts_as_blurred(engine: FaceEngine, photo: np.ndarray, axis: int) -> None:
    length = int(face(engine, photo).box.width * 0.15)
    kernel = (length, 1) if axis else (1, length)
    assert face(engine, cv2.blur(photo, kernel)).quality.blur > face(engine, photo).quality.blur + 0.4


@pytest.mark.parametrize("side", [1, -1])
def test_a_camera_shaken_aslant_counts_as_blurred_too(engine: FaceEngine, photo: np.ndarray, side: int) -> None:
    length = int(face(engine, photo).box.width * 0.12)
    kernel = np.eye(length, dtype=np.float32)[::side] / length
    assert face(engine, cv2.filter2D(photo, -1, kernel)).quality.blur > face(engine, photo).quality.blur + 0.35


def test_a_tiny_face_is_blurred_whatever_its_pixels(engine: FaceEngine, photo: np.ndarray) -> None:
    tiny = cv2.resize(photo, None, fx=0.1, fy=0.1, interpolation=cv2.INTER_AREA)
    assert face(engine, tiny).quality.blur > face(engine, photo).quality.blur + 0.2


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    return decode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())


@pytest.mark.parametrize("width", [80, 150, 250])
def test_jpeg_damage_counts_as_blurred(engine: FaceEngine, photo: np.ndarray, width: int) -> None:
    scale = width / face(engine, photo).box.width
    picture = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    figures = [face(engine, jpeg(picture, quality)).quality.blur for quality in (95, 50, 25, 10, 5)]
    assert figures == sorted(figures)
    assert figures[0] < 0.35
    assert figures[-1] > 0.7
    assert [failure.check for failure in check(face(engine, jpeg(picture, 5)).quality)] == ["blur"]


@pytest.mark.parametrize(("down", "right"), [(0, 3), (5, 0), (4, 6)])
def test_blocks_are_found_in_a_crop_of_the_picture(photo: np.ndarray, down: int, right: int) -> None:
    box = np.array([20, 20, 120, 150], np.float32)
    picture = jpeg(cv2.resize(photo, (200, 250), interpolation=cv2.INTER_AREA), 10)
    moved = box - [right, down, 0, 0]
    assert compression(picture[down:, right:], moved.astype(np.float32)) == pytest.approx(compression(picture, box))


def test_nothing_was_taken_from_what_never_was_compressed(photo: np.ndarray) -> None:
    small = cv2.resize(photo, (200, 250), interpolation=cv2.INTER_AREA)
    assert compression(small, np.array([20, 20, 150, 180], np.float32)) < 0.15
    assert compression(np.full((200, 200, 3), 90, np.uint8), np.array([0, 0, 200, 200], np.float32)) == 0


@pytest.mark.parametrize("box", [(0, 0, 20, 20), (190, 190, 100, 100), (-500, -500, 100, 100), (0, 0, 0, 0)])
def test_too_small_a_patch_says_nothing(photo: np.ndarray, box: tuple[int, ...]) -> None:
    assert compression(jpeg(photo[:200, :200], 5), np.array(box, np.float32)) == 0


def test_darkness_is_measured(engine: FaceEngine, photo: np.ndarray) -> None:
    figures = [face(engine, (photo * share).astype(np.uint8)).quality.illumination for share in (1, 0.5, 0.2)]
    assert figures[1] == pytest.approx(figures[0] * 0.5, rel=0.05)
    assert figures[2] == pytest.approx(figures[0] * 0.2, rel=0.1)
    assert [failure.check for failure in check(dataclasses.replace(GOOD, illumination=figures[2]))] == ["illumination"]


@pytest.mark.parametrize("degrees", [-25, -10, 10, 25])
def test_a_turned_picture_measures_its_turn(engine: FaceEngine, photo: np.ndarray, degrees: int) -> None:
    height, width = photo.shape[:2]
    upright = face(engine, photo).quality.roll
    # OpenCV turns counter-clockwise, Baidu counts clockwise.
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1)
    turned = cv2.warpAffine(photo, turn, (width, height))
    assert face(engine, turned).quality.roll - upright == pytest.approx(degrees, abs=6)


def test_a_mirrored_face_looks_the_other_way(engine: FaceEngine, photos: Photos) -> None:
    for files in photos.values():
        picture = decode(files[0])
        one, other = (face(engine, view).quality.yaw for view in (picture, picture[:, ::-1].copy()))
        assert one == pytest.approx(-other, abs=6)
        assert abs(one) < 20


@pytest.mark.parametrize("degrees", [-30, 0, 15, 40])
def test_yaw_of_a_head_made_of_five_points(degrees: int) -> None:
    """A head whose nose stands out by the depth that the formula assumes, turned and seen from far away."""
    head = np.array([[-3.15, -2.6, 0], [3.15, -2.6, 0], [0, 1.1, 3.6], [-2.4, 4.3, 0], [2.4, 4.3, 0]])
    angle = np.radians(degrees)
    across = head[:, 0] * np.cos(angle) + head[:, 2] * np.sin(angle)
    points = np.stack([across, head[:, 1]], axis=1).astype(np.float32)
    assert yaw(points) == pytest.approx(degrees, abs=0.5)
    assert roll(points) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("box", "whole"),
    [
        ((10, 10, 50, 60), 1),
        ((0, 0, 100, 100), 1),
        ((-0.5, 0, 50, 50), 1),
        ((-5, 10, 50, 60), 0),
        ((10, -5, 50, 60), 0),
        ((60, 10, 50, 60), 0),
        ((10, 60, 50, 60), 0),
    ],
)
def test_completeness(box: tuple[float, ...], whole: int) -> None:
    assert completeness(np.array(box, np.float32), 100, 100) == whole


def test_a_face_cut_by_the_edge_is_incomplete(engine: FaceEngine, photos: Photos) -> None:
    assert face(engine, decode(photos["Barack Obama"][4])).quality.completeness == 0


def test_every_shortcoming_is_listed_with_figure_limit_code_and_words() -> None:
    bad = Quality(size=30, illumination=10, blur=0.9, completeness=0, yaw=-44, roll=33, pitch=-25)
    failures = check(bad, Limits(completeness=1))
    assert [(failure.check, failure.measured, failure.limit, failure.code) for failure in failures] == [
        ("size", 30, 64, 222213),
        ("completeness", 0, 1, 223116),
        ("illumination", 10, 40, 223115),
        ("blur", 0.9, 0.7, 223114),
        ("yaw", -44, 20, 223129),
        ("pitch", -25, 20, 223129),
        ("roll", 33, 20, 223129),
    ]
    assert all(failure.zh and failure.en for failure in failures)


def test_figures_at_the_limit_pass() -> None:
    assert check(Quality(size=64, illumination=40, blur=0.7, completeness=0, yaw=20, roll=-20)) == ()
