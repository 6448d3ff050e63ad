"""One table, read in every direction."""

import pytest

from shared.vision.calibration import calibration, fpir_at, promise, score1, score100, threshold_for
from shared.vision.embedder import model_id

MODELS = [model_id(flip=False), model_id(flip=True)]
COSINES = [step / 200 for step in range(-200, 201)]

every_model = pytest.mark.parametrize("model", MODELS)


@every_model
def test_the_table_is_in_order(model: str) -> None:
    table = calibration(model)
    assert list(table.fars) == sorted(set(table.fars), reverse=True)
    assert list(table.cosines) == sorted(set(table.cosines))
    assert table.slope < 0


@every_model
def test_far_and_cosine_are_each_other_s_inverse(model: str) -> None:
    table = calibration(model)
    for far in (0.9, *table.fars, 0.03, 3e-4, 1e-8):
        assert table.far_at(table.cosine_at(far)) == pytest.approx(far, rel=1e-6)


@every_model
def test_a_higher_cosine_is_never_more_common(model: str) -> None:
    fars = [calibration(model).far_at(cosine) for cosine in COSINES]
    assert fars == sorted(fars, reverse=True)
    assert fars[0] == pytest.approx(1)
    assert 0 < fars[-1] < 1e-9


@pytest.mark.parametrize("fpir", [0.05, 0.01, 0.003])
@every_model
def test_the_threshold_gives_the_rate_that_was_asked_for(model: str, fpir: float) -> None:
    for faces in (1, 10, 300, 1000, 100_000):
        assert fpir_at(threshold_for(fpir, faces, model), faces, model) == pytest.approx(fpir, rel=1e-4)


@every_model
def test_more_faces_need_a_higher_threshold(model: str) -> None:
    thresholds = [threshold_for(0.003, faces, model) for faces in (0, 1, 30, 300, 3000, 30_000, 3_000_000)]
    assert thresholds == sorted(thresholds)
    assert thresholds[1] < thresholds[-1] < 1


@every_model
def test_a_fixed_far_is_no_promise_for_a_crowd(model: str) -> None:
    """Why the threshold follows the gallery: FAR 1e-4 names one stranger in thirty among 300 people."""
    threshold = calibration(model).cosine_at(1e-4)
    assert fpir_at(threshold, 300, model) == pytest.approx(1 / 34, rel=0.05)


@every_model
def test_nobody_is_found_in_an_empty_gallery(model: str) -> None:
    assert fpir_at(0.0, 0, model) == 0


@every_model
def test_scores_meet_where_the_contracts_say(model: str) -> None:
    threshold = calibration(model, "mixed").cosine_at(1e-4)
    assert score100(threshold, model) == pytest.approx(80)
    assert score1(threshold, model) == pytest.approx(0.6)


@every_model
def test_scores_rise_with_the_cosine(model: str) -> None:
    for score, top in ((score100, 100), (score1, 1)):
        values = [score(cosine, model) for cosine in COSINES]
        assert values == sorted(values)
        assert len(set(values[200:])) == 201
        assert (values[0], values[-1]) == (0, top)
        assert score(1.00001, model) == top


@every_model
def test_an_unknown_model_has_no_table(model: str) -> None:
    with pytest.raises(KeyError):
        calibration(model + "x")


@every_model
def test_thresholds_are_those_of_people_who_are_alike(model: str) -> None:
    """LFW's table would promise them more than it keeps."""
    for faces in (100, 300, 1000):
        far = 0.003 / faces
        assert threshold_for(0.003, faces, model) > calibration(model, "mixed").cosine_at(far) + 0.02


@pytest.mark.parametrize(
    ("fpir", "share"),
    [
        (0.003, "3 strangers in 1,000 are"),
        (0.01, "1 stranger in 100 is"),
        (0.0125, "125 strangers in 10,000 are"),
        (0.5, "5 strangers in 10 are"),
        (1 / 3, "3.4 strangers in 10 are"),
        (0.0003, "3 strangers in 10,000 are"),
    ],
)
def test_the_office_reads_what_the_threshold_promises(fpir: float, share: str) -> None:
    words = promise(fpir, 1234)
    assert words.en == f"With 1,234 faces, at most {share} taken for somebody"
    assert "1,234" in words.zh


def test_an_empty_library_promises_nothing() -> None:
    assert "empty" in promise(0.003, 0).en
    assert promise(0.003, 1).en.startswith("With 1 face,")
