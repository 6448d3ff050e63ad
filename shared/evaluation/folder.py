"""Embeds a folder of photos sorted by person (LFW's layout: one folder a person)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.evaluation.attacks import GENUINE
from shared.vision.engine import Face, FaceEngine, Fields
from shared.vision.picture import Bounds, PictureError, decode
from shared.vision.quality import Quality
from shared.vision.runtime import Pixels

ANY_SIZE = Bounds(min_side=1)  # evaluation sets hold thumbnails that an upload may not be
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


@dataclass(frozen=True, slots=True)
class Embedded:
    """N×128 unit vectors, the person's number for each, and how many photos showed no face or could not be read.
    `qualities` is empty, or as long as the vectors. `scores`: per folder of a set of attacks the livemapscores (NaN
    where a face is too small to tell); empty if the folders are people."""

    vectors: NDArray[np.float32]
    people: NDArray[np.intp]
    without_face: int
    qualities: list[Quality] = field(default_factory=list)
    scores: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """As .npz, without the qualities and scores."""
        np.savez(path, vectors=self.vectors, people=self.people, without_face=self.without_face)

    @staticmethod
    def load(path: Path) -> "Embedded":
        """What `save` wrote."""
        with np.load(path) as kept:
            return Embedded(kept["vectors"], kept["people"], int(kept["without_face"]))


def photos(folder: Path) -> Iterator[tuple[int, Path]]:
    """(number of the person, photo), person by person."""
    for number, person in enumerate(_folders(folder)):
        for path in sorted(person.rglob("*")):
            if path.suffix.lower() in SUFFIXES:
                yield number, path


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


class NoFaces(Exception):
    """The folder holds no photo with a face, or none in folders of people."""


def embed(folder: Path, engine: FaceEngine, seen: Callable[[], None] = lambda: None) -> Embedded:
    """One embedding a photo, of the face nearest the middle: a fifth of LFW's photos show more than one face.

    A folder with a folder `live` is a set of presentation attacks (live/, print/, screen/ …): its faces are scored.
    `seen` is called after each photo. Raises NoFaces.
    """
    faces: list[Face] = []
    people, without = [], 0
    attacks = (folder / GENUINE).is_dir()
    fields = Fields.OCCLUSION | Fields.LIVENESS if attacks else Fields.OCCLUSION
    for person, path in photos(folder):
        face = _face(engine, path, fields)
        seen()
        if face is None or face.embedding is None:
            without += 1
            continue
        faces.append(face)
        people.append(person)
    if not faces:
        raise NoFaces(f"{folder} has no photos of faces; one folder a person is expected")
    vectors = np.stack([face.embedding for face in faces if face.embedding is not None])
    owners = np.array(people, np.intp)
    scores = _scores(folder, owners, faces) if attacks else {}
    return Embedded(vectors, owners, without, [face.quality for face in faces], scores)


def _scores(folder: Path, owners: NDArray[np.intp], faces: list[Face]) -> dict[str, NDArray[np.float32]]:
    every = np.array([np.nan if face.liveness is None else face.liveness for face in faces], np.float32)
    return {kind.name: every[owners == number] for number, kind in enumerate(_folders(folder))}


def _face(engine: FaceEngine, path: Path, fields: Fields) -> Face | None:
    try:
        return centre_face(engine, decode(path.read_bytes(), ANY_SIZE), fields)
    except PictureError:
        return None


def centre_face(engine: FaceEngine, picture: Pixels, fields: Fields = Fields.OCCLUSION) -> Face | None:
    """The face nearest the middle of the picture, None if there is none."""
    faces = engine.analyze(picture, max_faces=10, fields=fields)
    middle = np.array(picture.shape[1::-1]) / 2

    def distance(face: Face) -> float:
        box = face.box
        return float(np.hypot(box.left + box.width / 2 - middle[0], box.top + box.height / 2 - middle[1]))

    return min(faces, key=distance, default=None)
