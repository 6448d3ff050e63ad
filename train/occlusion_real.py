"""The occlusion head on real photographs that it never saw: masks, glasses, and open faces.

    python -m train.occlusion_real FACES [--faces 1500] [--sheet FILE.png]

Prints a Markdown table. Masks (RMFD, web) count as covering nose, mouth, cheeks and chin; open parts are those of
near-frontal LFW faces (yaw and roll within 20°), of which a few really are covered: --sheet draws every one that is
called covered, to be looked at.
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


def line(name: str, faces: list[tuple[Face, Pixels]], free: Floats) -> str:
    """A row of the table."""
    limits = (*LEVELS.values(), Limits())
    shares = [f"{len(refused(faces, limit)) / max(len(faces), 1):.1%}" for limit in limits]
    scores = [f"{auc(figures(faces)[:, i], free[:, i]):.4f}" for i in range(2, 7)] if len(free) else ["–"] * 5
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
    files = sorted(options.folder.glob("lfw/*/*.jpg"))
    some = [files[i] for i in np.random.default_rng(11).permutation(len(files))[: options.faces]]
    free = [(face, crop) for face, crop in faces_of(engine, some, largest=False) if frontal(face)]
    print("| set | faces | LOW | NORMAL | HIGH | enrolment | AUC nose | mouth | left cheek | right cheek | chin |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    print(line("LFW, frontal", free, np.empty((0, 7))), flush=True)
    for name in ("mask_rmfd", "mask_web", "glasses"):
        photos = sorted((options.folder / "occluded" / name).glob("*.jpg"))
        print(line(name, list(faces_of(engine, photos, largest=True)), figures(free)), flush=True)
    if options.sheet:
        draw([crop for _, crop in refused(free, LEVELS["NORMAL"])], options.sheet)


if __name__ == "__main__":
    main()
