"""SFace: 128 numbers for a face; the cosine of two faces says how likely they are one person."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.vision.runtime import Pixels, RuntimeSettings, open_network

DIMENSIONS = 128

# Changes whenever the same photo would give other numbers: embeddings of two versions are never compared.
# 2: the mesh looks twice at faces that lean by more than 10° (mesh.py), and they are aligned by the second look.
PREPROCESSING = 2


class Embedder:
    """N aligned faces in, N unit vectors out. For one thread at a time."""

    def __init__(self, model: Path, runtime: RuntimeSettings, *, flip: bool, taps: tuple[str, ...] = ()) -> None:
        """`flip`: add the embedding of the mirrored face, which costs the same again and errs less. `taps`: inner
        layers that a subclass reads."""
        self._network = open_network(model, [-1, 3, 112, 112], runtime, rgb=True, taps=taps)
        self._flip = flip

    @property
    def model_id(self) -> str:
        """Stored with every embedding."""
        return model_id(flip=self._flip)

    def __call__(self, faces: Pixels) -> NDArray[np.float32]:
        """N×112×112×3 BGR → N×128 f32, each of length 1."""
        if not len(faces):
            return np.empty((0, DIMENSIONS), np.float32)
        if not self._flip:
            return _unit(self._network(faces)["fc1"])
        both = self._network(np.concatenate([faces, faces[:, :, ::-1]]))["fc1"]
        return _unit(_unit(both[: len(faces)]) + _unit(both[len(faces) :]))


def model_id(*, flip: bool) -> str:
    """Name of the numbers: model, preprocessing version, and whether the mirrored face is in them."""
    return f"sface-2021dec/{PREPROCESSING}{'+flip' if flip else ''}"


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(lengths, np.float32(1e-12))
    return unit
