"""How well a figure tells two groups apart."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def auc(high: Floats, low: Floats) -> float:
    """Chance that one of `high` gets a larger figure than one of `low`."""
    ranks = np.concatenate([high, low]).argsort(kind="stable").argsort()[: len(high)]
    return float((ranks.sum() - len(high) * (len(high) - 1) / 2) / (len(high) * len(low)))
