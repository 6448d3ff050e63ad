"""Real faces, covered by hand: the part that is covered is the part that is named."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.vision.engine import Face, FaceEngine, Fields
from shared.vision.occlusion import PARTS, Occlusion, part_masks
from shared.vision.picture import decode
from shared.vision.pose import canonical
from shared.vision.quality import LEVELS, Limits, Quality, check
from train.occlusion_real import draw

Photos = dict[str, tuple[bytes, ...]]


def look(engine: FaceEngine, picture: np.ndarray) -> Face:
    return engine.analyze(picture, max_faces=1, fields=Fields.OCCLUSION, embed=False)[0]


def occlusion(engine: FaceEngine, picture: np.ndarray) -> Occlusion:
    found = look(engine, picture).quality.occlusion
    assert found is not None
    return found


def masked(engine: FaceEngine, picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """A surgical mask: from the nose bridge to below the chin."""
    mesh = look(engine, picture).mesh
    assert mesh is not None
    outline = mesh[[227, 118, 197, 347, 447, 361, 397, 378, 152, 149, 172, 132], :2]
    covered = picture.copy()
    cv2.fillPoly(covered, [outline.astype(np.int32)], colour)
    return covered


def in_sunglasses(engine: FaceEngine, picture: np.ndarray) -> np.ndarray:
    mesh = look(engine, picture).mesh
    assert mesh is not None
    covered, wide = picture.copy(), float(np.linalg.norm(mesh[33] - mesh[263]))
    for corner, other in ((33, 133), (362, 263)):
        middle = (mesh[corner, :2] + mesh[other, :2]) / 2
        cv2.ellipse(covered, tuple(map(int, middle)), (int(wide * 0.26), int(wide * 0.2)), 0, 0, 360, (25, 20, 20), -1)
    return covered


def test_open_faces_are_open(engine: FaceEngine, photos: Photos) -> None:
    for person, files in photos.items():
        found = occlusion(engine, decode(files[0]))
        assert max(getattr(found, name) for name in PARTS) < 0.5, (person, found)


@pytest.mark.parametrize("colour", [(235, 225, 220), (160, 120, 60), (30, 30, 30)], ids=["white", "blue", "black"])
def test_a_mask_is_refused_at_enrolment(engine: FaceEngine, photos: Photos, colour: tuple[int, int, int]) -> None:
    for name in ("Jacinda Ardern", "Emmanuel Macron", "Barack Obama"):
        face = look(engine, masked(engine, decode(photos[name][0]), colour))
        failed = {failure.check for failure in check(face.quality)}
        assert failed & {"nose", "mouth", "chin_contour"}, (name, face.quality)
        assert not failed & {"left_eye", "right_eye"}, (name, face.quality)


def test_sunglasses_are_refused_at_enrolment(engine: FaceEngine, photos: Photos) -> None:
    for name in ("Jacinda Ardern", "Emmanuel Macron", "Barack Obama"):
        face = look(engine, in_sunglasses(engine, decode(photos[name][0])))
        failed = {failure.check for failure in check(face.quality)}
        assert {"left_eye", "right_eye"} <= failed, (name, face.quality)
        assert not failed & {"mouth", "chin_contour"}, (name, face.quality)


def test_left_is_the_left_of_the_picture(engine: FaceEngine, photos: Photos) -> None:
    picture = decode(photos["Jacinda Ardern"][0])
    mesh = look(engine, picture).mesh
    assert mesh is not None
    card = cv2.boundingRect(mesh[[70, 63, 105, 66, 107, 117, 50, 187], :2].astype(np.int32))
    picture[card[1] : card[1] + card[3], max(0, card[0] - 20) : card[0] + card[2]] = (90, 160, 40)
    found = occlusion(engine, picture)
    assert found.left_eye > 0.5 > found.right_eye
    assert found.left_cheek > found.right_cheek


def test_the_same_with_and_without_embedding(engine: FaceEngine, photos: Photos) -> None:
    picture = decode(photos["Barack Obama"][0])
    (full,) = engine.analyze(picture, max_faces=1)
    assert full.quality.occlusion == occlusion(engine, picture)


def test_parts_do_not_overlap_much_and_lie_in_the_crop() -> None:
    masks = part_masks(canonical()[:, :2] * 34 + [56, 62])
    areas = masks.sum(axis=(1, 2))
    assert (areas > 60).all()
    assert (masks.sum(axis=0) > 1).sum() < 0.1 * areas.sum()


def test_each_covered_part_has_its_code() -> None:
    covered = Occlusion(*(1.0 for _ in PARTS))
    failures = check(Quality(150, 120, 0.2, 1, 0, 0, occlusion=covered))
    assert [(failure.check, failure.code) for failure in failures] == [
        ("left_eye", 223121),
        ("right_eye", 223122),
        ("nose", 223126),
        ("mouth", 223127),
        ("left_cheek", 223123),
        ("right_cheek", 223124),
        ("chin_contour", 223125),
    ]
    assert len({failure.zh for failure in failures} | {failure.en for failure in failures}) == 14
    assert check(Quality(150, 120, 0.2, 1, 0, 0, occlusion=covered), Limits(occlusion=None)) == ()


@pytest.mark.parametrize(("level", "failures"), [("LOW", 0), ("NORMAL", 3), ("HIGH", 6)])
def test_levels(level: str, failures: int) -> None:
    middling = Quality(150, 60, 0.65, 0, 35, 0, occlusion=Occlusion(left_eye=0.7, nose=0.3))
    assert len(check(middling, LEVELS[level])) == failures


@pytest.mark.parametrize(("crops", "rows"), [(0, 1), (1, 1), (12, 1), (13, 2)])
def test_a_sheet_of_alarms_can_be_drawn_even_if_there_are_none(tmp_path: Path, crops: int, rows: int) -> None:
    draw([np.full((112, 112, 3), 200, np.uint8)] * crops, tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (rows * 112, 12 * 112, 3)
    assert int((sheet > 0).sum()) == crops * 112 * 112 * 3
