"""ONNX Runtime gives the same numbers as OpenVINO, or says what is missing."""

import sys

import numpy as np
import onnxruntime
import pytest

from shared.vision.onnx_runtime import MissingRuntime
from shared.vision.runtime import RuntimeSettings, open_network
from shared.vision.weights import Weights

FACES = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), np.uint8)
SFACE = [-1, 3, 112, 112]


def test_without_the_package_it_says_how_to_get_it(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingRuntime, match="pip install"):
        open_network(weights.find("sface"), SFACE, RuntimeSettings(device="cuda"), rgb=True)


def test_without_a_card_it_says_so(weights: Weights) -> None:
    assert "CUDAExecutionProvider" not in onnxruntime.get_available_providers(), "the tests use the build for CPUs"
    with pytest.raises(MissingRuntime, match="CUDA"):
        open_network(weights.find("sface"), SFACE, RuntimeSettings(device="cuda"), rgb=True)


@pytest.mark.parametrize(
    ("name", "shape", "size", "rgb"),
    [("sface", SFACE, (2, 112, 112), True), ("yunet", [1, 3, -1, -1], (1, 224, 320), False)],
)
def test_both_runtimes_agree(weights: Weights, name: str, shape: list[int], size: tuple[int, ...], rgb: bool) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    ours, theirs = (
        open_network(weights.find(name), shape, RuntimeSettings(precision="f32", device=device), rgb=rgb)(pictures)
        for device in ("cpu", "onnx-cpu")
    )
    assert set(theirs) <= set(ours)
    for output, values in theirs.items():
        assert values == pytest.approx(ours[output], rel=1e-2, abs=1e-2), output
