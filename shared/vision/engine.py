"""The whole way from a picture to faces with embeddings. Blocking: its caller gives it a thread of its own."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from enum import Flag, auto
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.aligner import SIDE, TEMPLATE, align
from shared.vision.attributes import AgeEstimator, Gender, GenderEstimator, age_chip, gender_chip
from shared.vision.detector import Detections, Detector, DetectorSettings
from shared.vision.eyes import Lids, openness
from shared.vision.liveness import MIN_FACE, PassiveLiveness
from shared.vision.mesh import Mesh, five
from shared.vision.quality import Quality, measure
from shared.vision.runtime import Device, Pixels, Precision, RuntimeSettings
from shared.vision.seeing import SeeingEmbedder
from shared.vision.turning import find_turned
from shared.vision.weights import Weights

Floats = NDArray[np.float32]

Watch = Callable[[str], AbstractContextManager[None]]


def unwatched(stage: str) -> AbstractContextManager[None]:
    """Nobody wants to know how long the stage takes."""
    return nullcontext()


class Fields(Flag):
    """What to find out about each face, besides its box, points, mesh and the quality that costs next to nothing."""

    NONE = 0
    OCCLUSION = auto()
    """what covers each part; comes with the embedding, and costs as much as one where none is wanted"""
    AGE = auto()
    GENDER = auto()
    LIVENESS = auto()
    """whether a photo or a screen shows the face, of the faces that are embedded"""
    EYES = auto()
    """how far each eye is open; the mesh's lids then lie where the picture shows them, as blinks need it"""
    TURNED = auto()
    """if no face surely stands upright, look for one on its side or on its head; up to four detections"""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How the engine runs; the defaults are measured, see bench/README.md."""

    threads: int = 1
    precision: Precision = "auto"
    device: Device = "cpu"
    """where the detector and the embedder run"""
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
    """One face: `points` 5×2 f32 (eye, eye, nose, mouth corner, mouth corner, from the face's right), `embedding`
    128 f32 of length 1 or None; `mesh` 468×3 f32 or None where the mesh sees no face. Landmarks are read off the mesh
    (shared/vision/landmarks.py) by who wants them. `age` in years."""

    box: Box
    points: Floats
    score: float
    quality: Quality
    embedding: Floats | None = None
    mesh: Floats | None = None
    age: float | None = None
    gender: Gender | None = None
    liveness: float | None = None
    """livemapscore, 0 fake to 1 live; None: not looked at, or the face is too small to tell"""
    eyes: tuple[float, float] | None = None
    """0 closed to 1 open, the eye on the picture's left first; None: not looked at"""


class FaceEngine:
    """Detector, mesh, aligner, quality, embedder, and the attributes that are asked for. For one thread at a time."""

    def __init__(self, weights: Weights, settings: EngineSettings = EngineSettings()) -> None:
        """Loads and compiles the networks (about 1 s; age and gender when first asked for). Raises a WeightError."""
        cv2.setNumThreads(settings.threads)  # of the whole process; else every warp wakes all cores
        self._weights, self._runtime = weights, RuntimeSettings(settings.threads, settings.precision, settings.device)
        self._detector = Detector(weights.find("yunet"), self._runtime, settings.detector)
        self._mesh = Mesh(weights.find("face_landmark"), self._runtime) if settings.mesh else None
        self._embedder = SeeingEmbedder(weights.find("sface"), self._runtime, flip=settings.flip)

    @property
    def model_id(self) -> str:
        """Which numbers these are; stored with every embedding, and only equal ones are compared."""
        return self._embedder.model_id

    @cached_property
    def _age(self) -> AgeEstimator:
        return AgeEstimator(self._weights.find("age"), self._runtime)

    @cached_property
    def _gender(self) -> GenderEstimator:
        return GenderEstimator(self._weights.find("gender"), self._runtime)

    @cached_property
    def _lids(self) -> Lids:
        return Lids(self._weights.find("iris_landmark"), self._runtime)

    @cached_property
    def _passive(self) -> PassiveLiveness:
        return PassiveLiveness.own(self._runtime)

    def analyze(
        self,
        picture: Pixels,
        *,
        max_faces: int,
        fields: Fields = Fields.OCCLUSION,
        embed: bool | Callable[[Box], bool] = True,
        watch: Watch = unwatched,
    ) -> tuple[Face, ...]:
        """The largest faces of a BGR picture H×W×3, largest first; embedded are all, none, or those `embed` wants.

        Occlusion is measured of the faces that are embedded; with `embed=False`, of all. `watch` is entered around
        each stage (detect, points, align, quality, embed, liveness, attributes, eyes) with its name.
        """
        with watch("detect"):
            found = self.find(picture, max_faces=max_faces, fields=fields)
        return self.look(picture, found, fields=fields, embed=embed, watch=watch)

    def find(
        self,
        picture: Pixels,
        *,
        max_faces: int,
        fields: Fields = Fields.NONE,
        rank: Callable[[Box], tuple[float, ...]] | None = None,
    ) -> Detections:
        """The first half of `analyze`: the faces that rank lowest, in that order; without `rank` the largest."""
        found = find_turned(self._detector, picture) if Fields.TURNED in fields else self._detector(picture)
        boxes = [_box(box) for box in found.boxes]
        order = sorted(range(len(found)), key=lambda i: rank(boxes[i]) if rank else (-boxes[i].area,))
        return found.take(np.array(order[:max_faces], np.intp))

    def look(
        self,
        picture: Pixels,
        found: Detections,
        *,
        fields: Fields = Fields.OCCLUSION,
        embed: bool | Callable[[Box], bool] = True,
        watch: Watch = unwatched,
    ) -> tuple[Face, ...]:
        """The second half of `analyze`: these faces, looked at closely."""
        with watch("points"):
            found, meshes = self._with_mesh(picture, found)
        with watch("align"):
            aligned = [align(picture, points) for points in found.points]
        with watch("quality"):
            faces = [_face(picture, found, i, crop, meshes[i]) for i, crop in enumerate(aligned)]
        with watch("embed"):
            faces = self._looked_at(faces, aligned, embed, fields)
        with watch("liveness"):
            faces = self._judged(picture, faces, fields)
        with watch("attributes"):
            faces = self._with_attributes(picture, faces, fields)
        with watch("eyes"):
            return tuple(self._with_lids(picture, faces, fields))

    def _with_mesh(self, picture: Pixels, found: Detections) -> tuple[Detections, list[Floats | None]]:
        """The mesh of each face, and its five points in place of the detector's."""
        if self._mesh is None:
            return found, [None] * len(found)
        meshes = [self._mesh(picture, box, points) for box, points in zip(found.boxes, found.points, strict=True)]
        points = [five(mesh) if mesh is not None else found.points[i] for i, mesh in enumerate(meshes)]
        return replace(found, points=np.stack(points) if points else found.points), meshes

    def _looked_at(
        self, faces: list[Face], aligned: list[Pixels], embed: bool | Callable[[Box], bool], fields: Fields
    ) -> list[Face]:
        chosen = [i for i, face in enumerate(faces) if (embed(face.box) if callable(embed) else embed)]
        if embed is False and Fields.OCCLUSION in fields:
            chosen = list(range(len(faces)))
        if chosen:
            self._embed(faces, chosen, np.stack([aligned[i] for i in chosen]), fields, keep=embed is not False)
        return faces

    def _embed(self, faces: list[Face], chosen: list[int], crops: Pixels, fields: Fields, *, keep: bool) -> None:
        """Changes the chosen faces in the list; `keep`: with their embeddings."""
        vectors, covers = self._embedder.look(crops, occlusion=Fields.OCCLUSION in fields)
        for row, i in enumerate(chosen):
            quality = replace(faces[i].quality, occlusion=covers[row]) if covers else faces[i].quality
            faces[i] = replace(faces[i], quality=quality, embedding=vectors[row].copy() if keep else None)

    def _judged(self, picture: Pixels, faces: list[Face], fields: Fields) -> list[Face]:
        """With livemapscores, of the faces that are embedded and large enough."""
        if Fields.LIVENESS not in fields:
            return faces
        which = [i for i, f in enumerate(faces) if f.embedding is not None and f.quality.size >= MIN_FACE]
        boxes = [np.array([b.left, b.top, b.width, b.height], np.float32) for b in (faces[i].box for i in which)]
        for i, score in zip(which, self._passive.scores(picture, boxes), strict=True):
            faces[i] = replace(faces[i], liveness=score)
        return faces

    def _with_attributes(self, picture: Pixels, faces: list[Face], fields: Fields) -> list[Face]:
        seen = [(i, face.mesh) for i, face in enumerate(faces) if face.mesh is not None]
        if not seen or not fields & (Fields.AGE | Fields.GENDER):
            return faces
        meshes, which = [mesh for _, mesh in seen], [i for i, _ in seen]
        ages = self._age(_chips(age_chip, picture, meshes)) if Fields.AGE in fields else ()
        genders = self._gender(_chips(gender_chip, picture, meshes)) if Fields.GENDER in fields else ()
        for row, i in enumerate(which):
            age, gender = ages[row] if ages else None, genders[row] if genders else None
            faces[i] = replace(faces[i], age=age, gender=gender)
        return faces

    def _with_lids(self, picture: Pixels, faces: list[Face], fields: Fields) -> list[Face]:
        """Last: everything else was measured on the mesh as its network drew it."""
        if Fields.EYES not in fields:
            return faces
        return [face if face.mesh is None else _seeing(face, self._lids(picture, face.mesh)) for face in faces]

    def warm_up(self) -> None:
        """One run of each network at camera size, so that the first visitor does not pay for memory and code."""
        frame = np.zeros((480, 640, 3), np.uint8)
        self._detector(frame)
        if self._mesh is not None:
            self._mesh(frame, np.array([200, 100, 150, 200], np.float32), TEMPLATE)
        self._embedder.look(np.zeros((1, SIDE, SIDE, 3), np.uint8))


def _seeing(face: Face, mesh: Floats) -> Face:
    return replace(face, mesh=mesh, eyes=openness(mesh))


def _chips(cut: Callable[[Pixels, Floats], Pixels], picture: Pixels, meshes: Sequence[Floats]) -> Pixels:
    return np.stack([cut(picture, mesh) for mesh in meshes])


def _face(picture: Pixels, found: Detections, i: int, aligned: Pixels, mesh: Floats | None) -> Face:
    box = found.boxes[i]
    quality = measure(picture, box, found.points[i], aligned, mesh)
    return Face(_box(box), found.points[i], float(found.scores[i]), quality, mesh=mesh)


def _box(box: Floats) -> Box:
    return Box(*(float(value) for value in box))
