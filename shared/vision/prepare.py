"""Turns an int8 block-quantised ONNX file into plain f32, once. Apart from onnx_runtime.py the only module that
needs the `onnx` package.

The packaged files keep each weight as int8 plus one scale and zero point for every `block_size` numbers along an
axis (ONNX operator DequantizeLinear, opset 21), then reshape it. OpenVINO, ONNX Runtime and OpenCV each refuse
some of that. Constants that are worked out beforehand are read by all of them, with the same numbers.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from shared.vision.weights import (
    FETCH_COMMAND,
    AlteredWeight,
    MissingWeight,
    ModelSpec,
    is_right,
    sha256_of,
    write_whole,
)

QUANTIZED = "DequantizeLinear"

Constant = NDArray[Any]
Constants = dict[str, Constant]


def dequantize(
    values: NDArray[np.int8], scales: NDArray[np.float32], zeros: NDArray[np.int8], axis: int, block: int
) -> NDArray[np.float32]:
    """(value - zero) * scale, each scale serving `block` neighbours along `axis` (ONNX DequantizeLinear-21)."""
    size = values.shape[axis]
    wide_scales = np.repeat(scales, block, axis).take(np.arange(size), axis)
    wide_zeros = np.repeat(zeros, block, axis).take(np.arange(size), axis)
    centred = values.astype(np.int32) - wide_zeros.astype(np.int32)
    return centred.astype(np.float32) * wide_scales


def flatten(model: onnx.ModelProto) -> None:
    """Works out every constant DequantizeLinear and the Reshape behind it, in place."""
    graph = model.graph
    _fold(graph, QUANTIZED, _dequantized)
    _fold(graph, "Reshape", _reshaped)
    _drop_constant_inputs(graph)


def _fold(graph: onnx.GraphProto, kind: str, work_out: Callable[[onnx.NodeProto, Constants], Constant]) -> None:
    """Replaces each node of this kind that has only constants as inputs by the constant it yields."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == kind and all(name in stored for name in node.input)]
    for node in nodes:
        constants = {name: numpy_helper.to_array(stored[name]) for name in node.input}
        graph.initializer.append(numpy_helper.from_array(work_out(node, constants), node.output[0]))
        graph.node.remove(node)
    _forget_unused(graph)


def _dequantized(node: onnx.NodeProto, constants: Constants) -> Constant:
    options = {attribute.name: attribute.i for attribute in node.attribute}
    values, scales, zeros = (constants[name] for name in node.input)
    return dequantize(values, scales, zeros, options["axis"], options["block_size"])


def _reshaped(node: onnx.NodeProto, constants: Constants) -> Constant:
    values, shape = (constants[name] for name in node.input)
    return values.reshape(shape.tolist())


def _forget_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def _drop_constant_inputs(graph: onnx.GraphProto) -> None:
    # Old exporters list every weight as an input as well; runtimes then ask the caller for them.
    constants = {tensor.name for tensor in graph.initializer}
    for value in [value for value in graph.input if value.name in constants]:
        graph.input.remove(value)
    used = {name for node in graph.node for name in node.input}
    for value in [value for value in graph.input if value.name not in used]:
        graph.input.remove(value)


def prepare(spec: ModelSpec, folder: Path) -> Path:
    """Writes the f32 twin beside the original, unless it is there. Raises MissingWeight or AlteredWeight."""
    source, target = folder / spec.file_name, folder / spec.prepared_name
    if spec.prepared_sha256 is not None and is_right(target, spec.prepared_sha256):
        return target
    if not source.is_file():
        raise MissingWeight(f"The weight {source} is missing. Get it with: {FETCH_COMMAND}")
    if sha256_of(source) != spec.sha256:
        raise AlteredWeight(f"The weight {source} is damaged or altered. Delete it and run: {FETCH_COMMAND}")
    model = onnx.load(source)
    flatten(model)
    write_whole(target, model.SerializeToString(deterministic=True))
    return target
