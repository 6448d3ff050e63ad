"""From a photo to a person: one person's photos agree, strangers' do not."""

import itertools

import cv2
import numpy as np
import pytest

from shared.vision.calibration import fpir_at, threshold_for
from shared.vision.embedder import model_id
from shared.vision.engine import EngineSettings, FaceEngine, Fields
from shared.vision.picture import decode
from shared.vision.runtime import best_precision
from shared.vision.weights import MissingWeight, Weights
from tests.sample_faces import PEOPLE, STRANGERS

Photos = dict[str, tuple[bytes, ...]]
Vectors = dict[str, list[np.ndarray]]


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "flip"])
def either(request: pytest.FixtureRequest, weights: Weights) -> FaceEngine:
    return FaceEngine(weights, EngineSettings(flip=request.param))


@pytest.fixture(scope="module")
def vectors(either: FaceEngine, photos: Photos) -> Vectors:
    return {person: [embedding(either, data) for data in files] for person, files in photos.items()}


def embedding(engine: FaceEngine, data: bytes) -> np.ndarray:
    vector = engine.analyze(decode(data), max_faces=1)[0].embedding
    assert vector is not None
    return vector


def test_embeddings_are_unit_vectors(vectors: Vectors) -> None:
    for vector in itertools.chain(*vectors.values()):
        assert vector.shape == (128,)
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_photos_of_one_person_agree(either: FaceEngine, vectors: Vectors) -> None:
    threshold = threshold_for(0.003, 1000, either.model_id)
    for person in PEOPLE:
        for one, other in itertools.combinations(vectors[person], 2):
            assert one @ other > threshold, person


def test_photos_of_different_people_do_not(either: FaceEngine, vectors: Vectors) -> None:
    threshold = threshold_for(0.003, 100, either.model_id)
    for one, other in itertools.combinations(PEOPLE | STRANGERS, 2):
        for a, b in itertools.product(vectors[one], vectors[other]):
            assert a @ b < threshold, (one, other)


def test_the_threshold_keeps_its_promise() -> None:
    for name in (model_id(flip=False), model_id(flip=True)):
        assert fpir_at(threshold_for(0.003, 300, name), 300, name) == pytest.approx(0.003)


def test_largest_faces_come_first_and_no_more_than_asked(engine: FaceEngine, photos: Photos) -> None:
    heights = (120, 360, 240)
    tiles = [cv2.resize(decode(files[0]), (h * 4 // 5, h)) for h, files in zip(heights, photos.values(), strict=False)]
    wall = np.hstack([cv2.copyMakeBorder(tile, 0, 360 - len(tile), 0, 0, cv2.BORDER_CONSTANT) for tile in tiles])
    faces = engine.analyze(wall, max_faces=10)
    assert len(faces) == 3
    assert [face.box.area for face in faces] == sorted((face.box.area for face in faces), reverse=True)
    assert len(engine.analyze(wall, max_faces=2)) == 2
    assert [face.box for face in engine.analyze(wall, max_faces=2)] == [face.box for face in faces[:2]]


def test_faces_together_get_the_numbers_they_get_alone(engine: FaceEngine, photos: Photos) -> None:
    left, right = (cv2.resize(decode(photos[name][0]), (320, 400)) for name in ("Jacinda Ardern", "Emmanuel Macron"))
    alone = [engine.analyze(tile, max_faces=1)[0].embedding for tile in (left, right)]
    together = sorted(engine.analyze(np.hstack([left, right]), max_faces=2), key=lambda face: face.box.left)
    for face, expected in zip(together, alone, strict=True):
        assert face.embedding @ expected > 0.9


def test_an_earlier_result_is_not_overwritten(engine: FaceEngine, photos: Photos) -> None:
    """The networks reuse their output memory; what was handed out must not."""
    first = engine.analyze(decode(photos["Jacinda Ardern"][0]), max_faces=1)[0]
    before = (first.points.copy(), first.embedding.copy())
    engine.analyze(decode(photos["Barack Obama"][0]), max_faces=1)
    assert np.array_equal(first.points, before[0])
    assert np.array_equal(first.embedding, before[1])


def test_without_embedding_only_the_embedding_is_missing(engine: FaceEngine, photos: Photos) -> None:
    picture = decode(photos["Jacinda Ardern"][0])
    quick, full = (engine.analyze(picture, max_faces=1, embed=embed)[0] for embed in (False, True))
    assert quick.embedding is None
    assert (quick.box, quick.quality) == (full.box, full.quality)


def test_nobody_there(engine: FaceEngine) -> None:
    assert engine.analyze(np.zeros((480, 640, 3), np.uint8), max_faces=5) == ()


def test_the_same_picture_gives_the_same_numbers(engine: FaceEngine, photos: Photos) -> None:
    one, other = (embedding(engine, photos["Barack Obama"][1]) for _ in range(2))
    assert one @ other == pytest.approx(1, abs=1e-5)


def test_the_mirrored_face_counts_the_same(weights: Weights, photos: Photos) -> None:
    engine = FaceEngine(weights, EngineSettings(flip=True))
    picture = decode(photos["Jacinda Ardern"][1])
    one, other = (engine.analyze(view, max_faces=1)[0].embedding for view in (picture, picture[:, ::-1].copy()))
    assert one @ other > 0.93


def test_the_numbers_have_a_name(weights: Weights, engine: FaceEngine) -> None:
    assert engine.model_id in {model_id(flip=False), model_id(flip=True)}
    assert model_id(flip=False) != model_id(flip=True)


def test_warm_up_and_the_chosen_precision(weights: Weights, photos: Photos) -> None:
    assert best_precision() in {"f32", "bf16"}
    engine = FaceEngine(weights, EngineSettings(precision="f32", threads=2))
    engine.warm_up()
    assert engine.analyze(decode(photos["Jacinda Ardern"][0]), max_faces=1)


def test_no_engine_without_weights(tmp_path) -> None:
    with pytest.raises(MissingWeight):
        FaceEngine(Weights.load(tmp_path), EngineSettings())


def test_only_the_faces_that_are_wanted_are_embedded(engine: FaceEngine, photos: Photos) -> None:
    picture = decode(photos["Barack Obama"][0])
    (skipped,) = engine.analyze(picture, max_faces=1, embed=lambda box: box.width < 0)
    (embedded,) = engine.analyze(picture, max_faces=1, embed=lambda box: box.width > 0)
    assert skipped.embedding is None
    assert embedded.embedding is not None


def test_life_is_judged_only_when_asked_and_only_of_faces_that_are_looked_at(
    engine: FaceEngine, photos: Photos
) -> None:
    picture = decode(photos["Barack Obama"][0])
    (asked,) = engine.analyze(picture, max_faces=1, fields=Fields.LIVENESS)
    (unasked,) = engine.analyze(picture, max_faces=1)
    (skipped,) = engine.analyze(picture, max_faces=1, fields=Fields.LIVENESS, embed=False)
    assert asked.liveness is not None
    assert 0 <= asked.liveness <= 1
    assert unasked.liveness is None
    assert skipped.liveness is None
