"""Error rates against cases worked out by hand, plots that are SVG, and the command on a folder."""

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from rollcall.__main__ import main
from shared.evaluation.attacks import apcer, auc, trade_off
from shared.evaluation.folder import Embedded
from shared.evaluation.plots import Curve, det, histogram
from shared.evaluation.rates import centred, one_to_many, pairs, ten_fold
from shared.evaluation.report import identification, liveness, sections, verification
from shared.vision.embedder import model_id
from tests import sample_faces

MODEL = model_id(flip=False)


def crowd(people: int, photos: int, likeness: float, strangers: int = 0, seed: int = 0) -> Embedded:
    """Made-up embeddings: photos of one person have about this cosine."""
    rng = np.random.default_rng(seed)
    owners = np.concatenate([np.repeat(np.arange(people), photos), np.arange(people, people + strangers)])
    person = rng.standard_normal((people + strangers, 128))[owners]
    vectors = np.sqrt(likeness) * person + np.sqrt(1 - likeness) * rng.standard_normal(person.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Embedded(vectors.astype(np.float32), owners, 0)


def test_pairs_by_hand() -> None:
    vectors = np.eye(3, dtype=np.float32)[[0, 0, 1]]
    same, strangers = pairs(Embedded(vectors, np.array([0, 0, 1]), 0))
    assert (same.tolist(), strangers.tolist()) == ([1], [0, 0])


def test_open_set_rates_by_hand() -> None:
    vectors = np.array([[1, 0], [0.8, 0.6], [0, 1], [1, 0], [0.6, 0.8]], np.float32)
    many = one_to_many(Embedded(vectors, np.array([0, 0, 1, 1, 2]), 0))
    assert (many.gallery, len(many.returning), len(many.strangers)) == (2, 2, 1)
    assert many.right.tolist() == [True, False]
    assert many.strangers == pytest.approx([0.8])
    assert many.fnir(0.5) == 1  # the right one at 0.8 does not exceed the stranger at 0.8


def test_where_everybody_returns_halves_are_strangers_in_turn() -> None:
    many = one_to_many(crowd(40, 3, 0.9))
    assert many.gallery == 20
    assert len(many.returning) == 20 * 20 * 2
    assert len(many.strangers) == 20 * 20 * 3
    assert many.fnir(0.01) == 0


def test_ten_fold_accuracy_of_people_told_apart_is_nearly_one() -> None:
    accuracy, error = ten_fold(crowd(60, 4, 0.9))
    assert accuracy == pytest.approx(1, abs=0.01)
    assert error < 0.01


def test_ten_fold_accuracy_of_noise_is_a_half() -> None:
    assert ten_fold(crowd(60, 4, 0.0))[0] == pytest.approx(0.5, abs=0.08)


def test_ten_fold_needs_people_in_every_fold() -> None:
    assert np.isnan(ten_fold(crowd(3, 2, 0.9))[0])


def test_the_centre_is_that_of_the_gallery() -> None:
    some = crowd(20, 3, 0.8)
    moved = centred(some)
    assert np.linalg.norm(moved.vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert abs(moved.vectors[::3].mean(axis=0)).max() < 0.01


def test_sections_that_photos_cannot_fill_are_left_out() -> None:
    assert verification(crowd(5, 1, 0.9), MODEL) is None
    assert identification(crowd(5, 1, 0.9), MODEL) is None
    assert [section.title for section in sections(crowd(30, 2, 0.9, strangers=40), MODEL)] == [
        "Verification",
        "Open-set identification",
    ]


def test_rates_of_attacks_by_hand() -> None:
    genuine, attacked = np.linspace(0, 1, 101, dtype=np.float32), np.array([0.005, 0.2, 0.2, 0.7], np.float32)
    assert [apcer(genuine, attacked, rate) for rate in (0.0, 0.01, 0.5, 0.9)] == [1, 0.75, 0.25, 0]
    assert auc(genuine, attacked) == pytest.approx(np.mean([100 / 101, 80.5 / 101, 80.5 / 101, 30.5 / 101]))
    curve = trade_off("print", genuine, attacked)
    assert list(curve.y) == sorted(curve.y, reverse=True)
    assert (curve.y[0], curve.y[-1]) == (0.75, 0)


def test_the_table_of_attacks_by_hand() -> None:
    scores = {"live": [0.02, 0.2, 0.95, 1.0, np.nan], "print": [0.0, 0.4], "screen": [np.nan], "mask": [1.0, 0.01]}
    told = {kind: np.array(some, np.float32) for kind, some in scores.items()}
    section = liveness(Embedded(np.eye(10, dtype=np.float32), np.arange(10), 0, scores=told), MODEL)
    assert section is not None
    assert section.columns == ("", "LOW 0.05", "NORMAL 0.3", "HIGH 0.9", "at BPCER 1 %")
    assert section.rows == (
        ("BPCER live (4)", "25.00%", "50.00%", "50.00%", ""),
        ("APCER print (2)", "50.0%", "50.0%", "0.0%", "50.0%"),
        ("APCER mask (2)", "50.0%", "50.0%", "50.0%", "50.0%"),
        ("not checked, face too small: 2", "", "", "", ""),
    )
    (plot,) = section.plots.values()
    assert plot.count("<polyline") == 2


@pytest.mark.parametrize(
    "plot",
    [
        det("A & B", "x", "y", [Curve("one", [1e-9, 0.1, 1], [1, 0.1, 0])]),
        histogram("A < B", "cosine", {"one": np.array([0.1, 0.2], np.float32), "none": np.empty(0, np.float32)}),
    ],
    ids=["det", "histogram"],
)
def test_plots_are_svg_with_every_number_finite(plot: str) -> None:
    assert ET.fromstring(plot).tag == "{http://www.w3.org/2000/svg}svg"
    assert "nan" not in plot
    assert "inf" not in plot


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample photos as a folder a person, with a file that is none."""
    root = tmp_path_factory.mktemp("people")
    for person, files in sample_faces.photos().items():
        (root / person).mkdir()
        for number, data in enumerate(files):
            (root / person / f"{number}.jpg").write_bytes(data)
    (root / person / "broken.jpg").write_bytes(b"no photo")
    return root


def test_the_command_prints_and_writes(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["eval", str(folder), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert report in done.output
    assert "1 without a face" in report
    assert "11 photos of 5 people" in report
    assert all(f"\n## {title}\n" in report for title in ("Verification", "Open-set identification", "Quality"))
    written = {path.name for path in (tmp_path / "out").glob("*.svg")}
    assert written == {"verification-det.svg", "scores.svg", "identification-det.svg"}
    assert all(f"]({name})" in report for name in written)


def test_a_folder_with_live_and_attacks_gets_their_error_rates(tmp_path: Path) -> None:
    people = list(sample_faces.photos().values())
    for kind, files in (("live", people[0]), ("print", people[1])):
        (tmp_path / kind / "deeper").mkdir(parents=True)
        for number, data in enumerate(files):
            (tmp_path / kind / "deeper" / f"{number}.jpg").write_bytes(data)
    done = CliRunner().invoke(main, ["eval", str(tmp_path), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert f"BPCER live ({len(people[0])})" in done.output
    assert f"APCER print ({len(people[1])}) | 100.0%" in done.output  # these photos are no attacks, so they pass LOW
    assert "## Verification" not in done.output
    assert (tmp_path / "out" / "liveness-det.svg").is_file()


def test_a_folder_without_photos_is_one_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["eval", str(tmp_path)])
    assert done.exit_code == 1
    assert "one folder a person is expected" in done.output
    assert "Traceback" not in done.output
