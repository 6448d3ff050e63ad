"""Embeds a folder of photos sorted by person (LFW's layout: one folder a person)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.vision.engine import Face, FaceEngine
from shared.vision.picture import Bounds, decode
from shared.vision.runtime import Pixels

ANY_SIZE = Bounds(min_side=1)  # evaluation sets hold thumbnails that an upload may not be


@dataclass(frozen=True, slots=True)
class Embedded:
    """N×128 unit vectors, the person's number for each, and how many photos showed no face."""

    vectors: NDArray[np.float32]
    people: NDArray[np.intp]
    without_face: int

    def save(self, path: Path) -> None:
        """As .npz."""
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
            yield number, path


def embed(folder: Path, engine: FaceEngine) -> Embedded:
    """One embedding a photo, of the face nearest the middle: a fifth of LFW's photos show more than one face."""
    vectors, people, without = [], [], 0
    for person, path in photos(folder):
        face = centre_face(engine, decode(path.read_bytes(), ANY_SIZE))
        if face is None or face.embedding is None:
            without += 1
            continue
        vectors.append(face.embedding)
        people.append(person)
    return Embedded(np.stack(vectors), np.array(people, np.intp), without)


def centre_face(engine: FaceEngine, picture: Pixels) -> Face | None:
    """The face nearest the middle of the picture, None if there is none."""
    faces = engine.analyze(picture, max_faces=10)
    middle = np.array(picture.shape[1::-1]) / 2

    def distance(face: Face) -> float:
        box = face.box
        return float(np.hypot(box.left + box.width / 2 - middle[0], box.top + box.height / 2 - middle[1]))

    return min(faces, key=distance, default=None)
