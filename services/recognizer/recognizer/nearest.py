"""Exact search over one matrix. Pure; one thread uses it."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]


class Vectors:
    """Unit vectors by id."""

    def __init__(self, dimensions: int = 128) -> None:
        self._rows: dict[int, int] = {}
        self._ids: Ids = np.zeros(0, np.int64)
        self._matrix: Floats = np.zeros((0, dimensions), np.float32)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, ids: Ids, vectors: Floats) -> None:
        """N new ids and their vectors N×D."""
        start, end = len(self), len(self) + len(ids)
        if end > len(self._matrix):
            room = max(end, 2 * len(self._matrix))
            self._matrix = np.concatenate([self._matrix, np.zeros((room - len(self._matrix), vectors.shape[1]), "f4")])
            self._ids = np.concatenate([self._ids, np.zeros(room - len(self._ids), np.int64)])
        self._matrix[start:end], self._ids[start:end] = vectors, ids
        self._rows.update(zip(ids.tolist(), range(start, end), strict=True))

    def remove(self, ids: Ids) -> None:
        """The last row fills the gap. KeyError: an id is not there."""
        for face_id in ids.tolist():
            row = self._rows.pop(face_id)
            last = len(self._rows)
            if row != last:
                self._matrix[row], self._ids[row] = self._matrix[last], self._ids[last]
                self._rows[int(self._ids[row])] = row

    def search(self, probes: Floats, k: int, among: Ids | None = None) -> tuple[Floats, Ids]:
        """Q×D probes → cosines and ids of the k best of all, or `among` some, best first, equal ones by id: Q×k, or as
        many columns as there are. KeyError: an id of `among` is not there."""
        rows = np.arange(len(self)) if among is None else np.array([self._rows[i] for i in among.tolist()], np.int64)
        ids, scores = self._ids[rows], probes @ self._matrix[rows].T
        order = np.stack([np.lexsort((ids, -of_probe))[:k] for of_probe in scores])
        return np.take_along_axis(scores, order, axis=1), ids[order]
