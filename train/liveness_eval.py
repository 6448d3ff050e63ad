"""Calibrates and measures the passive liveness network; prints the tables of docs/models/liveness.md, draws its curves.

    python -m train.liveness_eval FACES_FOLDER [--weights FILE] [--calibrate] [--research FILE] [--plots FOLDER]

`--calibrate` first writes shared/vision/weights_own/liveness.toml from genuine LFW faces of one half of the people (by
a hash of the name). Measured is on the other half, on NUAA, on the full frames in spoof/samples, on UTKFace, and on
attacks made from LFW faces; none of them is used in training, but `--research` adds weights that were fitted to NUAA
people 0001 to 0005 as well, and compares them on the other five.
"""

import argparse
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from shared.evaluation.attacks import apcer, auc, trade_off
from shared.evaluation.plots import det
from shared.vision.detector import Detector, DetectorSettings
from shared.vision.liveness import LEVELS, SIDE, VIEWS, ScoreMap, close, views
from shared.vision.runtime import Network, RuntimeSettings
from shared.vision.weights import Weights
from train.attacks import Scene, attack, capture
from train.liveness_graph import FEATURES
from train.liveness_teachers import Teachers

Floats = NDArray[np.float32]

PRECISE = RuntimeSettings(precision="f32")
BPCERS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1)
RETAKEN = "LFW, other half, made camera"
MADE_FROM = 400  # faces of LFW, each printed once and shown once
RETAKEN_FROM = 800
SEED = 2


@dataclass(frozen=True)
class Marks:
    """What each network says of N faces, and their sharpness (variance of the Laplacian) and size (pixels)."""

    by: dict[str, Floats]
    sharpness: Floats
    size: Floats

    def where(self, which: NDArray[np.bool_]) -> "Marks":
        """Some of the faces."""
        return Marks({name: marks[which] for name, marks in self.by.items()}, self.sharpness[which], self.size[which])


class Marker:
    """Finds faces and asks all networks. `heads`: files that differ in their heads only."""

    def __init__(self, faces: Path, heads: dict[str, Path]) -> None:
        self._detector = Detector(Weights.load().find("yunet"), PRECISE, DetectorSettings())
        shape = [-1, 3, SIDE, VIEWS * SIDE]
        self._bodies = Network(next(iter(heads.values())), shape, PRECISE, rgb=False, taps=(FEATURES,))
        self._heads = {name: _heads(file) for name, file in heads.items()}
        self._teachers = Teachers(faces / "models")

    def marks(self, scenes: Iterable[Scene]) -> Marks:
        """Of each scene's face."""
        rows = [self._row(scene) for scene in scenes]
        columns = [np.array(column, np.float32) for column in zip(*rows, strict=True)]
        *marks, sharpness, size = columns
        return Marks(dict(zip([*self._heads, "teachers"], marks, strict=True)), sharpness, size)

    def _row(self, scene: Scene) -> list[float]:
        features = self._bodies(views(scene.picture, scene.box)[None])[FEATURES][0]
        grey = cv2.cvtColor(close(scene.picture, scene.box, 1.0), cv2.COLOR_BGR2GRAY)
        own = [float(features @ heads) for heads in self._heads.values()]
        taught = float(self._teachers(scene.picture, scene.box).mean())
        size = float(np.sqrt(scene.box[2] * scene.box[3]))
        return [*own, taught, float(cv2.Laplacian(grey, cv2.CV_32F).var()), size]

    def scenes(self, files: Iterable[Path], turns: int = 0) -> Iterator[Scene]:
        """The face nearest the middle of each picture, which may be turned by quarters first."""
        for file in files:
            picture = np.ascontiguousarray(np.rot90(np.asarray(cv2.imread(str(file)), np.uint8), turns))
            room = max(picture.shape[:2]) // 3
            wide = cv2.copyMakeBorder(picture, room, room, room, room, cv2.BORDER_REPLICATE)
            found = self._detector(np.asarray(wide, np.uint8))
            if len(found):
                off = np.abs(found.boxes[:, :2] + found.boxes[:, 2:] / 2 - np.array(wide.shape[1::-1]) / 2).sum(axis=1)
                yield Scene(picture, found.boxes[int(off.argmin())] - np.array([room, room, 0, 0], np.float32))


def _heads(file: Path) -> Floats:
    tensors = {tensor.name: tensor for tensor in onnx.load(file).graph.initializer}
    return np.asarray(numpy_helper.to_array(tensors["heads"])[:, 0], np.float32)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    own = Path(str(resources.files("shared.vision"))) / "weights_own"
    parser.add_argument("--weights", type=Path, default=own / "liveness.onnx")
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--research", type=Path, help="weights that were fitted to half of NUAA, to compare")
    parser.add_argument("--plots", type=Path, help="draw the curves into this folder")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    heads = {"own": options.weights, **({"research": options.research} if options.research else {})}
    marker = Marker(options.faces, heads)
    if options.calibrate:
        (own / "liveness.toml").write_text(_calibration(marker, options.faces), encoding="utf-8")
    _report(marker, options.faces, ScoreMap.load(), options.plots)


def _lfw(faces: Path, half: int) -> list[Path]:
    """Every second photo of the people in this half."""
    people = sorted(folder for folder in (faces / "lfw").iterdir() if zlib.crc32(folder.name.encode()) % 2 == half)
    return [file for folder in people for file in sorted(folder.glob("*.jpg"))][::2]


def _calibration(marker: Marker, faces: Path) -> str:
    margins = marker.marks(marker.scenes(_lfw(faces, 0))).by["own"]
    middle, high, normal = (float(np.quantile(margins, rate)) for rate in (0.5, 1e-2, 1e-3))
    low = normal - (high - normal)  # one in 10,000 cannot be counted here: the tail is continued as a straight line
    usual = max(middle, high + 0.1)
    anchors = [2 * low - high, low, normal, high, usual, 2 * usual - high]
    head = f"""# Written by train/liveness_eval.py --calibrate from {len(margins)} genuine LFW faces: the levels
# 0.05, 0.3 and 0.9 of the Baidu contract refuse 1 in 10,000 (continued tail), 1 in 1,000 and 1 in 100 of them.
[livemapscore]
"""
    return f"{head}margins = {[round(anchor, 3) for anchor in anchors]}\nscores = [0.0, 0.05, 0.3, 0.9, 0.97, 1.0]\n"


@dataclass(frozen=True)
class Test:
    """One kind of attack against the genuine faces of the same kind of picture."""

    name: str
    file: str
    genuine: Marks
    attacked: Marks
    networks: tuple[str, ...] = ("own", "teachers")


def _report(marker: Marker, faces: Path, score_map: ScoreMap, plots: Path | None) -> None:
    spoof, rng = faces / "spoof", np.random.default_rng(SEED)
    live, live_people = _nuaa(marker, spoof, "live")
    prints, print_people = _nuaa(marker, spoof, "print")
    sets = {
        "LFW, other half of the people": marker.marks(marker.scenes(_lfw(faces, 1))),
        "NUAA live": live,
        "UTKFace (tight crops)": marker.marks(marker.scenes(sorted((faces / "age_gender").glob("*.jpg"))[::2])),
    }
    made = {screen: marker.marks(_made(marker, faces, rng, screen=screen)) for screen in (False, True)}
    attacks = {"NUAA print": prints, "made print from LFW": made[False], "made screen from LFW": made[True]}
    _levels(sets, attacks, score_map)
    # Made attacks went through a made camera, so the faces they are held against must have, too: against untouched
    # photos a network would be praised for seeing the camera.
    retaken = marker.marks(capture(scene, rng) for scene in marker.scenes(_lfw(faces, 1)[:RETAKEN_FROM]))
    later = (live.where(live_people > 5), prints.where(print_people > 5))
    tests = [
        Test("NUAA print, 10 people", "nuaa", live, prints),
        Test("NUAA print against LFW", "nuaa-lfw", next(iter(sets.values())), prints),
        Test("NUAA print, people 6 to 10", "nuaa-6-10", *later, tuple(live.by)),
        Test("made print", "print", retaken, made[False]),
        Test("made screen", "screen", retaken, made[True]),
    ]
    _curves(tests)
    _where_it_fails(live, prints)
    _samples(marker, spoof / "samples", score_map)
    if plots:
        _draw(tests, plots)


def _nuaa(marker: Marker, spoof: Path, label: str) -> tuple[Marks, NDArray[np.intp]]:
    """Also whose faces they are, 1 to 10."""
    files = sorted((spoof / "nuaa" / label).glob("*/*.jpg"))
    found = [(int(file.parent.name), scene) for file in files for scene in marker.scenes([file])]
    return marker.marks(scene for _, scene in found), np.array([person for person, _ in found])


def _made(marker: Marker, faces: Path, rng: np.random.Generator, *, screen: bool) -> Iterator[Scene]:
    scenes = list(marker.scenes(_lfw(faces, 1)[:MADE_FROM]))
    for i, scene in enumerate(scenes):
        yield capture(attack(scene, scenes[i - 1], rng, screen=screen), rng)


def _levels(live: dict[str, Marks], attacks: dict[str, Marks], score_map: ScoreMap) -> None:
    print("\n| share | set | " + " | ".join(f"{name} {limit}" for name, limit in LEVELS.items()) + " |")
    print("|---|---|" + "---|" * len(LEVELS))
    for kind, sets in (("BPCER", live), ("APCER", attacks)):
        for name, marks in sets.items():
            scores = score_map(marks.by["own"])
            passed = [float((scores >= limit).mean()) for limit in LEVELS.values()]
            shares = [share if kind == "APCER" else 1 - share for share in passed]
            print(f"| {kind} | {name} ({len(scores)}) | " + " | ".join(f"{100 * s:.2f} %" for s in shares) + " |")


def _curves(tests: list[Test]) -> None:
    """APCER where the limit is set on the genuine faces of the row."""
    print("\n| attack | network | AUC | " + " | ".join(f"BPCER {100 * b:g} %" for b in BPCERS) + " |")
    print("|---|---|---|" + "---|" * len(BPCERS))
    for test in tests:
        for network in test.networks:
            good, bad = test.genuine.by[network], test.attacked.by[network]
            cells = " | ".join(f"{100 * apcer(good, bad, rate):.1f} %" for rate in BPCERS)
            print(f"| {test.name} | {network} | {auc(good, bad):.3f} | {cells} |")


def _where_it_fails(live: Marks, prints: Marks) -> None:
    """NUAA's prints by thirds: how many pass at BPCER 1 %."""
    limit = np.quantile(live.by["own"], 0.01)
    passed = prints.by["own"] >= limit
    print("\n| NUAA print, by | lower third | middle third | upper third |\n|---|---|---|---|")
    measures: dict[str, Callable[[Marks], Floats]] = {
        "sharpness": lambda marks: marks.sharpness,
        "face size": lambda marks: marks.size,
    }
    for name, measure in measures.items():
        values = measure(prints)
        thirds = np.searchsorted(np.quantile(values, (1 / 3, 2 / 3)), values)
        cells = [
            f"{100 * passed[thirds == third].mean():.1f} % (median {np.median(values[thirds == third]):.0f})"
            for third in range(3)
        ]
        print(f"| {name} (live: median {np.median(measure(live)):.0f}) | " + " | ".join(cells) + " |")


def _samples(marker: Marker, folder: Path, score_map: ScoreMap) -> None:
    print("\n| full frame | livemapscore | teachers |\n|---|---|---|")
    for file in sorted(folder.glob("*/*.jpg")):
        turns = 3 if file.name.startswith("minivision") else 0  # these lie on their side
        marks = marker.marks(marker.scenes([file], turns)).by
        (score,), (taught,) = score_map(marks["own"]), marks["teachers"]
        print(f"| {file.parent.name}/{file.stem} | {score:.2f} | {taught:.2f} |")


def _draw(tests: list[Test], folder: Path) -> None:
    for test in tests:
        good, bad = test.genuine.by, test.attacked.by
        curves = [trade_off(network, good[network], bad[network]) for network in test.networks]
        text = det(test.name, "BPCER", "APCER", curves, 1e-3)
        (folder / f"liveness-{test.file}.svg").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
