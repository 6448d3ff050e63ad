"""Error rates of embeddings, one to one and one to many."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shared.evaluation.folder import Embedded

Cosines = NDArray[np.float32]

HALVES = 20


def pairs(embedded: Embedded) -> tuple[Cosines, Cosines]:
    """(cosines of all pairs of one person, cosines of all pairs of two people), each falling."""
    upper = np.triu_indices(len(embedded.people), 1)
    cosines = (embedded.vectors @ embedded.vectors.T)[upper]
    same = (embedded.people[:, None] == embedded.people[None])[upper]
    return np.sort(cosines[same])[::-1], np.sort(cosines[~same])[::-1]


def centred(embedded: Embedded) -> Embedded:
    """For pairs: the mean of everybody's first photo taken off, as of a gallery of them (shared/vision/centring.py)."""
    first = np.unique(embedded.people, return_index=True)[1]
    return replace(embedded, vectors=_without(embedded.vectors, embedded.vectors[first].mean(axis=0)))


def _without(vectors: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    moved: NDArray[np.float32] = vectors - mean
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    return moved


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


def one_to_many(embedded: Embedded, *, from_centre: bool = False) -> OneToMany:
    """Gallery: the first photo of each person with two or more. Strangers: the people with one photo.

    Where everybody has several, HALVES random halves of the people are strangers in turn. `from_centre` takes the
    gallery's mean off all vectors, as the recognizer does (shared/vision/centring.py); strangers have no part in it.
    """
    people = embedded.people
    alone = np.bincount(people)[people] == 1
    if alone.any() or len(np.unique(people)) < 4:
        return _searched(embedded, alone, from_centre)
    rng, known = np.random.default_rng(0), np.unique(people)
    halves = [np.isin(people, rng.permutation(known)[::2]) for _ in range(HALVES)]
    return _joined([_searched(embedded, strangers, from_centre) for strangers in halves])


def _searched(embedded: Embedded, stranger: NDArray[np.bool_], from_centre: bool) -> OneToMany:
    people, vectors = embedded.people, embedded.vectors
    first = np.zeros(len(people), bool)
    first[np.unique(people, return_index=True)[1]] = True
    gallery, probes = first & ~stranger, ~first & ~stranger
    if not gallery.any():
        return OneToMany(np.empty(0, np.float32), np.empty(0, np.float32), np.empty(0, bool), 0)
    if from_centre:
        vectors = _without(vectors, vectors[gallery].mean(axis=0))
    found = vectors[probes] @ vectors[gallery].T
    right = people[gallery][found.argmax(1)] == people[probes]
    strangers = (vectors[stranger] @ vectors[gallery].T).max(1)
    return OneToMany(strangers, found.max(1), right, int(gallery.sum()))


def _joined(parts: list[OneToMany]) -> OneToMany:
    return OneToMany(
        np.concatenate([part.strangers for part in parts]),
        np.concatenate([part.returning for part in parts]),
        np.concatenate([part.right for part in parts]),
        parts[0].gallery,
    )


FOLDS = 10
PAIRS_A_FOLD = 300  # of each kind, as in LFW's own protocol


def ten_fold(embedded: Embedded, seed: int = 0) -> tuple[float, float]:
    """Accuracy of "the same person?" and its standard error, as in LFW's protocol (Huang et al. 2007): people are dealt
    into ten folds; the threshold is the best of nine folds, the accuracy that of the tenth. Needs people with several
    photos in each fold, else NaN.
    """
    rng = np.random.default_rng(seed)
    folds = [_some_pairs(embedded, who, rng) for who in _dealt(embedded.people, rng)]
    if any(not len(kind) for fold in folds for kind in fold):
        return float("nan"), float("nan")
    accuracies = [_accuracy(folds[k], _best_threshold(folds[:k] + folds[k + 1 :])) for k in range(FOLDS)]
    return float(np.mean(accuracies)), float(np.std(accuracies, ddof=1) / np.sqrt(FOLDS))


Fold = tuple[Cosines, Cosines]


def _dealt(people: NDArray[np.intp], rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Photos of each fold. People with several photos are dealt first, so that each fold has some."""
    several = np.bincount(people) >= 2
    order = rng.permutation(len(several))
    order = np.concatenate([order[several[order]], order[~several[order]]])
    return [np.flatnonzero(np.isin(people, order[k::FOLDS])) for k in range(FOLDS)]


def _some_pairs(embedded: Embedded, photos: NDArray[np.intp], rng: np.random.Generator) -> Fold:
    """Cosines of up to PAIRS_A_FOLD pairs of one person and as many of two."""
    part = Embedded(embedded.vectors[photos], embedded.people[photos], 0)
    same, strangers = pairs(part)
    count = min(PAIRS_A_FOLD, len(same), len(strangers))
    return rng.permutation(same)[:count], rng.permutation(strangers)[:count]


def _best_threshold(folds: list[Fold]) -> float:
    same = np.sort(np.concatenate([fold[0] for fold in folds]))
    strangers = np.sort(np.concatenate([fold[1] for fold in folds]))
    candidates = np.concatenate([same, strangers])
    wrong = np.searchsorted(same, candidates) + len(strangers) - np.searchsorted(strangers, candidates)
    return float(candidates[wrong.argmin()])


def _accuracy(fold: Fold, threshold: float) -> float:
    same, strangers = fold
    right = int((same >= threshold).sum()) + int((strangers < threshold).sum())
    return right / (len(same) + len(strangers))
