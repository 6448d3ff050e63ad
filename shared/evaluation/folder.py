"""Embeds a folder of photos sorted by person (LFW's layout: one folder a person)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.vision.engine import Face, FaceEngine
from shared.vision.picture import Bounds, PictureError, decode
from shared.vision.quality import Quality
from shared.vision.runtime import Pixels

ANY_SIZE = Bounds(min_side=1)  # evaluation sets hold thumbnails that an upload may not be
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


@dataclass(frozen=True, slots=True)
class Embedded:
    """N×128 unit vectors, the person's number for each, and how many photos showed no face or could not be read.
    `qualities` is empty, or as long as the vectors."""

    vectors: NDArray[np.float32]
    people: NDArray[np.intp]
    without_face: int
    qualities: list[Quality] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """As .npz, without the qualities."""
        np.savez(path, vectors=self.vectors, people=self.people, without_face=self.without_face)

    @staticmethod
    def load(path: Path) -> "Embedded":
        """What `save` wrote."""
        with np.load(path) as kept:
            return Embedded(kept["vectors"], kept["people"], int(kept["without_face"]))


def photos(folder: Path) -> Iterator[tuple[int, Path]]:
    """(number of the person, photo), person by person."""
    people = sorted(path for path in folder.iterdir() if path.is_dir())
    for number, person in enumerate(people):
        for path in sorted(person.iterdir()):
            if path.suffix.lower() in SUFFIXES:
                yield number, path


class NoFaces(Exception):
    """The folder holds no photo with a face, or none in folders of people."""


def embed(folder: Path, engine: FaceEngine, seen: Callable[[], None] = lambda: None) -> Embedded:
    """One embedding a photo, of the face nearest the middle: a fifth of LFW's photos show more than one face.

    `seen` is called after each photo. Raises NoFaces.
    """
    faces: list[Face] = []
    people, without = [], 0
    for person, path in photos(folder):
        face = _face(engine, path)
        seen()
        if face is None or face.embedding is None:
            without += 1
            continue
        faces.append(face)
        people.append(person)
    if not faces:
        raise NoFaces(f"{folder} has no photos of faces; one folder a person is expected")
    vectors = np.stack([face.embedding for face in faces if face.embedding is not None])
    return Embedded(vectors, np.array(people, np.intp), without, [face.quality for face in faces])


def _face(engine: FaceEngine, path: Path) -> Face | None:
    try:
        return centre_face(engine, decode(path.read_bytes(), ANY_SIZE))
    except PictureError:
        return None


def centre_face(engine: FaceEngine, picture: Pixels) -> Face | None:
    """The face nearest the middle of the picture, None if there is none."""
    faces = engine.analyze(picture, max_faces=10)
    middle = np.array(picture.shape[1::-1]) / 2

    def distance(face: Face) -> float:
        box = face.box
        return float(np.hypot(box.left + box.width / 2 - middle[0], box.top + box.height / 2 - middle[1]))

    return min(faces, key=distance, default=None)
