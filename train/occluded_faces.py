"""Training pictures for the occlusion head: open portraits, covered, turned, lit and spoilt in many ways.

A sample is what the recogniser sees (112×112×3 BGR) and which of its pixels belong to something in front of the face.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.aligner import SIDE, TEMPLATE, similarity
from shared.vision.detector import Detector, DetectorSettings
from shared.vision.mesh import Mesh, five
from shared.vision.occlusion import part_masks
from shared.vision.pose import mirror
from shared.vision.runtime import Pixels, RuntimeSettings
from shared.vision.weights import Weights
from train.occluders import Floats, Painter

CANVAS = 256
# The face on the canvas: the recogniser's template, enlarged, in the middle.
ENLARGED = 1.6
ORIGIN = (CANVAS - SIDE * ENLARGED) / 2
PLACE = TEMPLATE * ENLARGED + ORIGIN

# Held before the face: drawn after the head has turned.
HELD = ("hand", "paper", "patch")
# Worn without hiding anything.
NEUTRAL = ("glasses", "beard", "shadow")


@dataclass(frozen=True, slots=True)
class Portrait:
    """One open face on its canvas S×S×3 with its mesh 468×2, and whose it is."""

    person: str
    canvas: Pixels
    mesh: Floats


@dataclass(frozen=True, slots=True)
class Sample:
    """`aligned` 112×112×3; `cover` 112×112 (0–1); `parts` 7: share of each part that is covered."""

    aligned: Pixels
    cover: Floats
    parts: Floats
    kind: str


def portraits(files: list[tuple[str, Path]], weights: Weights) -> list[Portrait]:
    """The largest face of each (person, file)."""
    runtime = RuntimeSettings(precision="f32")
    detector = Detector(weights.find("yunet"), runtime, DetectorSettings())
    mesh = Mesh(weights.find("face_landmark"), runtime)
    found = (_portrait(person, path, detector, mesh) for person, path in files)
    return [portrait for portrait in found if portrait is not None]


def _portrait(person: str, path: Path, detector: Detector, mesh: Mesh) -> Portrait | None:
    picture = cv2.imread(str(path))
    faces = detector(picture)
    points = mesh(picture, faces.boxes[0], faces.points[0]) if len(faces) else None
    if points is None:
        return None
    matrix = similarity(five(points), PLACE)
    canvas = cv2.warpAffine(picture, matrix, (CANVAS, CANVAS), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    return Portrait(person, canvas, _moved(points[:, :2], matrix))


def sample(face: Portrait, painter: Painter, kinds: list[str], rng: np.random.Generator) -> Sample:
    """One face, spoilt: what sits on the head turns with it, what is held before it is drawn after the turn."""
    canvas, mesh = face.canvas.astype(np.float32), face.mesh
    if rng.random() < 0.5:
        canvas, mesh = _mirrored(canvas, mesh)
    chosen = _chosen(kinds, rng)
    worn, held = [k for k in chosen if k not in HELD], [k for k in chosen if k in HELD]
    cover = np.zeros((CANVAS, CANVAS), np.float32)
    canvas, cover = _painted(canvas, cover, mesh, worn, painter)
    canvas, cover, mesh = _turned(canvas, cover, mesh, np.radians(rng.normal(0, 14)))
    canvas, cover = _painted(canvas, cover, mesh, held, painter)
    return _finished(canvas, cover, mesh, "+".join(chosen) or "open", rng)


def _chosen(kinds: list[str], rng: np.random.Generator) -> list[str]:
    chosen = [kind for kind in NEUTRAL if kind in kinds and rng.random() < 0.22]
    hiding = [kind for kind in kinds if kind not in NEUTRAL]
    if rng.random() < 0.62:
        chosen += list(rng.choice(hiding, size=1 if rng.random() < 0.8 else 2, replace=False))
    return chosen


def _painted(canvas: Floats, cover: Floats, mesh: Floats, kinds: list[str], painter: Painter) -> tuple[Floats, Floats]:
    draw = painter.kinds()
    for kind in kinds:
        canvas, more = draw[kind](canvas, mesh)
        cover = np.maximum(cover, more)
    return canvas, cover


def _finished(canvas: Floats, cover: Floats, mesh: Floats, kind: str, rng: np.random.Generator) -> Sample:
    width = np.linalg.norm(mesh[263] - mesh[33])
    points = five(mesh) + rng.normal(0, 0.025, (5, 2)) * width
    loose = TEMPLATE @ _similar(rng) + rng.normal(0, 1.0, 2)
    matrix = similarity(points.astype(np.float32), loose.astype(np.float32))
    aligned = cv2.warpAffine(canvas, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    covered = cv2.warpAffine(cover, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    masks = part_masks(_moved(mesh, matrix))
    parts = (masks * covered).sum(axis=(1, 2)) / np.maximum(masks.sum(axis=(1, 2)), 1)
    return Sample(spoilt(aligned, rng), covered, parts.astype(np.float32), kind)


def _similar(rng: np.random.Generator) -> Floats:
    """A small turn and scale about the middle of the crop, as 2×2."""
    angle, scale = rng.normal(0, 0.05), rng.normal(1, 0.03)
    matrix: Floats = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return matrix


def spoilt(picture: Floats, rng: np.random.Generator) -> Pixels:
    """Light, colour, blur, noise and compression of a bad camera."""
    grey = picture.mean(axis=2, keepdims=True)
    if rng.random() < 0.15:
        picture = np.repeat(grey, 3, axis=2)
    else:
        picture = grey + (picture - grey) * rng.uniform(0.4, 1.5)
        picture = picture * rng.normal(1, 0.1, 3)
    picture = 255 * np.clip(picture / 255, 0, 1) ** np.exp(rng.normal(0, 0.45))
    picture = (picture - 128) * rng.uniform(0.55, 1.35) + 128 + rng.normal(0, 22)
    picture = _blurred(picture.astype(np.float32), rng) + rng.normal(0, rng.uniform(0, 9), picture.shape)
    pixels = np.clip(picture, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))])
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return pixels


def _blurred(picture: Floats, rng: np.random.Generator) -> Floats:
    if rng.random() < 0.3:
        small = int(SIDE * rng.uniform(0.3, 0.8))
        picture = cv2.resize(cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA), (SIDE, SIDE))
    if rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 2.0))
    return picture


def _mirrored(canvas: Floats, mesh: Floats) -> tuple[Floats, Floats]:
    """The left of the face becomes its right, so the points change places too."""
    flipped = mesh[mirror()].copy()
    flipped[:, 0] = CANVAS - 1 - flipped[:, 0]
    return canvas[:, ::-1].copy(), flipped


def _turned(canvas: Floats, cover: Floats, mesh: Floats, angle: float) -> tuple[Floats, Floats, Floats]:
    """The head as an upright cylinder, turned by `angle` (radians, positive to the picture's right)."""
    radius = np.linalg.norm(mesh[454] - mesh[234]) * 0.58
    axis = float(mesh[[234, 454], 0].mean())
    columns = np.arange(CANVAS, dtype=np.float32)
    source = axis + radius * np.sin(np.clip(np.arcsin(np.clip((columns - axis) / radius, -1, 1)) - angle, -1.57, 1.57))
    outside = np.abs(columns - axis) >= radius
    source[outside] = columns[outside]
    map_x = np.tile(source.astype(np.float32), (CANVAS, 1))
    map_y = np.repeat(columns[:, None], CANVAS, axis=1)
    moved = mesh.copy()
    moved[:, 0] = axis + radius * np.sin(
        np.clip(np.arcsin(np.clip((mesh[:, 0] - axis) / radius, -1, 1)) + angle, -1.57, 1.57)
    )
    return cv2.remap(canvas, map_x, map_y, cv2.INTER_LINEAR), cv2.remap(cover, map_x, map_y, cv2.INTER_LINEAR), moved


def _moved(points: Floats, matrix: NDArray[np.float64]) -> Floats:
    moved: Floats = (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    return moved
