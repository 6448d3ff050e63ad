"""What of a change of the library can be searched. Pure but for a line in the log."""

import numpy as np
import structlog
from numpy.typing import NDArray

from recognizer.codes import LONGEST
from shared.contracts.gallery import GalleryFaces, LibraryDelta

log = structlog.get_logger("screening")

SHORTEST = 0.999
"""as `nearest.SHORTEST_PROBE`: what is shorter is no embedding"""


def screened(delta: LibraryDelta, model: str, dimensions: int) -> LibraryDelta:
    """The change with those faces of `model` taken out, as removed, that are no unit vectors of so many dimensions.

    The registry refuses them, so here is a row that was damaged or written by another program. One of them must not
    keep everybody else from being recognised.
    """
    bad: list[int] = []
    blocks: list[GalleryFaces] = []
    for block in delta.faces:
        fit = _fit(block, dimensions) if block.model == model else np.ones(len(block), bool)
        if not fit.all():
            rows = list(block.rows())
            bad += [row.face_id for row, is_fit in zip(rows, fit, strict=True) if not is_fit]
            block = GalleryFaces.of(model, [row for row, is_fit in zip(rows, fit, strict=True) if is_fit])
        blocks.append(block)
    if not bad:
        return delta
    log.error("faces left out: their embeddings are damaged", faces=bad[:20], count=len(bad), revision=delta.revision)
    return delta.model_copy(update={"faces": tuple(blocks), "removed_faces": (*delta.removed_faces, *bad)})


def _fit(block: GalleryFaces, dimensions: int) -> NDArray[np.bool_]:
    """Of each face, whether it can be searched."""
    if len(block.embeddings) != 4 * dimensions * len(block):
        return np.zeros(len(block), bool)
    vectors = np.frombuffer(block.embeddings, "<f4").reshape(len(block), dimensions).astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    # Neither is true of what is not a number. The search sums in f32 and may find a vector longer by this much.
    fit: NDArray[np.bool_] = (lengths >= SHORTEST) & (lengths <= LONGEST - 1e-6)
    return fit
