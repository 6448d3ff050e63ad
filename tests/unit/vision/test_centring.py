"""Cosines from a gallery's centre, and the way back to the scale of thresholds and scores."""

import numpy as np
import pytest

from shared.vision.calibration import calibration
from shared.vision.centring import Centre, plain_scale
from shared.vision.embedder import model_id

MODEL = model_id(flip=False)


def units(count: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, 128)).astype(np.float32) + 0.05
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_it_is_the_cosine_of_the_differences() -> None:
    gallery, probe = units(60), units(1, seed=1)[0]
    rows, seen = gallery - gallery.mean(axis=0), probe - gallery.mean(axis=0)
    wanted = rows @ seen / np.linalg.norm(rows, axis=1) / np.linalg.norm(seen)
    assert Centre(gallery).cosines(gallery @ probe, probe) == pytest.approx(wanted, abs=1e-5)


def test_a_gallery_of_equal_faces_gives_no_nonsense() -> None:
    gallery = np.repeat(units(1), 50, axis=0)
    assert np.isfinite(Centre(gallery).cosines(gallery @ gallery[0], gallery[0])).all()


def test_the_plain_scale_keeps_order_ends_and_rates() -> None:
    scale, table = plain_scale(MODEL), calibration(MODEL)
    assert scale is not None
    values = [scale(cosine / 100) for cosine in range(-100, 101)]
    assert values == sorted(values)
    assert (values[0], values[-1]) == (-1, 1)
    for cosine, centred in zip(table.cosines, table.centred, strict=True):
        assert scale(centred) == pytest.approx(cosine)


def test_an_unknown_model_is_not_centred() -> None:
    assert plain_scale("another") is None
