"""MiniFASNet V2 and V1SE (Minivision, Apache-2.0), fed as their authors do: what we start from, and compare with."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.vision.liveness import SIDE, WIDE, wide
from shared.vision.runtime import Network, RuntimeSettings

FILES = ("2.7_80x80_MiniFASNetV2.onnx", "4_0_0_80x80_MiniFASNetV1SE.onnx")
"""in the order of WIDE, the reach that each was trained with"""
LIVE = 1  # class

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


class Teachers:
    """Both networks on one face."""

    def __init__(self, folder: Path) -> None:
        runtime = RuntimeSettings(precision="f32")
        self._networks = [Network(folder / file, [-1, 3, SIDE, SIDE], runtime, rgb=False) for file in FILES]

    def __call__(self, picture: Pixels, box: Floats) -> Floats:
        """Probability of live by V2 and by V1SE."""
        pairs = zip(self._networks, WIDE, strict=True)
        return np.array([_probability(net, wide(picture, box, reach)) for net, reach in pairs], np.float32)


def _probability(network: Network, crop: Pixels) -> float:
    (logits,) = next(iter(network(crop[None]).values()))
    odds = np.exp(logits - logits.max())
    return float(odds[LIVE] / odds.sum())
