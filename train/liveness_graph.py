"""Writes a trained network as ONNX: batch norms folded into the convolutions, half precision in the file."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

if TYPE_CHECKING:
    from train.liveness import Net

SIDE = 96
Floats = NDArray[np.float32]


class _Graph:
    """Nodes and constants, in order."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weight(self, name: str, value: Floats) -> str:
        """Kept as f16, half the size; computed in f32."""
        half = self.constant(f"{name}_half", value.astype(np.float16))
        return self.add("Cast", [half], name, to=TensorProto.FLOAT)

    def add(self, kind: str, entries: list[str], out: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, entries, [out], **attributes))
        return out


def save(net: "Net", file: Path) -> None:
    """One output `live`, N×1: the sum of both logits. Batch size and no other side may vary."""
    graph = _Graph()
    seen = [*_view(graph, net.wide, "wide", _halved(graph)), *_view(graph, net.close, "close", _half(graph, SIDE))]
    hidden = graph.add(
        "Relu", [_linear(graph, net.first, "first", graph.add("Concat", seen, "seen", axis=1))], "hidden"
    )
    both = _linear(graph, net.last, "last", hidden)
    axes = graph.constant("sum_axes", np.array([1], np.int64))
    graph.add("ReduceSum", [both, axes], "live", keepdims=1)
    onnx.save(_model(graph), file)


def _model(graph: _Graph) -> onnx.ModelProto:
    entry = helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["n", 3, SIDE, 2 * SIDE])
    out = helper.make_tensor_value_info("live", TensorProto.FLOAT, ["n", 1])
    whole = helper.make_graph(graph.nodes, "liveness", [entry], [out], graph.constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _halved(graph: _Graph) -> str:
    return graph.add("AveragePool", [_half(graph, 0)], "wide_small", kernel_shape=[2, 2], strides=[2, 2])


def _half(graph: _Graph, start: int) -> str:
    ends = (("from", start), ("to", start + SIDE), ("axis", 3))
    names = [graph.constant(f"{part}_{start}", np.array([at], np.int64)) for part, at in ends]
    return graph.add("Slice", ["pictures", *names], f"view_{start}")


def _view(graph: _Graph, stack: nn.Sequential, name: str, at: str) -> list[str]:
    layers = list(stack)
    for i in range(0, len(layers), 3):
        at = _convolution(graph, layers[i], layers[i + 1], f"{name}{i // 3}", at)
    mean = graph.add("GlobalAveragePool", [at], f"{name}_mean4")
    most = graph.add("GlobalMaxPool", [at], f"{name}_most4")
    return [graph.add("Flatten", [mean], f"{name}_mean"), graph.add("Flatten", [most], f"{name}_most")]


def _convolution(graph: _Graph, conv: nn.Module, norm: nn.Module, name: str, entry: str) -> str:
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None and norm.running_mean is not None
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
    weight = graph.weight(f"{name}_w", (conv.weight * scale[:, None, None, None]).detach().numpy())
    bias = graph.weight(f"{name}_b", (norm.bias - norm.running_mean * scale).detach().numpy())
    out = graph.add("Conv", [entry, weight, bias], f"{name}_c", strides=list(conv.stride), pads=[1, 1, 1, 1])
    return graph.add("Relu", [out], f"{name}_r")


def _linear(graph: _Graph, layer: nn.Linear, name: str, entry: str) -> str:
    weight = graph.weight(f"{name}_w", layer.weight.detach().numpy())
    bias = graph.weight(f"{name}_b", layer.bias.detach().numpy())
    return graph.add("Gemm", [entry, weight, bias], name, transB=1)
