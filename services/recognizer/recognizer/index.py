"""The students in memory, for the door: who owns which photo, and a crowd to search. Pure; one thread uses it."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.contracts.gallery import GalleryFaces, GroupUsers, LibraryDelta, unpack
from shared.contracts.people import Person
from shared.vision.crowd import Crowd, Match

Floats = NDArray[np.float32]


class Membership(NamedTuple):
    """What makes a user of the library a student."""

    group: int
    student_id: int


class Photo(NamedTuple):
    """A face and the user who owns it."""

    owner: int
    vector: Floats


class Index:
    """Students, each the mean of the faces of all their users that one model made."""

    def __init__(self, model: str, dimensions: int = 128) -> None:
        """`model` decides which faces are taken in, and, if it was calibrated for it, that search is centred."""
        self.model = model
        self.revision = 0
        self.people: dict[int, Person] = {}
        self._crowd = Crowd(model, dimensions)
        self._users: dict[int, Membership] = {}
        self._photos: dict[int, dict[int, Photo]] = {}
        self._student_of: dict[int, int] = {}

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
        self.revision = delta.revision

    def search(self, probe: Floats) -> Match | None:
        """The best match of a normalised embedding (128,); None while the index is empty."""
        return self._crowd.search(probe)

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
            self._crowd.drop(student_id)
            return
        self._crowd.put(student_id, np.stack([photo.vector for photo in photos.values()]))
