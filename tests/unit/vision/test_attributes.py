"""Age and gender of people whose age and gender are known."""

import cv2
import numpy as np
import pytest

from shared.vision.attributes import FEMALE, MALE, SURE, UNKNOWN, Gender
from shared.vision.engine import FaceEngine, Fields
from shared.vision.picture import decode

Photos = dict[str, tuple[bytes, ...]]
ALL = Fields.AGE | Fields.GENDER


def test_men_and_women(engine: FaceEngine, photos: Photos) -> None:
    for person, gender in (("Barack Obama", MALE), ("Emmanuel Macron", MALE), ("Jacinda Ardern", FEMALE)):
        (face,) = engine.analyze(decode(photos[person][0]), max_faces=1, fields=ALL, embed=False)
        assert face.gender is not None
        assert face.gender.value == gender, person
        assert 0.5 <= face.gender.probability <= 1


def test_grown_people_are_grown(engine: FaceEngine, photos: Photos) -> None:
    for files in photos.values():
        (face,) = engine.analyze(decode(files[0]), max_faces=1, fields=ALL, embed=False)
        assert face.age is not None
        assert 20 < face.age < 75


def test_only_what_is_asked(engine: FaceEngine, photos: Photos) -> None:
    picture = decode(photos["Barack Obama"][0])
    (neither,) = engine.analyze(picture, max_faces=1, fields=Fields.NONE, embed=False)
    (age,) = engine.analyze(picture, max_faces=1, fields=Fields.AGE, embed=False)
    (gender,) = engine.analyze(picture, max_faces=1, fields=Fields.GENDER, embed=False)
    assert (neither.age, neither.gender, neither.quality.occlusion) == (None, None, None)
    assert age.age is not None
    assert age.gender is None
    assert gender.age is None
    assert gender.gender is not None


def test_faces_together_get_what_they_get_alone(engine: FaceEngine, photos: Photos) -> None:
    tiles = [cv2.resize(decode(photos[name][0]), (320, 400)) for name in ("Jacinda Ardern", "Emmanuel Macron")]
    alone = [engine.analyze(tile, max_faces=1, fields=ALL, embed=False)[0] for tile in tiles]
    together = sorted(engine.analyze(np.hstack(tiles), max_faces=2, fields=ALL, embed=False), key=lambda f: f.box.left)
    for one, other in zip(alone, together, strict=True):
        assert one.gender is not None
        assert other.gender is not None
        assert one.gender.value == other.gender.value
        assert one.age == pytest.approx(other.age, abs=8)


def test_who_is_not_sure_says_so() -> None:
    assert Gender(MALE, SURE).code == MALE
    assert Gender(FEMALE, 0.99).code == FEMALE
    assert Gender(FEMALE, SURE - 0.01).code == UNKNOWN
