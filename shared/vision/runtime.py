"""Where networks run: OpenVINO on the CPU, or ONNX Runtime on an NVIDIA card (shared/vision/onnx_runtime.py)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from shared.vision.onnx_runtime import OnnxNetwork

Precision = Literal["auto", "f32", "bf16"]
Device = Literal["cpu", "cuda", "onnx-cpu"]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """How a network runs. `auto` precision is bf16 where the CPU has instructions for it, else f32; ONNX Runtime knows
    f32 only. `onnx-cpu` is for comparing."""

    threads: int = 1
    precision: Precision = "auto"
    device: Device = "cpu"


class Runs(Protocol):
    """A network, wherever it runs: u8 BGR pictures N×H×W×3 in, named f32 arrays out. For one thread at a time."""

    def __call__(self, pictures: Pixels) -> dict[str, NDArray[np.float32]]:
        """Runs a batch. The arrays may be overwritten by the next call."""

    def last(self, name: str) -> NDArray[np.float32]:
        """One output of the latest run."""


def open_network(
    path: Path,
    shape: list[int],
    settings: RuntimeSettings,
    *,
    rgb: bool,
    mean: tuple[float, ...] = (),
    scale: float = 1.0,
    taps: tuple[str, ...] = (),
) -> Runs:
    """An ONNX file where the settings say, with the parameters of Network. Raises MissingRuntime."""
    if settings.device == "cpu":
        return Network(path, shape, settings, rgb=rgb, mean=mean, scale=scale, taps=taps)
    return OnnxNetwork(path, shape, settings.device, settings.threads, rgb=rgb, mean=mean, scale=scale, taps=taps)


def best_precision() -> Literal["f32", "bf16"]:
    """bf16 only where the CPU computes it in hardware (AMX, AVX512-BF16); elsewhere it would be emulated."""
    capabilities = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in capabilities else "f32"


class Network:
    """One compiled model: u8 BGR pictures N×H×W×3 in, named f32 arrays out. For one thread at a time."""

    def __init__(
        self,
        path: Path,
        shape: list[int],
        settings: RuntimeSettings,
        *,
        rgb: bool,
        layout: Literal["NCHW", "NHWC"] = "NCHW",
        mean: tuple[float, ...] = (),
        scale: float = 1.0,
        taps: tuple[str, ...] = (),
    ) -> None:
        """`shape` is in the model's own `layout`, with -1 where it may vary; `rgb` swaps the channels, then `mean` is
        taken off each and `scale` divides, before the first layer. `taps` are inner layers to hand out as well."""
        core = ov.Core()
        model = core.read_model(path)
        for layer in taps:
            model.add_outputs(layer)
        model.reshape(shape)
        model = _taking_pictures(model, rgb=rgb, layout=layout, mean=mean, scale=scale)
        compiled = core.compile_model(model, "CPU", _config(settings))
        # An output may have several names (the model's own among them).
        self._outputs = [(name, i) for i, output in enumerate(compiled.outputs) for name in output.get_names()]
        self._request = compiled.create_infer_request()

    def __call__(self, pictures: Pixels) -> dict[str, NDArray[np.float32]]:
        """Runs a batch. The arrays belong to the network and are overwritten by the next call."""
        self._request.set_input_tensor(ov.Tensor(np.ascontiguousarray(pictures), shared_memory=True))
        self._request.infer()
        return self._results()

    def last(self, name: str) -> NDArray[np.float32]:
        """One output of the latest run."""
        return self._results()[name]

    def _results(self) -> dict[str, NDArray[np.float32]]:
        return {name: self._request.get_output_tensor(i).data for name, i in self._outputs}


def _taking_pictures(model: ov.Model, *, rgb: bool, layout: str, mean: tuple[float, ...], scale: float) -> ov.Model:
    # Layout, type and channel order are changed inside the network, where they are fused and vectorised.
    steps = ov.preprocess.PrePostProcessor(model)
    entry = steps.input()
    entry.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    entry.model().set_layout(ov.Layout(layout))
    entry.preprocess().convert_element_type(ov.Type.f32)
    if rgb:
        entry.preprocess().reverse_channels()
    if mean:
        entry.preprocess().mean(list(mean))
    if scale != 1.0:
        entry.preprocess().scale(scale)
    return steps.build()


def _config(settings: RuntimeSettings) -> dict[str, Any]:
    precision = best_precision() if settings.precision == "auto" else settings.precision
    return {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": settings.threads,
        "PERFORMANCE_HINT": "LATENCY",
        # Several recognizers on one machine would otherwise all pin themselves to the first cores.
        "ENABLE_CPU_PINNING": False,
    }
