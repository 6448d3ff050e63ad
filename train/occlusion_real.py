"""The occlusion head on real photographs that it never saw: masks, glasses, and open faces.

    python -m train.occlusion_real FACES [--faces 1500] [--sheet FILE.png]

Prints a Markdown table. Masks (RMFD, web) count as covering nose, mouth, cheeks and chin, sunglasses the eyes; open
parts are those of near-frontal LFW faces (yaw and roll within 20°). A few of those really are covered:
train/occlusion_labels.txt names the ones that were looked at, and --sheet draws those that are called covered and are
not named, to be looked at.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from shared.vision.aligner import SIDE, align
from shared.vision.engine import EngineSettings, Face, FaceEngine, Fields
from shared.vision.occlusion import PARTS
from shared.vision.quality import LEVELS, Limits, check
from shared.vision.runtime import Pixels
from shared.vision.weights import Weights
from train.occluders import Floats
from train.ranking import auc

SMALLEST = 40  # pixels; smaller faces say more about the detector
LABELS = Path(__file__).with_name("occlusion_labels.txt")
MASKED, SHADED = ("nose", "mouth", "left_cheek", "right_cheek", "chin_contour"), ("left_eye", "right_eye")


def labelled(folder: Path, label: str) -> list[Path]:
    """The photos of one label."""
    rows = [line.split() for line in LABELS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [folder / name for kind, name in rows if kind == label]


def faces_of(engine: FaceEngine, files: list[Path], *, largest: bool) -> Iterator[tuple[Face, Pixels]]:
    """The largest face of each photo, or the one nearest its middle; with its aligned picture."""
    for path in files:
        picture = cv2.imread(str(path))
        found = engine.analyze(picture, max_faces=1 if largest else 9, fields=Fields.OCCLUSION, embed=False)
        middle = np.array(picture.shape[1::-1]) / 2
        ordered = sorted(found, key=lambda face: float(np.linalg.norm(face.points.mean(axis=0) - middle)))
        if ordered and ordered[0].quality.size >= SMALLEST:
            yield ordered[0], align(picture, ordered[0].points)


def figures(faces: list[tuple[Face, Pixels]]) -> Floats:
    """N×7."""
    return np.array([[getattr(face.quality.occlusion, name) for name in PARTS] for face, _ in faces], np.float32)


def refused(faces: list[tuple[Face, Pixels]], limits: Limits) -> list[tuple[Face, Pixels]]:
    """Those that are covered by these limits."""
    return [(face, crop) for face, crop in faces if any(f.check in PARTS for f in check(face.quality, limits))]


def frontal(face: Face) -> bool:
    """Within 20° sideways and in the plane."""
    return abs(face.quality.yaw) <= 20 and abs(face.quality.roll) <= 20


def line(name: str, faces: list[tuple[Face, Pixels]], free: Floats, covered: tuple[str, ...] = ()) -> str:
    """A row of the table; with the AUC of each part that is covered, against the free ones N×7."""
    limits = (*LEVELS.values(), Limits())
    shares = [f"{len(refused(faces, limit)) / max(len(faces), 1):.1%}" for limit in limits]
    columns = enumerate(PARTS)
    scores = [f"{auc(figures(faces)[:, i], free[:, i]):.4f}" if part in covered else "–" for i, part in columns]
    return f"| {name} | {len(faces)} | {' | '.join(shares)} | {' | '.join(scores)} |"


def draw(crops: list[Pixels], path: Path) -> None:
    """Twelve in a row; an empty picture if there are none."""
    blank = np.zeros((SIDE, SIDE, 3), np.uint8)
    missing = -len(crops) % 12 if crops else 12
    padded = [*crops, *[blank] * missing]
    cv2.imwrite(str(path), np.vstack([np.hstack(padded[i : i + 12]) for i in range(0, len(padded), 12)]))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--faces", type=int, default=1500)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    engine = FaceEngine(Weights.load(options.models), EngineSettings(precision="f32"))
    lfw = sorted(options.folder.glob("lfw/*/*.jpg"))
    some = [lfw[i] for i in np.random.default_rng(11).permutation(len(lfw))[: options.faces]]
    named = set(labelled(options.folder, "covered"))
    some, rest = [path for path in some if path not in named], [path for path in some if path in named]
    open_faces, others = (
        [seen for seen in faces_of(engine, files, largest=False) if frontal(seen[0])] for files in (some, rest)
    )
    free = figures([*open_faces, *others])
    print(f"| set | faces | LOW | NORMAL | HIGH | enrolment | AUC {' | '.join(PARTS)} |")
    print("|---" * (6 + len(PARTS)) + "|")
    print(line("LFW, frontal", [*open_faces, *others], free))
    print(line("less those covered", open_faces, free), flush=True)
    for label in ("sunglasses", "tinted"):
        found = list(faces_of(engine, labelled(options.folder, label), largest=False))
        print(line(f"LFW, {label}", found, free, SHADED), flush=True)
    for name, covered in (("mask_rmfd", MASKED), ("mask_web", MASKED), ("glasses", ())):
        photos = sorted((options.folder / "occluded" / name).glob("*.jpg"))
        print(line(name, list(faces_of(engine, photos, largest=True)), free, covered), flush=True)
    if options.sheet:
        draw([crop for _, crop in refused(open_faces, LEVELS["NORMAL"])], options.sheet)


if __name__ == "__main__":
    main()
