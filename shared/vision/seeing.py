"""The embedder, handing out the inner layer that the occlusion head reads: one run of the network serves both."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.vision.embedder import Embedder
from shared.vision.occlusion import LAYER, Occlusion, OcclusionHead
from shared.vision.runtime import Pixels, RuntimeSettings

Floats = NDArray[np.float32]


class SeeingEmbedder(Embedder):
    """Embeddings and occlusion of the same faces. For one thread at a time."""

    def __init__(self, model: Path, runtime: RuntimeSettings, *, flip: bool) -> None:
        super().__init__(model, runtime, flip=flip, taps=(LAYER,))
        self._head = OcclusionHead()

    def look(self, faces: Pixels, *, occlusion: bool = True) -> tuple[Floats, tuple[Occlusion, ...]]:
        """N×112×112×3 BGR → N×128 unit vectors, and what covers each face (empty if `occlusion` is not wanted)."""
        vectors = self(faces)
        if not occlusion:
            return vectors, ()
        # With `flip` the mirrored faces follow the plain ones; occlusion is that of the plain ones.
        return vectors, self._head(self._network.last(LAYER)[: len(faces)])
