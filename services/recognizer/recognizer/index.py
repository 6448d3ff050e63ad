"""The face library in memory: exact search over one contiguous matrix. Pure; one thread uses it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.contracts.people import LibraryDelta, Person

Floats = NDArray[np.float32]

FIRST_ROWS = 1_024


@dataclass(frozen=True, slots=True)
class Match:
    """The nearest person, and how near the next *other* person is; cosines in [-1, 1]."""

    student_id: int
    cosine: float
    runner_up: float


class Index:
    """Faces of one model. The matrix grows by doubling; a removed face's row is filled with the last one."""

    def __init__(self, model: str, dimensions: int = 128) -> None:
        self.model = model
        self.revision = 0
        self.people: dict[int, Person] = {}
        self._matrix: Floats = np.zeros((FIRST_ROWS, dimensions), np.float32)
        self._owners: NDArray[np.int64] = np.zeros(FIRST_ROWS, np.int64)
        self._ids: list[int] = []
        self._rows: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def apply(self, delta: LibraryDelta) -> None:
        """Bring the index to the delta's revision. Faces of other models are left out, never mixed in."""
        for face_id in delta.removed_faces:
            self._remove(face_id)
        for student_id in delta.removed_people:
            self.people.pop(student_id, None)
        for person in delta.people:
            self.people[person.student_id] = person
        for face in delta.faces:
            if face.model == self.model:
                self._put(face.face_id, face.student_id, np.frombuffer(face.embedding, "<f4"))
        self.revision = delta.revision

    def search(self, probe: Floats) -> Match | None:
        """The best match of a normalised embedding (128,); None while the index is empty."""
        count = len(self._ids)
        if count == 0:
            return None
        cosines = self._matrix[:count] @ probe
        best = int(np.argmax(cosines))
        owner = int(self._owners[best])
        others = cosines[self._owners[:count] != owner]
        return Match(owner, float(cosines[best]), float(others.max()) if len(others) else -1.0)

    def _put(self, face_id: int, owner: int, embedding: Floats) -> None:
        row = self._rows.get(face_id)
        if row is None:
            row = self._new_row(face_id)
        self._matrix[row] = embedding
        self._owners[row] = owner

    def _new_row(self, face_id: int) -> int:
        row = len(self._ids)
        if row == len(self._owners):
            self._matrix = np.concatenate([self._matrix, np.zeros_like(self._matrix)])
            self._owners = np.concatenate([self._owners, np.zeros_like(self._owners)])
        self._ids.append(face_id)
        self._rows[face_id] = row
        return row

    def _remove(self, face_id: int) -> None:
        row = self._rows.pop(face_id, None)
        if row is None:
            return
        last_id = self._ids.pop()
        if last_id != face_id:
            last = len(self._ids)
            self._matrix[row], self._owners[row] = self._matrix[last], self._owners[last]
            self._ids[row] = last_id
            self._rows[last_id] = row
