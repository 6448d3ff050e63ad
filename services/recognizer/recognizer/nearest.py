"""The k nearest of many vectors: exact, and changeable at any time. Pure but for a file; one thread uses it.

The score of a vector and a probe is their inner product summed in f64 and rounded once to f32, so it does not depend on
how many others are searched. A higher score comes first; of equal scores the lower id. That is what a scan of all f32
vectors answers, and so does `Vectors`, whichever way it goes: it scans something smaller with a proven bound of its
error, and computes the scores of those that the bound does not exclude (docs/adr/0007-exact-search.md).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recognizer.codes import LONGEST, ROUNDING, Codes, kth_largest

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]
Rows = NDArray[np.int64]

PLAIN_ROWS = 50_000
"""up to which the f32 matrix is kept in memory (25 MB) and multiplied as it is"""

SHORTEST_PROBE = 0.999
"""All errors are bounded for a probe of length one: to a short one the many would look alike."""

PIECE = 2_048
"""rows written at once: bounds the memory that a large addition takes for a moment"""


class Store(Protocol):
    """Where the vectors are: rows 0 to count, without ids."""

    def write(self, rows: Rows, vectors: Floats) -> None: ...
    def move(self, sources: Rows, targets: Rows) -> None: ...
    def cut(self, rows: int) -> None: ...
    def read(self, rows: Rows) -> Floats: ...
    def estimates(self, rows: Rows, probe: Floats) -> tuple[Floats, Floats]: ...
    def shortlists(self, probes: Floats, k: int) -> list[Rows]: ...
    def close(self) -> None: ...


class Vectors:
    """int64 ids and f32 vectors no longer than one. What a call changes, the next one sees."""

    def __init__(self, dimensions: int = 128, *, plain_rows: int = PLAIN_ROWS, folder: Path | None = None) -> None:
        """With more than `plain_rows` they become codes, their f32 a hidden, encrypted file in `folder`.

        ValueError: `dimensions` is not a multiple of 4 (faiss and the cipher want that), or above 256.
        """
        if dimensions % 4 or not 0 < dimensions <= 256:
            raise ValueError("dimensions: a multiple of 4, at most 256")
        self.dimensions = dimensions
        self._plain_rows, self._folder = plain_rows, folder
        self._store: Store = Matrix(dimensions)
        self._places = Places()
        self._ids: Ids = np.empty(0, np.int64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, number: int) -> bool:
        return bool(self._places.find(np.array([number]))[0] >= 0)

    @property
    def ids(self) -> Ids:
        """All of them, in no order."""
        return self._ids[: self._count].copy()

    def add(self, ids: Ids, vectors: Floats) -> None:
        """N new ids, N×D. Or nothing is changed: ValueError, an id twice or there already, a vector unfit; OSError."""
        self._check(ids, vectors)
        if (self._places.find(ids) >= 0).any():
            raise ValueError("an id is there already")
        rows = np.arange(self._count, self._count + len(ids))
        if rows.size and rows[-1] >= self._plain_rows and isinstance(self._store, Matrix):
            self._store = self._coded(self._store)
        try:
            for piece in _pieces(len(ids)):
                self._store.write(rows[piece], vectors[piece])
        except OSError:
            self._store.cut(self._count)
            raise
        if len(self._ids) < self._count + len(ids):
            self._ids.resize(max(self._count + len(ids), self._count * 9 // 8), refcheck=False)
        self._ids[rows] = ids
        self._places.put(ids, rows)
        self._count += len(ids)

    def replace(self, ids: Ids, vectors: Floats) -> None:
        """New vectors, N×D, for ids there are. KeyError, ValueError: nothing is changed. OSError: these are lost."""
        self._check(ids, vectors)
        rows = self._rows(ids)
        for piece in _pieces(len(ids)):
            self._store.write(rows[piece], vectors[piece])

    def remove(self, ids: Ids) -> None:
        """The last rows fill the holes. KeyError, and nothing is changed: an id is not there."""
        ids = np.unique(ids)
        rows = self._rows(ids)
        left = self._count - len(rows)
        holes = rows[rows < left]
        last = np.setdiff1d(np.arange(left, self._count), rows)
        for piece in _pieces(len(holes)):
            self._store.move(last[piece], holes[piece])
        self._places.put(ids, np.full(len(ids), GONE))
        self._places.put(self._ids[last], holes)
        self._ids[holes] = self._ids[last]
        self._count = left
        self._store.cut(left)

    def vectors(self, ids: Ids) -> Floats:
        """N×D, as they were given. KeyError: an id is not there."""
        return self._store.read(self._rows(ids))

    def cosines(self, probe: Floats, ids: Ids) -> Floats:
        """The scores (N,) of some. KeyError: an id is not there."""
        return scores(self.vectors(ids), probe)

    def search(self, probes: Floats, k: int, among: Ids | None = None) -> tuple[Floats, Ids]:
        """Q×D probes → scores and ids of the best of all, or `among` some: Q×k, or as many columns as there are.

        KeyError: an id of `among` is not there. ValueError: a probe is not of unit length.
        """
        _check_lengths(probes, self.dimensions, at_least=SHORTEST_PROBE)
        if among is None:
            k = min(k, self._count)
            lists = self._store.shortlists(probes, k) if k > 0 and len(probes) else []
        else:
            rows = self._rows(np.unique(among))
            k = min(k, len(rows))
            lists = [rows] * len(probes)
        if k <= 0 or not len(probes):
            return np.empty((len(probes), max(k, 0)), np.float32), np.empty((len(probes), max(k, 0)), np.int64)
        best = [self._best(probe, rows, k) for probe, rows in zip(probes, lists, strict=True)]
        return np.stack([found for found, _ in best]), np.stack([ids for _, ids in best])

    def close(self) -> None:
        """Give back the disk space; also done when nobody refers to this any more."""
        self._store.close()

    def _best(self, probe: Floats, rows: Rows, k: int) -> tuple[Floats, Ids]:
        if len(rows) > k:
            estimates, errors = self._store.estimates(rows, probe)
            rows = rows[estimates + errors >= kth_largest(estimates - errors, k)]
        found, ids = scores(self._store.read(rows), probe), self._ids[rows]
        order = np.lexsort((ids, -found))[:k]
        return found[order], ids[order]

    def _rows(self, ids: Ids) -> Rows:
        rows = self._places.find(ids)
        if (rows < 0).any():
            raise KeyError(int(np.asarray(ids)[rows < 0][0]))
        return rows

    def _check(self, ids: Ids, vectors: Floats) -> None:
        if len(ids) != len(vectors) or len(np.unique(ids)) != len(ids):
            raise ValueError("as many different ids as vectors are needed")
        _check_lengths(vectors, self.dimensions)

    def _coded(self, matrix: "Matrix") -> Codes:
        codes = Codes(self.dimensions, self._folder)
        for piece in _pieces(self._count):
            rows = np.arange(piece.start, piece.stop)
            codes.write(rows, matrix.read(rows))
        return codes


def scores(vectors: Floats, probe: Floats) -> Floats:
    """N×D and (D,) → (N,): products and sum in f64, which is exact but for the last bits, then one rounding to f32."""
    summed: NDArray[np.float64] = (vectors.astype(np.float64) * probe).sum(axis=1)
    return summed.astype(np.float32)


class Matrix:
    """Rows of f32 in memory. Grows by doubling."""

    def __init__(self, dimensions: int) -> None:
        self._matrix: Floats = np.zeros((0, dimensions), np.float32)
        self._count = 0

    def write(self, rows: Rows, vectors: Floats) -> None:
        """Set rows, old ones or the next ones."""
        self._count = max(self._count, int(rows.max(initial=-1)) + 1)
        if (missing := self._count - len(self._matrix)) > 0:
            more = np.zeros((max(missing, len(self._matrix)), self._matrix.shape[1]), np.float32)
            self._matrix = np.concatenate([self._matrix, more])
        self._matrix[rows] = vectors

    def move(self, sources: Rows, targets: Rows) -> None:
        """Copy rows over others."""
        self._matrix[targets] = self._matrix[sources]

    def cut(self, rows: int) -> None:
        """Keep the first `rows` rows."""
        self._matrix[rows : self._count] = 0.0
        self._count = rows

    def read(self, rows: Rows) -> Floats:
        """The vectors as they came."""
        return self._matrix[rows]

    def estimates(self, rows: Rows, probe: Floats) -> tuple[Floats, Floats]:
        """Inner products of some rows in f32, and by how much each may be off."""
        return self._matrix[rows] @ probe, np.full(len(rows), ROUNDING, np.float32)

    def shortlists(self, probes: Floats, k: int) -> list[Rows]:
        """For each of the Q×D probes, rows among which its k best surely are."""
        products = probes @ self._matrix[: self._count].T
        return [np.flatnonzero(row >= kth_largest(row, k) - 2 * ROUNDING) for row in products]

    def close(self) -> None:
        """Nothing to give back."""


GONE = -1


class Places:
    """Rows by id in 12 bytes each, where a dict takes 100: sorted arrays, and a dict of what changed since."""

    CHANGES = 65_536
    """after so many the arrays are made anew, which takes about 0.1 s at a million"""

    def __init__(self) -> None:
        self._ids: Ids = np.empty(0, np.int64)
        self._rows: NDArray[np.int32] = np.empty(0, np.int32)
        self._since: dict[int, int] = {}

    def find(self, ids: Ids) -> Rows:
        """The row of each, GONE if there is none."""
        ids = np.asarray(ids, np.int64)
        rows = np.full(len(ids), GONE, np.int64)
        at = np.searchsorted(self._ids, ids)
        there = np.flatnonzero(at < len(self._ids))
        there = there[self._ids[at[there]] == ids[there]]
        rows[there] = self._rows[at[there]]
        if self._since:
            rows[:] = [self._since.get(number, row) for number, row in zip(ids.tolist(), rows.tolist(), strict=True)]
        return rows

    def put(self, ids: Ids, rows: Rows) -> None:
        """The rows, or GONE, of different ids from now on."""
        if len(self._since) + len(ids) <= self.CHANGES:
            self._since.update(zip(np.asarray(ids).tolist(), rows.tolist(), strict=True))
            return
        changed = np.fromiter(self._since, np.int64, len(self._since))
        changed_rows = np.fromiter(self._since.values(), np.int32, len(self._since))
        self._since = {}
        self._merge(changed, changed_rows)
        self._merge(np.asarray(ids, np.int64), rows.astype(np.int32))

    def _merge(self, ids: Ids, rows: NDArray[np.int32]) -> None:
        order = np.argsort(ids)
        ids, rows = ids[order], rows[order]
        kept = np.ones(len(self._ids), bool)
        at = np.searchsorted(self._ids, ids)
        inside = at < len(kept)
        known = at[inside][self._ids[at[inside]] == ids[inside]]
        kept[known] = False
        self._ids, self._rows = self._ids[kept], self._rows[kept]
        stays = rows != GONE
        at = np.searchsorted(self._ids, ids[stays])
        self._ids, self._rows = np.insert(self._ids, at, ids[stays]), np.insert(self._rows, at, rows[stays])


def _check_lengths(vectors: Floats, dimensions: int, at_least: float = 0.0) -> None:
    if vectors.dtype != np.float32 or vectors.ndim != 2 or vectors.shape[1] != dimensions:
        raise ValueError(f"vectors of {dimensions} f32 are needed")
    lengths = np.einsum("ij,ij->i", vectors, vectors)
    if not ((lengths >= at_least**2) & (lengths <= LONGEST**2)).all():  # neither is true of what is not a number
        raise ValueError(f"vectors of length {at_least:g} to 1 are needed")


def _pieces(count: int) -> Iterator[slice]:
    for start in range(0, count, PIECE):
        yield slice(start, min(start + PIECE, count))
