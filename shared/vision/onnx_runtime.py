"""ONNX Runtime behind the same interface as OpenVINO's network: for NVIDIA cards, and to compare on the CPU.

The package is optional (`pip install rollcall[cuda]`). It reads ONNX files only: the mesh, which is TFLite, and our own
small networks stay with OpenVINO on the CPU; detector and embedder, nearly all of the work, move to the card.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from shared.vision.runtime import Device, Pixels

Floats = NDArray[np.float32]

PROVIDERS = {"cuda": "CUDAExecutionProvider", "onnx-cpu": "CPUExecutionProvider"}
INSTALL = "pip install rollcall[cuda]"


class MissingRuntime(Exception):
    """ONNX Runtime, or the card that it should use, is not there."""


class OnnxNetwork:
    """One model: u8 BGR pictures N×H×W×3 in, named f32 arrays out. For one thread at a time."""

    def __init__(
        self,
        path: Path,
        shape: list[int],
        device: "Device",
        threads: int,
        *,
        rgb: bool,
        mean: tuple[float, ...] = (),
        scale: float = 1.0,
        taps: tuple[str, ...] = (),
    ) -> None:
        """Parameters as in shared/vision/runtime.py; `shape` is NCHW. Raises MissingRuntime."""
        self._rgb, self._mean, self._scale = rgb, np.array(mean or 0, np.float32), np.float32(scale)
        self._session = _session(_freed(path, shape, taps), device, threads)
        self._input: str = self._session.get_inputs()[0].name
        self._names: list[str] = [output.name for output in self._session.get_outputs()]
        self._results: dict[str, Floats] = {}

    def __call__(self, pictures: "Pixels") -> dict[str, Floats]:
        """Runs a batch."""
        values = self._session.run(self._names, {self._input: self._values(pictures)})
        self._results = dict(zip(self._names, values, strict=True))
        return self._results

    def last(self, name: str) -> Floats:
        """One output of the latest run."""
        return self._results[name]

    def _values(self, pictures: "Pixels") -> Floats:
        ordered = pictures[..., ::-1] if self._rgb else pictures
        values = (ordered.astype(np.float32) - self._mean) / self._scale
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def _freed(path: Path, shape: list[int], taps: tuple[str, ...]) -> bytes:
    """The model with these input sizes (-1 where they may vary) and these inner layers as outputs."""
    import onnx  # a large package, for who uses this runtime only

    model = onnx.load(path)
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    for axis, (size, wanted) in enumerate(zip(sizes, shape, strict=True)):
        if wanted < 0:
            size.dim_param = f"axis{axis}"
        else:
            size.dim_value = wanted
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]  # sizes worked out for the old input
    model.graph.output.extend(onnx.helper.make_tensor_value_info(tap, onnx.TensorProto.FLOAT, None) for tap in taps)
    return bytes(model.SerializeToString())


def _session(model: bytes, device: "Device", threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise MissingRuntime(f"ONNX Runtime is not installed. Get it with: {INSTALL}") from None
    provider = PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise MissingRuntime(f"This ONNX Runtime has no {provider}. Get one that has it with: {INSTALL}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=[provider])
    if provider not in session.get_providers():  # it falls back to the CPU without a word
        raise MissingRuntime(f"ONNX Runtime could not start {provider}: is there an NVIDIA card with its driver?")
    return session
