"""People as rows of one matrix: exact search for the nearest one. Pure; one thread uses it.

Each person is one row, the mean of their photos. Of 400 people with two photos each FNIR at FPIR 0.3 % is 1.1 % for
the mean and 1.6 % for the best of both photos; with three, 0.6 % and 1.0 % (LFW, bench/README.md).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


class Crowd:
    """Grows by doubling; the row of one who leaves is filled with the last one."""

    def __init__(self, model: str, dimensions: int = 128) -> None:
        """If `model` was calibrated for it, search is centred."""
        self._matrix: Floats = np.zeros((FIRST_ROWS, dimensions), np.float32)
        self._students: list[int] = []
        self._rows: dict[int, int] = {}
        self._scale: PlainScale | None = plain_scale(model)
        self._centre: Centre | None = None

    def put(self, student_id: int, photos: Floats) -> None:
        """Add or replace a person, by the K×128 unit vectors of their photos, K at least 1."""
        row = self._row(student_id)  # before the matrix is named: this may make a larger one
        self._matrix[row] = likeness(photos)
        self._centre = None

    def drop(self, student_id: int) -> None:
        """Forget a person, if known."""
        row = self._rows.pop(student_id, None)
        if row is None:
            return
        last = self._students.pop()
        if last != student_id:
            self._matrix[row] = self._matrix[len(self._students)]
            self._students[row] = last
            self._rows[last] = row
        self._centre = None

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

    def _row(self, student_id: int) -> int:
        if student_id not in self._rows:
            if len(self._students) == len(self._matrix):
                self._matrix = np.concatenate([self._matrix, np.zeros_like(self._matrix)])
            self._rows[student_id] = len(self._students)
            self._students.append(student_id)
        return self._rows[student_id]


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
