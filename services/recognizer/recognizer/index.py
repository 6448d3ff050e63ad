"""The students in memory, for the door: exact search over one contiguous matrix. Pure; one thread uses it.

Each person is one row, the mean of their photos. Of 400 people with two photos each FNIR at FPIR 0.3 % is 1.1 % for
the mean and 1.6 % for the best of both photos; with three, 0.6 % and 1.0 % (LFW, bench/README.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.contracts.gallery import GalleryFaces, GroupUsers, LibraryDelta, unpack
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


class Membership(NamedTuple):
    """What makes a user of the library a student."""

    group: int
    student_id: int


class Photo(NamedTuple):
    """A face and the user who owns it."""

    owner: int
    vector: Floats


class Index:
    """Students, each the mean of the faces of all their users that one model made. The matrix grows by doubling; a
    removed student's row is filled with the last one."""

    def __init__(self, model: str, dimensions: int = 128) -> None:
        """`model` decides which faces are taken in, and, if it was calibrated for it, that search is centred."""
        self.model = model
        self.revision = 0
        self.people: dict[int, Person] = {}
        self._matrix: Floats = np.zeros((FIRST_ROWS, dimensions), np.float32)
        self._students: list[int] = []
        self._rows: dict[int, int] = {}
        self._users: dict[int, Membership] = {}
        self._photos: dict[int, dict[int, Photo]] = {}
        self._student_of: dict[int, int] = {}
        self._scale: PlainScale | None = plain_scale(model)
        self._centre: Centre | None = None

    def __len__(self) -> int:
        """Faces, not people: the threshold counts every photo that a stranger could be taken for."""
        return len(self._student_of)

    def apply(self, delta: LibraryDelta) -> None:
        """Bring the index to the delta's revision. Faces of other models are left out, never mixed in."""
        changed = set(self._gone(delta))
        for student_id in delta.removed_people:
            self.people.pop(student_id, None)
        for person in delta.people:
            self.people[person.student_id] = person
        for users in delta.users:
            changed.update(self._met(users))
        for faces in delta.faces:
            changed.update(self._seen(faces))
        for student_id in changed:
            self._refresh(student_id)
        if changed:
            self._centre = None
        self.revision = delta.revision

    def search(self, probe: Floats) -> Match | None:
        """The best match of a normalised embedding (128,); None while the index is empty."""
        if not self._students:
            return None
        cosines = self._cosines(probe)
        best = int(np.argmax(cosines))
        cosine, cosines[best] = float(cosines[best]), -1.0
        return Match(self._students[best], self._plain(cosine), self._plain(float(cosines.max())))

    def _cosines(self, probe: Floats) -> Floats:
        gallery = self._matrix[: len(self._students)]
        if not self._centred:
            return gallery @ probe
        if self._centre is None:
            self._centre = Centre(gallery)
        return self._centre.cosines(gallery @ probe, probe)

    @property
    def _centred(self) -> bool:
        return self._scale is not None and len(self._students) >= CENTRED_FROM

    def _plain(self, cosine: float) -> float:
        return self._scale(cosine) if self._scale and self._centred else cosine

    def _gone(self, delta: LibraryDelta) -> Iterator[int]:
        """Takes out what left; the students whose photos this changes, as below."""
        groups = set(delta.removed_groups)
        members = [owner for owner, user in self._users.items() if user.group in groups] if groups else []
        for owner in (*members, *delta.removed_users):
            yield from self._forget_user(owner)
        for face_id in delta.removed_faces:
            yield from self._forget(face_id)

    def _met(self, users: GroupUsers) -> Iterator[int]:
        for owner, student_id in zip(unpack(users.owners), unpack(users.students), strict=True):
            before = self._users.get(owner)
            user = Membership(users.group, student_id) if student_id else None
            if before != user:
                yield from self._forget_user(owner)
            if user is not None:
                self._users[owner] = user

    def _seen(self, faces: GalleryFaces) -> Iterator[int]:
        vectors = np.frombuffer(faces.embeddings, "<f4").reshape(max(1, len(faces)), -1)
        for i, (face_id, owner) in enumerate(zip(unpack(faces.ids), unpack(faces.owners), strict=True)):
            yield from self._forget(face_id)  # a face may change hands, or its model
            user = self._users.get(owner)
            if user is not None and faces.model == self.model:
                self._student_of[face_id] = user.student_id
                self._photos.setdefault(user.student_id, {})[face_id] = Photo(owner, vectors[i].copy())
                yield user.student_id

    def _forget_user(self, owner: int) -> Iterator[int]:
        user = self._users.pop(owner, None)
        photos = self._photos.get(user.student_id, {}) if user else {}
        for face_id in [face_id for face_id, photo in photos.items() if photo.owner == owner]:
            yield from self._forget(face_id)

    def _forget(self, face_id: int) -> Iterator[int]:
        student_id = self._student_of.pop(face_id, None)
        if student_id is not None:
            del self._photos[student_id][face_id]
            yield student_id

    def _refresh(self, student_id: int) -> None:
        photos = self._photos[student_id]
        if not photos:
            del self._photos[student_id]
            self._drop_row(student_id)
            return
        row = self._row(student_id)  # before the matrix is named: this may make a larger one
        self._matrix[row] = likeness(np.stack([photo.vector for photo in photos.values()]))

    def _row(self, student_id: int) -> int:
        if student_id not in self._rows:
            if len(self._students) == len(self._matrix):
                self._matrix = np.concatenate([self._matrix, np.zeros_like(self._matrix)])
            self._rows[student_id] = len(self._students)
            self._students.append(student_id)
        return self._rows[student_id]

    def _drop_row(self, student_id: int) -> None:
        row = self._rows.pop(student_id, None)
        if row is None:  # came and went within one delta
            return
        last = self._students.pop()
        if last != student_id:
            self._matrix[row] = self._matrix[len(self._students)]
            self._students[row] = last
            self._rows[last] = row


def likeness(photos: Floats) -> Floats:
    """K×128 photos of one person → one unit vector: their mean, without those that look like somebody else."""
    if len(photos) == 1:
        alone: Floats = photos[0]
        return alone
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
