"""MiniFASNet V2 and V1SE (Minivision, Apache-2.0), fed as their authors do: teachers, and something to compare with."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.vision.runtime import Network, RuntimeSettings

FILES = {2.7: "2.7_80x80_MiniFASNetV2.onnx", 4.0: "4_0_0_80x80_MiniFASNetV1SE.onnx"}
SIDE = 80
LIVE = 1  # class

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


class Teachers:
    """Both networks on one face."""

    def __init__(self, folder: Path) -> None:
        runtime = RuntimeSettings(precision="f32")
        self._networks = [
            (reach, Network(folder / file, [-1, 3, SIDE, SIDE], runtime, rgb=False)) for reach, file in FILES.items()
        ]

    def __call__(self, picture: Pixels, box: Floats) -> Floats:
        """Probability of live by V2 and by V1SE."""
        return np.array([_probability(net, _crop(picture, box, reach)) for reach, net in self._networks], np.float32)


def _probability(network: Network, crop: Pixels) -> float:
    (logits,) = next(iter(network(crop[None]).values()))
    odds = np.exp(logits - logits.max())
    return float(odds[LIVE] / odds.sum())


def _crop(picture: Pixels, box: Floats, reach: float) -> Pixels:
    """The box enlarged `reach` times, or as far as the picture goes, and pushed into the picture."""
    height, width = picture.shape[:2]
    x, y, w, h = (float(value) for value in box)
    reach = min((height - 1) / h, (width - 1) / w, reach)
    left = min(max(x + w / 2 - w * reach / 2, 0), width - 1 - w * reach)
    top = min(max(y + h / 2 - h * reach / 2, 0), height - 1 - h * reach)
    cut = picture[int(top) : int(top + h * reach) + 1, int(left) : int(left + w * reach) + 1]
    return np.asarray(cv2.resize(cut, (SIDE, SIDE)), np.uint8)
