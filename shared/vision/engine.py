"""The whole way from a picture to faces with embeddings. Blocking: its caller gives it a thread of its own."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.aligner import SIDE, TEMPLATE, align
from shared.vision.detector import Detections, Detector, DetectorSettings
from shared.vision.embedder import Embedder
from shared.vision.mesh import Mesh, five
from shared.vision.quality import Quality, measure
from shared.vision.runtime import Pixels, Precision, RuntimeSettings
from shared.vision.weights import Weights

Watch = Callable[[str], AbstractContextManager[None]]


def unwatched(stage: str) -> AbstractContextManager[None]:
    """Nobody wants to know how long the stage takes."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How the engine runs; the defaults are measured, see bench/README.md."""

    threads: int = 1
    precision: Precision = "auto"
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    mesh: bool = True
    """align by the points of the face mesh instead of the detector's"""
    flip: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """A face's place in picture pixels; may reach beyond the picture."""

    left: float
    top: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.width * self.height


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face: `points` 5×2 f32 (eye, eye, nose, mouth corner, mouth corner, from the picture's left), `embedding`
    128 f32 of length 1 or None."""

    box: Box
    points: NDArray[np.float32]
    score: float
    quality: Quality
    embedding: NDArray[np.float32] | None = None


class FaceEngine:
    """Detector, mesh, aligner, quality, embedder. One thread at a time may use it."""

    def __init__(self, weights: Weights, settings: EngineSettings = EngineSettings()) -> None:
        """Loads and compiles the networks (about 1 s). Raises a WeightError."""
        cv2.setNumThreads(settings.threads)  # of the whole process; else every warp wakes all cores
        runtime = RuntimeSettings(settings.threads, settings.precision)
        self._detector = Detector(weights.find("yunet"), runtime, settings.detector)
        self._mesh = Mesh(weights.find("face_landmark"), runtime) if settings.mesh else None
        self._embedder = Embedder(weights.find("sface"), runtime, flip=settings.flip)

    @property
    def model_id(self) -> str:
        """Which numbers these are; stored with every embedding, and only equal ones are compared."""
        return self._embedder.model_id

    def analyze(
        self,
        picture: Pixels,
        *,
        max_faces: int,
        embed: bool | Callable[[Box], bool] = True,
        watch: Watch = unwatched,
    ) -> tuple[Face, ...]:
        """The largest faces of a BGR picture H×W×3, largest first; embedded are all, none, or those `embed` wants.

        `watch` is entered around each stage (detect, points, align, embed) with its name.
        """
        with watch("detect"):
            found = _largest(self._detector(picture), max_faces)
        with watch("points"):
            found = self._with_better_points(picture, found)
        with watch("align"):
            aligned = [align(picture, points) for points in found.points]
        with watch("quality"):
            faces = [_face(picture, found, i, crop) for i, crop in enumerate(aligned)]
        with watch("embed"):
            chosen = [i for i, face in enumerate(faces) if (embed(face.box) if callable(embed) else embed)]
            return tuple(self._embedded(faces, aligned, chosen) if chosen else faces)

    def _with_better_points(self, picture: Pixels, found: Detections) -> Detections:
        if self._mesh is None:
            return found
        points = found.points.copy()
        for i, box in enumerate(found.boxes):
            mesh = self._mesh(picture, box, points[i])
            if mesh is not None:
                points[i] = five(mesh)
        return replace(found, points=points)

    def _embedded(self, faces: list[Face], aligned: list[Pixels], chosen: list[int]) -> list[Face]:
        vectors = self._embedder(np.stack([aligned[i] for i in chosen]))
        vector_of = dict(zip(chosen, vectors, strict=True))
        return [replace(f, embedding=vector_of[i].copy()) if i in vector_of else f for i, f in enumerate(faces)]

    def warm_up(self) -> None:
        """One run of each network at camera size, so that the first visitor does not pay for memory and code."""
        frame = np.zeros((480, 640, 3), np.uint8)
        self._detector(frame)
        if self._mesh is not None:
            self._mesh(frame, np.array([200, 100, 150, 200], np.float32), TEMPLATE)
        self._embedder(np.zeros((1, SIDE, SIDE, 3), np.uint8))


def _largest(found: Detections, count: int) -> Detections:
    areas = found.boxes[:, 2] * found.boxes[:, 3]
    return found.take(np.argsort(-areas, kind="stable")[:count])


def _face(picture: Pixels, found: Detections, i: int, aligned: Pixels) -> Face:
    box = found.boxes[i]
    quality = measure(picture, box, found.points[i], aligned)
    return Face(Box(*(float(value) for value in box)), found.points[i], float(found.scores[i]), quality)
