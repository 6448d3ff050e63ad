"""One frame: the views that the network sees, the scale of its score, and real photos against attacks made of them."""

from importlib import resources
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from shared.vision.detector import Detector, DetectorSettings
from shared.vision.liveness import (
    CLOSE,
    OUTSIDE,
    SIDE,
    VIEWS,
    WIDE,
    Liveness,
    PassiveLiveness,
    ScoreMap,
    close,
    views,
    wide,
)
from shared.vision.picture import decode
from shared.vision.runtime import RuntimeSettings
from shared.vision.weights import Weights
from train.attacks import Scene, attack, capture, genuine

Photos = dict[str, tuple[bytes, ...]]
Pixels = NDArray[np.uint8]
PRECISE = RuntimeSettings(precision="f32")
WEIGHTS = Path(str(resources.files("shared.vision"))) / "weights_own" / "liveness.onnx"
BOX = np.array([100, 100, 80, 100], np.float32)


@pytest.fixture(scope="module")
def liveness() -> PassiveLiveness:
    return PassiveLiveness.own(PRECISE)


@pytest.fixture(scope="module")
def scenes(weights: Weights, photos: Photos) -> list[Scene]:
    """The largest face of two photos of each person."""
    detector = Detector(weights.find("yunet"), PRECISE, DetectorSettings())
    pictures = [decode(data) for files in photos.values() for data in files[:2]]
    return [Scene(picture, detector(picture).boxes[0]) for picture in pictures]


def test_attacks_made_of_real_photos_score_lower_than_the_photos(
    liveness: PassiveLiveness, scenes: list[Scene]
) -> None:
    rng = np.random.default_rng(11)
    pairs = [(scene, scenes[(i - 1) % len(scenes)], i % 2 == 0) for i, scene in enumerate(scenes * 3)]
    good = [capture(genuine(scene, other, rng), rng) for scene, other, _ in pairs]
    bad = [capture(attack(scene, other, rng, screen=screen), rng) for scene, other, screen in pairs]
    live, fake = (np.array([liveness.margins(s.picture, [s.box])[0] for s in some]) for some in (good, bad))
    assert (live[:, None] > fake).mean() > 0.85


def test_real_photos_pass_the_low_level(liveness: PassiveLiveness, scenes: list[Scene]) -> None:
    for scene in scenes:
        assert liveness.verdict(scene.picture, scene.box, 0.05).answer is Liveness.LIVE


def test_many_faces_score_as_each_alone(liveness: PassiveLiveness, scenes: list[Scene]) -> None:
    picture, box = scenes[0].picture, scenes[0].box
    boxes = [box, box * np.float32(0.9), box + np.float32(5)]
    together = liveness.scores(picture, boxes)
    assert together == pytest.approx([liveness.scores(picture, [one])[0] for one in boxes], abs=1e-4)
    assert all(0 <= score <= 1 for score in together)
    assert liveness.scores(picture, []) == []


@pytest.mark.parametrize(
    "box",
    [
        (-60, -60, 100, 120),
        (280, 10, 90, 110),
        (-500, -500, 50, 50),
        (0, 0, 0, 0),
        (10.4, 9.6, 0.3, 0.2),
        (0, 0, 9e3, 9e3),
    ],
)
@pytest.mark.parametrize("shape", [(240, 320), (1, 1), (3, 500)])
def test_no_box_and_no_picture_breaks_it(
    liveness: PassiveLiveness, box: tuple[float, ...], shape: tuple[int, int]
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    (score,) = liveness.scores(picture, [np.array(box, np.float32)])
    assert 0 <= score <= 1


def test_a_close_view_is_centred_on_the_box_and_as_large_as_said() -> None:
    picture = np.zeros((300, 300, 3), np.uint8)
    picture[100:200, 100:180] = 255
    assert views(picture, BOX).shape == (SIDE, VIEWS * SIDE, 3)
    for reach in CLOSE:
        rows, columns = np.nonzero(close(picture, BOX, reach)[..., 0] > 200)
        assert (rows.mean(), columns.mean()) == pytest.approx((SIDE / 2 - 0.5, SIDE / 2 - 0.5), abs=1.5)
        high = min(100 * SIDE / (reach * np.sqrt(8000)), SIDE)
        assert np.ptp(rows) + 1 == pytest.approx(high, abs=2)


def test_a_close_view_mirrors_what_the_picture_has_and_is_grey_where_it_has_nothing() -> None:
    picture = np.zeros((300, 300, 3), np.uint8)
    picture[:, :20] = 255
    seen = close(picture, np.array([0, 100, 80, 80], np.float32), 1.6)
    edge = round((1.6 - 1) / 2 / 1.6 * SIDE)
    bright = np.flatnonzero(seen[40, :, 0] > 127)
    assert (bright.min(), bright.max()) == pytest.approx((edge - SIDE / 1.6 / 4, edge + SIDE / 1.6 / 4), abs=2)
    assert (close(picture, np.array([900, 900, 80, 80], np.float32), 1.6) == OUTSIDE).all()


def test_a_wide_view_is_pushed_into_the_picture() -> None:
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[:80, :80] = 255
    corner = wide(picture, np.array([0, 0, 80, 80], np.float32), WIDE[0])
    assert (corner[..., 0] > 127).mean() == pytest.approx(1 / WIDE[0] ** 2, abs=0.02)
    whole = wide(picture, np.array([0, 0, 200, 200], np.float32), WIDE[1])
    assert (whole[..., 0] > 127).mean() == pytest.approx((80 / 400) ** 2, abs=0.02)


def test_a_face_too_small_to_tell_is_not_checked(liveness: PassiveLiveness, scenes: list[Scene]) -> None:
    verdict = liveness.verdict(scenes[0].picture, np.array([50, 50, 40, 60], np.float32), 0.3)
    assert (verdict.answer, verdict.score, verdict.reason) == (Liveness.NOT_CHECKED, None, "face_too_small")


def test_the_levels_of_the_contract_are_anchors_of_a_rising_scale() -> None:
    scale = ScoreMap.load()
    assert list(scale.margins) == sorted(set(scale.margins))
    assert list(scale.scores) == sorted(set(scale.scores))
    assert {0.05, 0.3, 0.9} <= set(scale.scores)
    swept = scale(np.linspace(-50, 50, 999).astype(np.float32))
    assert (swept[0], swept[-1]) == (0, 1)
    assert (np.diff(swept) >= 0).all()


def test_the_weights_are_small() -> None:
    assert len(WEIGHTS.read_bytes()) < 2e6


def test_the_weights_name_their_origin_and_carry_its_licence() -> None:
    assert "MiniFASNet" in onnx.load_from_string(WEIGHTS.read_bytes()).graph.doc_string
    assert "Apache License" in (WEIGHTS.parent / "MiniFASNet_LICENSE").read_text(encoding="utf-8")
