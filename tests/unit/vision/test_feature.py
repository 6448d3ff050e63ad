"""Features as terminals keep them."""

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.vision.calibration import calibration, score1
from shared.vision.feature import MATCH, Feature, NotAFeature, OtherModel

MODEL = "sface-2021dec/2"


def unit(*values: float) -> bytes:
    filled = [*values, *[0.0] * (128 - len(values))]
    return struct.pack("<128f", *filled)


ONE = Feature(MODEL, unit(1))


def at_cosine(cosine: float) -> Feature:
    return Feature(MODEL, unit(cosine, math.sqrt(1 - cosine**2)))


def test_the_golden_feature() -> None:
    """Terminals keep these for years."""
    packed = ONE.packed()
    assert packed[: 5 + len(MODEL)] == b"RCF\x01\x0fsface-2021dec/2"
    assert packed[5 + len(MODEL) :] == unit(1)
    assert Feature.unpacked(packed) == ONE


def test_the_score_is_the_calibrated_one() -> None:
    accepted = calibration(MODEL, "mixed").cosine_at(1e-4)
    assert ONE.score(ONE) == 1.0
    assert ONE.score(at_cosine(0.0)) == 0.0
    assert ONE.score(at_cosine(accepted + 1e-3)) >= MATCH > ONE.score(at_cosine(accepted - 1e-3))
    assert ONE.score(at_cosine(0.5)) == pytest.approx(score1(0.5, MODEL), abs=1e-6)


@pytest.mark.parametrize("other", [Feature("arcface/1", unit(1)), Feature(MODEL, struct.pack("<2f", 1, 0))])
def test_two_models_say_nothing_of_each_other(other: Feature) -> None:
    with pytest.raises(OtherModel):
        ONE.score(other)


def test_a_model_that_was_never_measured_has_no_score() -> None:
    with pytest.raises(OtherModel):
        Feature("arcface/1", unit(1)).score(Feature("arcface/1", unit(1)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RCF",
        b"RCF\x01",
        b"RCF\x02" + ONE.packed()[4:],
        b"RCF\x01\x00" + unit(1),
        b"RCF\x01\xff" + unit(1)[:40],
        ONE.packed()[:-1],
        ONE.packed()[: 5 + len(MODEL)],
        Feature(MODEL, unit(0)).packed(),
        Feature(MODEL, unit(2)).packed(),
        Feature(MODEL, unit(math.nan)).packed(),
        Feature(MODEL, unit(math.inf)).packed(),
        b"RCF\x01\x02\xc3\xa9" + unit(1),
        b"RCF\x01\x02\n\n" + unit(1),
        b"RCF\x01\x01m" + b"\0" * 20_000,
    ],
)
def test_what_is_no_feature_is_refused(data: bytes) -> None:
    with pytest.raises(NotAFeature):
        Feature.unpacked(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600), st.integers(0, 600))
def test_rubbish_is_refused_and_nothing_else(rubbish: bytes, cut: int) -> None:
    for data in (rubbish, b"RCF\x01" + rubbish, ONE.packed()[:cut] + rubbish):
        try:
            feature = Feature.unpacked(data)
        except NotAFeature:
            continue
        assert feature.packed() == data
        assert 0 <= feature.score(feature) <= 1 if feature.model == MODEL else True
