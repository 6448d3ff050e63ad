"""The face library in memory: exact search over one contiguous matrix. Pure; one thread uses it.

Each person is one row, the mean of their photos. Of 400 people with two photos each FNIR at FPIR 0.3 % is 1.1 % for
the mean and 1.6 % for the best of both photos; with three, 0.6 % and 1.0 % (LFW, bench/README.md).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.contracts.gallery import GalleryFace, LibraryDelta
from shared.contracts.people import Person
from shared.vision.centring import Centre, PlainScale, plain_scale

Floats = NDArray[np.float32]

FIRST_ROWS = 1_024

SAME_PERSON = 0.25
"""median cosine to the person's other photos below which a photo is left out: of LFW's pairs of two people 6 % reach
it, of its pairs of one person 99.98 %"""

CENTRED_FROM = 50
"""people from which cosines are taken from the gallery's centre: the mean of fewer is too much their own"""


@dataclass(frozen=True, slots=True)
class Match:
    """The nearest person, and how near the next *other* person is; cosines in [-1, 1]."""

    student_id: int
    cosine: float
    runner_up: float


class Index:
    """People of one model. The matrix grows by doubling; a removed person's row is filled with the last one."""

    def __init__(self, model: str, dimensions: int = 128) -> None:
        """`model` decides which faces are taken in, and, if it was calibrated for it, that search is centred."""
        self.model = model
        self.revision = 0
        self.people: dict[int, Person] = {}
        self._matrix: Floats = np.zeros((FIRST_ROWS, dimensions), np.float32)
        self._owners: list[int] = []
        self._rows: dict[int, int] = {}
        self._faces: dict[int, dict[int, Floats]] = {}
        self._owner_of: dict[int, int] = {}
        self._scale: PlainScale | None = plain_scale(model)
        self._centre: Centre | None = None

    def __len__(self) -> int:
        """Faces, not people: the threshold counts every photo that a stranger could be taken for."""
        return len(self._owner_of)

    def apply(self, delta: LibraryDelta) -> None:
        """Bring the index to the delta's revision. Faces of other models are left out, never mixed in."""
        changed = {self._forget(face_id) for face_id in delta.removed_faces}
        for student_id in delta.removed_people:
            self.people.pop(student_id, None)
        for person in delta.people:
            self.people[person.student_id] = person
        for face in delta.faces:
            if face.model == self.model:
                changed |= self._remember(face)
        for owner in changed:
            if owner is not None:
                self._refresh(owner)
        self._centre = None
        self.revision = delta.revision

    def search(self, probe: Floats) -> Match | None:
        """The best match of a normalised embedding (128,); None while the index is empty."""
        if not self._owners:
            return None
        cosines = self._cosines(probe)
        best = int(np.argmax(cosines))
        cosine, cosines[best] = float(cosines[best]), -1.0
        return Match(self._owners[best], self._plain(cosine), self._plain(float(cosines.max())))

    def _cosines(self, probe: Floats) -> Floats:
        gallery = self._matrix[: len(self._owners)]
        if not self._centred:
            return gallery @ probe
        if self._centre is None:
            self._centre = Centre(gallery)
        return self._centre.cosines(gallery @ probe, probe)

    @property
    def _centred(self) -> bool:
        return self._scale is not None and len(self._owners) >= CENTRED_FROM

    def _plain(self, cosine: float) -> float:
        return self._scale(cosine) if self._scale and self._centred else cosine

    def _remember(self, face: GalleryFace) -> set[int | None]:
        """The owners whose photos this changes: a face may change hands."""
        before = self._forget(face.face_id)
        self._owner_of[face.face_id] = face.student_id
        self._faces.setdefault(face.student_id, {})[face.face_id] = np.frombuffer(face.embedding, "<f4")
        return {before, face.student_id}

    def _forget(self, face_id: int) -> int | None:
        owner = self._owner_of.pop(face_id, None)
        if owner is not None:
            del self._faces[owner][face_id]
        return owner

    def _refresh(self, owner: int) -> None:
        faces = self._faces[owner]
        if not faces:
            del self._faces[owner]
            self._drop_row(owner)
            return
        row = self._row(owner)  # before the matrix is named: this may make a larger one
        self._matrix[row] = likeness(np.stack(list(faces.values())))

    def _row(self, owner: int) -> int:
        if owner not in self._rows:
            if len(self._owners) == len(self._matrix):
                self._matrix = np.concatenate([self._matrix, np.zeros_like(self._matrix)])
            self._rows[owner] = len(self._owners)
            self._owners.append(owner)
        return self._rows[owner]

    def _drop_row(self, owner: int) -> None:
        row = self._rows.pop(owner, None)
        if row is None:  # came and went within one delta
            return
        last = self._owners.pop()
        if last != owner:
            self._matrix[row] = self._matrix[len(self._owners)]
            self._owners[row] = last
            self._rows[last] = row


def likeness(photos: Floats) -> Floats:
    """K×128 photos of one person → one unit vector: their mean, without those that look like somebody else."""
    if len(photos) > 2:  # of two that disagree nobody knows which is wrong
        kept = photos[_median_agreement(photos) >= SAME_PERSON]
        photos = kept if len(kept) else photos
    mean: Floats = photos.mean(axis=0)
    return mean / np.float32(max(float(np.linalg.norm(mean)), 1e-12))


def _median_agreement(photos: Floats) -> Floats:
    """For each photo the median of its cosines to the others."""
    count = len(photos)
    others = (photos @ photos.T)[~np.eye(count, dtype=bool)].reshape(count, count - 1)
    agreement: Floats = np.median(others, axis=1)
    return agreement
