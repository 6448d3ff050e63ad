"""Pose, age and gender, and blur on photographs whose truth is known: the tables of docs/models/attributes.md.

    python -m train.attributes_eval FACES [--only pose|age|blur]

FACES holds `studio`, `studio_extra` and `age_gender`. Prints Markdown.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from shared.vision.aligner import align
from shared.vision.embedder import Embedder
from shared.vision.engine import Box, EngineSettings, Face, FaceEngine, Fields
from shared.vision.pose import Pose, pose
from shared.vision.quality import blur, compression
from shared.vision.runtime import Pixels, RuntimeSettings
from shared.vision.weights import Weights
from train.occluders import Floats

Kernel = Callable[[Pixels], Pixels]

TABLES = ("pose", "age", "blur")
TURNS = (-40, -20, 20, 40)
MARGIN = 60  # pixels of black around a tight crop, for the detector
AGES = ((0, 6), (6, 15), (15, 30), (30, 60), (60, 120))
PORTRAITS = 20
SIGMAS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
SHAKES = (3, 5, 9, 15)
SIDES = (64, 48, 32, 24)
QUALITIES = (90, 75, 50, 35, 25, 15, 10, 5)
FACE_SIZES = (64, 112, 180, 300)


def largest(engine: FaceEngine, picture: Pixels, fields: Fields = Fields.NONE) -> Face | None:
    """The largest face."""
    return next(iter(engine.analyze(picture, max_faces=1, fields=fields, embed=False)), None)


def angles(engine: FaceEngine, picture: Pixels) -> Pose | None:
    """Of the largest face."""
    face = largest(engine, picture)
    return pose(face.mesh) if face is not None and face.mesh is not None else None


def report_pose(engine: FaceEngine, folder: Path) -> None:
    """Portraits look ahead; a turned picture turns the roll alone."""
    files = [*sorted(folder.glob("studio/*/*.jpg")), *sorted(folder.glob("studio_extra/canada/*.jpg"))]
    found = [angle for path in files if (angle := angles(engine, _read(path))) is not None]
    values = np.array([(angle.yaw, angle.pitch, angle.roll) for angle in found])
    print("\n| portraits | mean | 90 % within |\n|---|---|---|")
    for name, column in zip(("yaw", "pitch", "roll"), values.T, strict=True):
        print(f"| {name} ({len(found)}) | {column.mean():.1f}° | {np.percentile(np.abs(column), 90):.1f}° |")
    print("\n| turned by | roll off by at most | yaw | pitch |\n|---|---|---|---|")
    free = [*sorted(folder.glob("studio_extra/lisa/*.jpg")), *sorted(folder.glob("studio_extra/zoom/*.jpg"))]
    for degrees in TURNS:
        worst = np.abs(list(_changes(engine, free, degrees))).max(axis=0)
        print(f"| {degrees}° | {' | '.join(f'{value:.1f}°' for value in worst)} |")


def _changes(engine: FaceEngine, files: list[Path], degrees: int) -> Iterator[tuple[float, float, float]]:
    for path in files:
        picture = _read(path)
        height, width = picture.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1)
        turned = cv2.warpAffine(picture, turn, (width, height), borderValue=(120, 120, 120))
        one, other = angles(engine, picture), angles(engine, np.asarray(turned, np.uint8))
        if one is not None and other is not None:
            yield other.roll - one.roll - degrees, other.yaw - one.yaw, other.pitch - one.pitch


def report_age(engine: FaceEngine, folder: Path) -> None:
    """Two of three UTKFace photos: the third chose the margins of attributes.py."""
    files = [path for i, path in enumerate(sorted(folder.glob("age_gender/*"))) if i % 3]
    rows = np.array(list(_ages(engine, files)))
    print("\n| age | photos | mean error, years | gender right |\n|---|---|---|---|")
    for low, high in (*AGES, (0, 120)):
        some = rows[(rows[:, 0] >= low) & (rows[:, 0] < high)]
        right = (some[:, 1] == some[:, 3]).mean()
        print(f"| {low}–{high - 1} | {len(some)} | {np.abs(some[:, 2] - some[:, 0]).mean():.1f} | {right:.1%} |")
    for name, some in (("all", rows), ("15+", rows[rows[:, 0] >= 15])):
        said = some[some[:, 4] >= 0]
        right = (said[:, 1] == said[:, 4]).mean()
        print(f"\nGender.code, {name}: {len(said) / len(some):.1%} answered, {right:.1%} of those right")


def _ages(engine: FaceEngine, files: list[Path]) -> Iterator[tuple[float, ...]]:
    """Age (the network knows none above 80), gender, both as estimated, and the code."""
    for path in files:
        picture = np.asarray(cv2.copyMakeBorder(_read(path), *[MARGIN] * 4, cv2.BORDER_CONSTANT), np.uint8)
        found = engine.analyze(picture, max_faces=9, fields=Fields.AGE | Fields.GENDER, embed=False)
        if not found:
            continue
        face = min(found, key=lambda face: _off_middle(face.box, picture))
        if face.age is not None and face.gender is not None:
            age, gender = (int(value) for value in path.name.split("_")[:2])
            yield min(age, 80), gender, face.age, face.gender.value, face.gender.code


def _off_middle(box: Box, picture: Pixels) -> float:
    middle = picture.shape[1] / 2, picture.shape[0] / 2
    return abs(box.left + box.width / 2 - middle[0]) + abs(box.top + box.height / 2 - middle[1])


def report_blur(engine: FaceEngine, embedder: Embedder, folder: Path) -> None:
    """What each kernel reads, and the cosine of the damaged face with itself."""
    files = sorted(folder.glob("studio/*/*_03.jpg"))[:PORTRAITS]
    faces = [(picture, face) for path in files if (face := largest(engine, picture := _read(path))) is not None]
    crops = [align(picture, face.points) for picture, face in faces]
    sharp = embedder(np.stack(crops))
    print("\n| kernel on 112×112 | blur | 5–95 % | cosine | grows in |\n|---|---|---|---|---|")
    for kernels in _kernels():
        before = np.zeros(len(crops))
        for name, kernel in kernels.items():
            damaged = [kernel(crop) for crop in crops]
            figures = np.array([blur(crop) for crop in damaged])
            print(f"| {name} | {_cells(figures, (embedder(np.stack(damaged)) * sharp).sum(axis=1), before)} |")
            before = figures
    print("\n| JPEG, face of | quality | blur | 5–95 % | cosine | grows in |\n|---|---|---|---|---|---|")
    for size in FACE_SIZES:
        before = np.zeros(len(faces))
        for quality in (0, *QUALITIES):
            rows = np.array([_compressed(embedder, *face, size, quality) for face in faces])
            print(f"| {size} px | {quality or 'none'} | {_cells(rows[:, 0], rows[:, 1], before)} |", flush=True)
            before = rows[:, 0]


def _cells(figures: Floats, cosines: Floats, before: Floats) -> str:
    low, high = np.percentile(figures, (5, 95))
    grows = int((figures >= before).sum())
    return f"{figures.mean():.2f} | {low:.2f}–{high:.2f} | {cosines.mean():.2f} | {grows} of {len(figures)}"


def _kernels() -> Iterator[dict[str, Kernel]]:
    """Families, each from weak to strong."""
    yield {"none": lambda crop: crop}
    yield {f"Gauss {sigma}": _gauss(sigma) for sigma in SIGMAS}
    for degrees in (0, 45, 90, 135):
        yield {f"motion {degrees}°, {length} px": _shaken(length, degrees) for length in SHAKES}
    yield {f"shrunk to {side} px": _shrunk(side) for side in SIDES}


def _gauss(sigma: float) -> Kernel:
    return lambda crop: np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma), np.uint8)


def _shaken(length: int, degrees: int) -> Kernel:
    kernel = np.zeros((length, length), np.float32)
    middle, reach = length // 2, length // 2 * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    ends = [tuple(np.rint(middle + sign * reach).astype(int).tolist()) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA)
    return lambda crop: np.asarray(cv2.filter2D(crop, -1, kernel / kernel.sum()), np.uint8)


def _shrunk(side: int) -> Kernel:
    def kernel(crop: Pixels) -> Pixels:
        small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, crop.shape[1::-1], interpolation=cv2.INTER_CUBIC), np.uint8)

    return kernel


def _compressed(embedder: Embedder, picture: Pixels, face: Face, size: int, quality: int) -> tuple[float, float]:
    """Blur and cosine of a face brought to this width in a picture that is then compressed; 0: it is not."""
    scale = size / face.box.width
    small = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    points, box = face.points * np.float32(scale), face.box
    place = np.array([box.left, box.top, box.width, box.height], np.float32) * np.float32(scale)
    taken = _jpeg(small, quality) if quality else small
    crop = align(taken, points)
    both = embedder(np.stack([align(small, points), crop]))
    return max(blur(crop), compression(taken, place)), float(both[0] @ both[1])


def _jpeg(picture: Pixels, quality: int) -> Pixels:
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def _read(path: Path) -> Pixels:
    return np.asarray(cv2.imread(str(path)), np.uint8)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=TABLES)
    options = parser.parse_args()
    wanted = (options.only,) if options.only else TABLES
    weights = Weights.load()
    engine = FaceEngine(weights, EngineSettings(precision="f32"))
    if "pose" in wanted:
        report_pose(engine, options.folder)
    if "age" in wanted:
        report_age(engine, options.folder)
    if "blur" in wanted:
        embedder = Embedder(weights.find("sface"), RuntimeSettings(precision="f32"), flip=False)
        report_blur(engine, embedder, options.folder)


if __name__ == "__main__":
    main()
