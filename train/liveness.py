"""Fits the heads of the passive liveness network and writes WORK_FOLDER/liveness.onnx.

    python -m train.liveness FACES_FOLDER WORK_FOLDER [--research]

The bodies are MiniFASNet V2 and V1SE (Apache-2.0, FACES_FOLDER/models), left as they are: a body that was tuned as well
forgot what it knew of real attacks (docs/models/liveness.md). On each of its two close views of a face, each body has
two heads, logistic regressions that tell genuine faces from made attacks (train/attacks.py); on its wide view it keeps
its own last layer. The answer is the sum of all ten, each in its own standard deviations. Faces: openly licensed ones
only (SOURCES). `--research` adds the first five people of NUAA. Seeded; needs $ROLLCALL_MODELS and 2 GB.
"""

import argparse
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.detector import Detector, DetectorSettings
from shared.vision.liveness import CLOSE, SIDE, VIEWS, views
from shared.vision.runtime import Network, RuntimeSettings
from shared.vision.weights import Weights
from train.attacks import Scene, attack, capture, genuine, untouched
from train.liveness_graph import COUNT, EMBEDDED, FEATURES, SEEN, WIDTH, last_layer, save
from train.liveness_teachers import FILES, LIVE

# Folder pattern → how often each face of it is drawn, and the licence.
SOURCES = {
    "studio/*/*.jpg": 3,  # CC BY 4.0
    "studio_extra/*/*.jpg": 3,  # CC BY 4.0, CC0
    "asian/*/*": 1,  # MIT
    "groups/*/*": 4,  # BSL, MIT, Apache-2.0
    "occluded/glasses/*": 2,  # MIT
    "occluded/mask_web/*": 1,  # MIT
}
SMALLEST = 50  # pixels of the shorter side of a box
EXAMPLES = 4800
PENALTY = 0.01  # of squared weights, against the mean loss, features being in standard deviations
STEPS = 12  # of Newton's method; it stands still after about 8
SEED = 1
NUAA_TRAINED = ("0001", "0002", "0003", "0004", "0005")

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Examples:
    """Features N×3840, live 1 or fake 0, and whether each is for training."""

    features: Floats
    live: Floats
    kept: NDArray[np.bool_]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--research", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    bodies = Bodies(options.faces / "models", options.work)
    file = options.work / f"examples{SEED}.npz"
    if not file.exists():
        np.savez(file, **vars(made(options.faces, bodies)))
    with np.load(file) as arrays:
        examples = Examples(**arrays)
    if options.research:
        examples = _joined(examples, nuaa(options.faces, bodies))
    weights = fitted(examples, options.faces / "models")
    print(f"AUC on made attacks of other people {_held_out(examples, weights):.3f}")
    save(options.faces / "models", weights, options.work / f"liveness{'-research' * options.research}.onnx")


class Bodies:
    """What both networks see in a face: 3840 numbers."""

    def __init__(self, networks: Path, work: Path) -> None:
        save(networks, np.zeros(COUNT * WIDTH, np.float32), work / "bodies.onnx")
        shape, precise = [-1, 3, SIDE, VIEWS * SIDE], RuntimeSettings(precision="f32")
        self._network = Network(work / "bodies.onnx", shape, precise, rgb=False, taps=(FEATURES,))

    def __call__(self, scene: Scene) -> Floats:
        """Of the scene's face."""
        return np.array(self._network(views(scene.picture, scene.box)[None])[FEATURES][0])


def made(faces: Path, bodies: Bodies) -> Examples:
    """EXAMPLES pictures, half genuine (a quarter of these untouched), a quarter printed, a quarter on a screen."""
    rng, sources = np.random.default_rng(SEED), _sources(faces)
    every = [source for name, source in sources]
    rows = []
    for i in range(EXAMPLES):
        chosen, other = rng.integers(len(sources), size=2)
        name, source = sources[chosen]
        rows.append((bodies(_scene(source, every[other], i % 8, rng)), float(i % 4 < 2), _trains(name)))
        if i % 500 == 0:
            print(f"made {i} of {EXAMPLES}", flush=True)
    return _stacked(rows)


def _scene(source: Scene, other: Scene, kind: int, rng: np.random.Generator) -> Scene:
    if kind == 0:
        return untouched(source, rng)
    drawn = genuine(source, other, rng) if kind % 4 < 2 else attack(source, other, rng, screen=kind % 4 == 3)
    return capture(drawn, rng)


def _sources(faces: Path) -> list[tuple[str, Scene]]:
    """(person, face) as often as each is to be drawn."""
    detector = Detector(Weights.load().find("yunet"), RuntimeSettings(precision="f32"), DetectorSettings())
    found: list[tuple[str, Scene]] = []
    for pattern, times in SOURCES.items():
        for file in sorted(faces.glob(pattern)):
            for scene in _faces(detector, file):
                found += [(_person(file), scene)] * times
    return found


def _person(file: Path) -> str:
    """Folder of the person; where all people share one folder, the picture."""
    alone = file.parent.name in ("canada", "lisa", "zoom", "dlib", "crowds", "counted", "glasses", "mask_web")
    return file.stem if alone else file.parent.name


def _faces(detector: Detector, file: Path) -> Iterator[Scene]:
    """Every face large enough. Tight crops get room, in which the detector works as it should."""
    picture = cv2.imread(str(file))
    if picture is None:  # the folder has XML beside its pictures
        return
    room = max(picture.shape[:2]) // 3
    found = detector(np.asarray(cv2.copyMakeBorder(picture, room, room, room, room, cv2.BORDER_REPLICATE), np.uint8))
    for box in found.boxes:
        if min(box[2:]) >= SMALLEST:
            yield Scene(np.asarray(picture, np.uint8), box - np.array([room, room, 0, 0], np.float32))


def _trains(person: str) -> bool:
    """Nine people of ten; the tenth is looked at while training goes on."""
    return zlib.crc32(person.encode()) % 10 != 0


def nuaa(faces: Path, bodies: Bodies) -> Examples:
    """Research only: real prints and faces of five people, each also with other light and size."""
    rng = np.random.default_rng(SEED)
    detector = Detector(Weights.load().find("yunet"), RuntimeSettings(precision="f32"), DetectorSettings())
    rows = []
    for label in ("live", "print"):
        for file in sorted(f for who in NUAA_TRAINED for f in faces.glob(f"spoof/nuaa/{label}/{who}/*.jpg")):
            for scene in list(_faces(detector, file))[:1]:
                rows += [(bodies(drawn), float(label == "live"), True) for drawn in (scene, capture(scene, rng))]
    return _stacked(rows)


def _stacked(rows: list[tuple[Floats, float, bool]]) -> Examples:
    features, live, kept = zip(*rows, strict=True)
    return Examples(np.stack(features), np.array(live, np.float32), np.array(kept))


def _joined(one: Examples, other: Examples) -> Examples:
    return Examples(*(np.concatenate([a, b]) for a, b in zip(vars(one).values(), vars(other).values(), strict=True)))


def fitted(examples: Examples, networks: Path) -> Floats:
    """Weights of the 3840 features; no bias, which the calibration would only take away again."""
    kept = examples.kept
    live = examples.live[kept].astype(np.float64)
    table = examples.features[kept].astype(np.float64)
    own = [_kept_layer(networks / name) for name in FILES]
    heads = np.zeros(table.shape[1])
    for number, seen in enumerate(SEEN):
        for place, view in enumerate(seen):
            start = (number * len(seen) + place) * WIDTH
            middle, end = start + EMBEDDED, start + WIDTH
            if view >= len(CLOSE):
                heads[start:middle] = _even(table[:, start:middle], live, own[number])
                continue
            for part in (slice(start, middle), slice(middle, end)):
                heads[part] = _even(table[:, part], live, _logistic(table[:, part], live))
    return heads.astype(np.float32)


def _kept_layer(file: Path) -> Doubles:
    """Live against the mean of the two kinds of attack."""
    layer = last_layer(file).astype(np.float64)
    return np.asarray(layer[:, LIVE] - np.delete(layer, LIVE, axis=1).mean(axis=1), np.float64)


def _even(features: Doubles, live: Doubles, weights: Doubles) -> Doubles:
    """Scaled so that genuine faces vary by 1."""
    return np.asarray(weights / (features[live == 1] @ weights).std(), np.float64)


def _logistic(features: Doubles, live: Doubles) -> Doubles:
    """Ridge logistic regression by Newton's method; the weights without the bias."""
    spread = features.std(axis=0) + 1e-6
    table = np.column_stack([(features - features.mean(axis=0)) / spread, np.ones(len(features))])
    ridge = np.full(table.shape[1], 2 * PENALTY * len(table))
    ridge[-1] = 0
    answer = np.zeros(table.shape[1])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-table @ answer))
        slope = table.T @ (chance - live) + ridge * answer
        curvature = (table * (chance * (1 - chance))[:, None]).T @ table + np.diag(ridge)
        answer -= np.linalg.solve(curvature, slope)
    return np.asarray(answer[:-1] / spread, np.float64)


def _held_out(examples: Examples, weights: Floats) -> float:
    marks, live = examples.features[~examples.kept] @ weights, examples.live[~examples.kept] == 1
    return float((marks[live][:, None] > marks[~live]).mean())


if __name__ == "__main__":
    main()
