"""How well open eyes are told from closed ones, on real photographs labelled by eye.

    python -m train.eyes_eval FACES

FACES holds `lfw`, `asian` and `spoof/nuaa`; train/eyes_labels.txt names the photos. Nothing was trained on them, but
the two ends of the scale (shared/vision/eyes.py) were set on them. Prints Markdown.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from shared.vision.engine import EngineSettings, Face, FaceEngine, Fields
from shared.vision.eyes import CLOSED, OPEN, gaps
from shared.vision.runtime import Pixels
from shared.vision.weights import Weights
from train.occluders import Floats
from train.ranking import auc

LABELS = Path(__file__).with_name("eyes_labels.txt")
SMALL = 250  # pixels; smaller photos are tight crops, and the detector wants some margin
MARGIN = 60


def labels() -> dict[str, list[str]]:
    """Photos by label: closed, open, narrow."""
    rows = [line.split() for line in LABELS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {label: [name for kind, name in rows if kind == label] for label in ("closed", "open", "narrow")}


def read(path: Path) -> Pixels:
    """BGR; tight crops with a black margin."""
    picture = cv2.imread(str(path))
    if max(picture.shape) < SMALL:
        picture = cv2.copyMakeBorder(picture, *[MARGIN] * 4, cv2.BORDER_CONSTANT)
    return np.asarray(picture, np.uint8)


def middle_face(engine: FaceEngine, picture: Pixels, fields: Fields) -> Face:
    """The face nearest the middle."""
    middle = np.array(picture.shape[1::-1]) / 2
    found = engine.analyze(picture, max_faces=9, fields=fields, embed=False)
    return min(found, key=lambda face: float(np.linalg.norm(face.points.mean(axis=0) - middle)))


def measured(engine: FaceEngine, folder: Path, names: list[str]) -> Floats:
    """N×2×2 gaps of the lids: by the mesh alone and with the second look, either eye."""
    rows = []
    for name in names:
        picture = read(folder / name)
        meshes = [middle_face(engine, picture, fields).mesh for fields in (Fields.NONE, Fields.EYES)]
        rows += [[gaps(mesh) for mesh in meshes if mesh is not None]]
    return np.array(rows, np.float32)


def line(name: str, figures: Floats, closed: Floats) -> str:
    """A row: AUC against the closed eyes, by face (mean of both eyes) and by eye; 5th, 50th and 95th percentile."""
    cells = []
    for look in (0, 1):
        faces, eyes = figures[:, look].mean(axis=1), figures[:, look].ravel()
        spread = " / ".join(f"{value:.2f}" for value in np.percentile(eyes, (5, 50, 95)))
        against = (auc(faces, closed[:, look].mean(axis=1)), auc(eyes, closed[:, look].ravel()))
        cells += [*(f"{chance:.3f}" if figures is not closed else "–" for chance in against), spread]
    half = (CLOSED + OPEN) / 2
    called = float((figures[:, 1].mean(axis=1) < half).mean())
    return f"| {name} | {len(figures)} | {' | '.join(cells)} | {called:.1%} |"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    engine = FaceEngine(Weights.load(), EngineSettings(precision="f32"))
    figures = {label: measured(engine, options.folder, names) for label, names in labels().items()}
    print("| eyes | faces | mesh: AUC face | eye | gap | lids: AUC face | eye | gap | mean below 0.5 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for label, rows in figures.items():
        print(line(label, rows, figures["closed"]))


if __name__ == "__main__":
    main()
