"""Error rates of embeddings, one to one and one to many."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.folder import Embedded

Cosines = NDArray[np.float32]


def pairs(embedded: Embedded) -> tuple[Cosines, Cosines]:
    """(cosines of all pairs of one person, cosines of all pairs of two people), each falling."""
    upper = np.triu_indices(len(embedded.people), 1)
    cosines = (embedded.vectors @ embedded.vectors.T)[upper]
    same = (embedded.people[:, None] == embedded.people[None])[upper]
    return np.sort(cosines[same])[::-1], np.sort(cosines[~same])[::-1]


def centred(embedded: Embedded) -> Embedded:
    """As a gallery of everybody's first photo sees them: its mean taken off (shared/vision/centring.py)."""
    first = np.unique(embedded.people, return_index=True)[1]
    vectors = embedded.vectors - embedded.vectors[first].mean(axis=0)
    return replace(embedded, vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@dataclass(frozen=True, slots=True)
class OneToMany:
    """Best cosine of each stranger; best cosine of each returning person and whether it named the right one."""

    strangers: Cosines
    returning: Cosines
    right: NDArray[np.bool_]
    gallery: int

    def threshold(self, fpir: float) -> float:
        """The cosine that this share of the strangers exceeds."""
        return float(np.sort(self.strangers)[::-1][int(len(self.strangers) * fpir)])

    def fnir(self, fpir: float) -> float:
        """Share of returning people not named, or named wrongly, at the threshold for this FPIR."""
        return 1 - float((self.right & (self.returning > self.threshold(fpir))).mean())

    def fpir(self, threshold: float) -> float:
        """Share of strangers named at this cosine."""
        return float((self.strangers >= threshold).mean())


def one_to_many(embedded: Embedded) -> OneToMany:
    """Gallery: the first photo of each person with two or more. Strangers: the people with one photo."""
    people, vectors = embedded.people, embedded.vectors
    alone = np.bincount(people)[people] == 1
    first = np.zeros(len(people), bool)
    first[np.unique(people, return_index=True)[1]] = True
    gallery, probes = first & ~alone, ~first
    found = vectors[probes] @ vectors[gallery].T
    right = people[gallery][found.argmax(1)] == people[probes]
    strangers = (vectors[alone] @ vectors[gallery].T).max(1) if alone.any() else np.empty(0, np.float32)
    return OneToMany(strangers, found.max(1), right, int(gallery.sum()))
