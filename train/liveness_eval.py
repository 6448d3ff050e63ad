"""Calibrates and measures the passive liveness network; prints the tables of docs/models/liveness.md.

    python -m train.liveness_eval FACES_FOLDER [--weights FILE] [--calibrate]

`--calibrate` first writes shared/vision/weights_own/liveness.toml from genuine LFW faces of one half of the people (by
a hash of the name). Measured is on the other half, on NUAA, on the full frames in spoof/samples, on UTKFace, and on
attacks made from LFW faces; none of them is used in training (with --research: only people 0006 to 0010 of NUAA).
"""

import argparse
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.detector import Detector, DetectorSettings
from shared.vision.liveness import PassiveLiveness, ScoreMap
from shared.vision.runtime import RuntimeSettings
from shared.vision.weights import Weights
from train.attacks import Scene, attack, capture
from train.liveness_teachers import Teachers

Floats = NDArray[np.float32]

PRECISE = RuntimeSettings(precision="f32")
LEVELS = {"LOW": (0.05, 1e-4), "NORMAL": (0.3, 1e-3), "HIGH": (0.9, 1e-2)}
BPCERS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1)
RETAKEN = "LFW, other half, made camera"
MADE_FROM = 400  # faces of LFW, each printed once and shown once
SEED = 2


@dataclass(frozen=True)
class Marks:
    """What our network (margin) and the teachers' mean (probability) say of N faces."""

    own: Floats
    teachers: Floats

    def __getitem__(self, which: NDArray[np.bool_]) -> "Marks":
        return Marks(self.own[which], self.teachers[which])


class Marker:
    """Finds faces and asks all networks."""

    def __init__(self, faces: Path, weights: Path) -> None:
        self._detector = Detector(Weights.load().find("yunet"), PRECISE, DetectorSettings())
        self._own = PassiveLiveness(weights, PRECISE, ScoreMap((0.0,), (0.0,)))
        self._teachers = Teachers(faces / "models")

    def marks(self, scenes: Iterable[Scene]) -> Marks:
        """Of each scene's face."""
        rows = [(self._own.margins(s.picture, [s.box])[0], self._teachers(s.picture, s.box).mean()) for s in scenes]
        return Marks(np.array([row[0] for row in rows], np.float32), np.array([row[1] for row in rows], np.float32))

    def scenes(self, files: Iterable[Path], turns: int = 0) -> Iterator[Scene]:
        """The face nearest the middle of each picture, which may be turned by quarters first."""
        for file in files:
            picture = np.ascontiguousarray(np.rot90(cv2.imread(str(file)), turns))
            room = max(picture.shape[:2]) // 3
            wide = cv2.copyMakeBorder(picture, room, room, room, room, cv2.BORDER_REPLICATE)
            found = self._detector(np.asarray(wide, np.uint8))
            if len(found):
                off = np.abs(found.boxes[:, :2] + found.boxes[:, 2:] / 2 - np.array(wide.shape[1::-1]) / 2).sum(axis=1)
                yield Scene(picture, found.boxes[int(off.argmin())] - np.array([room, room, 0, 0], np.float32))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    own = Path(str(resources.files("shared.vision"))) / "weights_own"
    parser.add_argument("--weights", type=Path, default=own / "liveness.onnx")
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--research", action="store_true", help="weights that were trained on half of NUAA")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    marker = Marker(options.faces, options.weights)
    if options.calibrate:
        (own / "liveness.toml").write_text(_calibration(marker, options.faces), encoding="utf-8")
    _report(marker, options.faces, ScoreMap.load(), research=options.research)


def _lfw(faces: Path, half: int) -> list[Path]:
    """Every second photo of the people in this half."""
    people = sorted(folder for folder in (faces / "lfw").iterdir() if zlib.crc32(folder.name.encode()) % 2 == half)
    return [file for folder in people for file in sorted(folder.glob("*.jpg"))][::2]


def _calibration(marker: Marker, faces: Path) -> str:
    margins = marker.marks(marker.scenes(_lfw(faces, 0))).own
    middle, high, normal = (float(np.quantile(margins, rate)) for rate in (0.5, 1e-2, 1e-3))
    low = normal - (high - normal)  # one in 10,000 cannot be counted here: the tail is continued as a straight line
    usual = max(middle, high + 0.1)
    anchors = [2 * low - high, low, normal, high, usual, usual + 4.0]
    head = f"""# Written by train/liveness_eval.py --calibrate from {len(margins)} genuine LFW faces: the levels
# 0.05, 0.3 and 0.9 of the Baidu contract refuse 1 in 10,000 (continued tail), 1 in 1,000 and 1 in 100 of them.
[livemapscore]
"""
    return f"{head}margins = {[round(anchor, 3) for anchor in anchors]}\nscores = [0.0, 0.05, 0.3, 0.9, 0.97, 1.0]\n"


def _report(marker: Marker, faces: Path, score_map: ScoreMap, *, research: bool) -> None:
    people = range(6, 11) if research else range(1, 11)
    spoof = faces / "spoof"
    live = {
        "LFW, other half of the people": marker.marks(marker.scenes(_lfw(faces, 1))),
        "NUAA live": marker.marks(marker.scenes(_nuaa(spoof, "live", people))),
        "UTKFace (tight crops)": marker.marks(marker.scenes(sorted((faces / "age_gender").glob("*.jpg"))[::2])),
    }
    attacks = {"NUAA print": marker.marks(marker.scenes(_nuaa(spoof, "print", people)))}
    rng = np.random.default_rng(SEED)
    for screen, name in ((False, "made print from LFW"), (True, "made screen from LFW")):
        attacks[name] = marker.marks(_made(marker, faces, rng, screen=screen))
    _levels(live, attacks, score_map)
    # Made attacks went through a made camera, so the faces they are held against must have, too: against untouched
    # photos a network would be praised for seeing the camera.
    retaken = [capture(scene, rng) for scene in marker.scenes(_lfw(faces, 1))]
    _curves({**live, RETAKEN: marker.marks(retaken)}, attacks)
    _samples(marker, spoof / "samples", score_map)


def _nuaa(spoof: Path, label: str, people: Iterable[int]) -> list[Path]:
    return [file for who in people for file in sorted((spoof / "nuaa" / label / f"{who:04}").glob("*.jpg"))]


def _made(marker: Marker, faces: Path, rng: np.random.Generator, *, screen: bool) -> Iterator[Scene]:
    scenes = list(marker.scenes(_lfw(faces, 1)[:MADE_FROM]))
    for i, scene in enumerate(scenes):
        yield capture(attack(scene, scenes[i - 1], rng, screen=screen), rng)


def _levels(live: dict[str, Marks], attacks: dict[str, Marks], score_map: ScoreMap) -> None:
    print("\n| share | set | " + " | ".join(f"{name} ({limit})" for name, (limit, _) in LEVELS.items()) + " |")
    print("|---|---|" + "---|" * len(LEVELS))
    for kind, sets in (("BPCER", live), ("APCER", attacks)):
        for name, marks in sets.items():
            passed = [float((score_map(marks.own) >= limit).mean()) for limit, _ in LEVELS.values()]
            shares = [share if kind == "APCER" else 1 - share for share in passed]
            print(f"| {kind} | {name} ({len(marks.own)}) | " + " | ".join(f"{100 * s:.2f} %" for s in shares) + " |")


def _curves(live: dict[str, Marks], attacks: dict[str, Marks]) -> None:
    """APCER where the threshold is set on the genuine faces of the row."""
    print("\n| attack against genuine | network | AUC | " + " | ".join(f"BPCER {100 * b:g} %" for b in BPCERS) + " |")
    print("|---|---|---|" + "---|" * len(BPCERS))
    for attack_name, attacked in attacks.items():
        live_name = "NUAA live" if attack_name.startswith("NUAA") else RETAKEN
        for network in ("own", "teachers"):
            good, bad = getattr(live[live_name], network), getattr(attacked, network)
            cells = [f"{100 * float((bad >= np.quantile(good, rate)).mean()):.1f} %" for rate in BPCERS]
            print(f"| {attack_name} / {live_name} | {network} | {_auc(good, bad):.3f} | " + " | ".join(cells) + " |")


def _auc(good: Floats, bad: Floats) -> float:
    ranks = np.concatenate([good, bad]).argsort().argsort()[: len(good)]
    return float((ranks.mean() - (len(good) - 1) / 2) / len(bad))


def _samples(marker: Marker, folder: Path, score_map: ScoreMap) -> None:
    print("\n| full frame | livemapscore | teachers |\n|---|---|---|")
    for file in sorted(folder.glob("*/*.jpg")):
        turns = 3 if file.name.startswith("minivision") else 0  # these lie on their side
        marks = marker.marks(marker.scenes([file], turns))
        print(f"| {file.parent.name}/{file.name} | {score_map(marks.own).round(3)} | {marks.teachers.round(3)} |")


if __name__ == "__main__":
    main()
