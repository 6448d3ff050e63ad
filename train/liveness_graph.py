"""Joins the two MiniFASNet files and our heads in one ONNX file: half precision in the file, computed in f32."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from shared.vision.liveness import CLOSE, SIDE, VIEWS
from train.liveness_teachers import FILES

FEATURES = "features"
"""inner output, N×3840: per network, per view that it sees (the close ones, then its wide one), 640 numbers: the 128
that the network's last layer reads, and how much each of 512 maps before them varies (standard deviation)"""
EMBEDDED, MAPS = 128, 512
WIDTH = EMBEDDED + MAPS
SEEN = [[*range(len(CLOSE)), len(CLOSE) + number] for number in range(len(FILES))]
"""views of each network"""
COUNT = sum(len(seen) for seen in SEEN)
ORIGIN = (
    "Derived from MiniFASNet V2 and V1SE (Minivision, https://github.com/minivision-ai/Silent-Face-Anti-Spoofing, "
    "Apache-2.0), changed: both in one graph, weights rounded to half precision, last layer replaced by own heads."
)

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
        half = self.constant(f"{name}h", value.astype(np.float16))
        return self.add("Cast", [half], name, to=TensorProto.FLOAT)

    def add(self, kind: str, entries: list[str], out: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, entries, [out], **attributes))
        return out


def save(networks: Path, heads: Floats, file: Path) -> None:
    """`networks` has FILES; `heads` (3840) are the weights of the features. One output `live`, N×1."""
    graph = _Graph()
    views = [_view(graph, number) for number in range(VIEWS)]
    parts = [
        _embedded(graph, networks / name, f"n{number}", [views[view] for view in SEEN[number]])
        for number, name in enumerate(FILES)
    ]
    graph.add("Concat", parts, FEATURES, axis=1)
    graph.add("MatMul", [FEATURES, graph.constant("heads", heads[:, None])], "live")
    onnx.save(_model(graph), file)


def _model(graph: _Graph) -> onnx.ModelProto:
    entry = helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["n", 3, SIDE, VIEWS * SIDE])
    out = helper.make_tensor_value_info("live", TensorProto.FLOAT, ["n", 1])
    whole = helper.make_graph(graph.nodes, "liveness", [entry], [out], graph.constants, doc_string=ORIGIN)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _view(graph: _Graph, number: int) -> str:
    ends = (("from", number * SIDE), ("to", (number + 1) * SIDE), ("axis", 3))
    names = [graph.constant(f"{part}{number}", np.array([at], np.int64)) for part, at in ends]
    return graph.add("Slice", ["pictures", *names], f"view{number}")


def _embedded(graph: _Graph, file: Path, name: str, views: list[str]) -> str:
    """One run over all views, one after the other in the batch; N×(640 · views)."""
    stacked = graph.add("Concat", views, f"{name}_in", axis=0)
    out, maps = _copied(graph, onnx.load(file).graph, name, stacked)
    seen = graph.add("Concat", [out, _spread(graph, maps, name)], f"{name}_seen", axis=1)
    shape = graph.constant(f"{name}_shape", np.array([len(views), -1, WIDTH], np.int64))
    apart = graph.add("Reshape", [seen, shape], f"{name}_apart")
    beside = graph.add("Transpose", [apart], f"{name}_beside", perm=[1, 0, 2])
    flat = graph.constant(f"{name}_flat", np.array([-1, len(views) * WIDTH], np.int64))
    return graph.add("Reshape", [beside, flat], f"{name}_out")


def _spread(graph: _Graph, maps: str, name: str) -> str:
    """Standard deviation of each map."""
    mean = graph.add("GlobalAveragePool", [maps], f"{name}_mean")
    off = graph.add("Sub", [maps, mean], f"{name}_off")
    square = graph.add("Mul", [off, off], f"{name}_square")
    variance = graph.add("GlobalAveragePool", [square], f"{name}_variance")
    return graph.add("Flatten", [graph.add("Sqrt", [variance], f"{name}_sqrt")], f"{name}_spread")


def _copied(graph: _Graph, source: onnx.GraphProto, name: str, entry: str) -> tuple[str, str]:
    """All nodes of the file but its last layer, under short names. Returns what the last layer would read, and the last
    maps: what the last convolution reads."""
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in source.initializer}
    names, maps = {source.input[0].name: entry}, entry
    *nodes, _last = source.node
    for number, node in enumerate(nodes):
        out = f"{name}_{number}"
        if node.op_type == "Conv":
            maps = names[node.input[0]]
        if node.op_type == "Reshape":  # to 1×512 in the file; here the batch may be of any size
            graph.add("Flatten", [names[node.input[0]]], out)
        else:
            entries = [names.get(at) or graph.weight(f"{out}_{i}", weights[at]) for i, at in enumerate(node.input)]
            attributes = {part.name: helper.get_attribute_value(part) for part in node.attribute}
            graph.add(node.op_type, entries, out, **attributes)
        names[node.output[0]] = out
    return names[nodes[-1].output[0]], maps


def last_layer(file: Path) -> Floats:
    """128×3: what makes the logits of a MiniFASNet from the numbers that our heads read."""
    graph = onnx.load(file).graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return np.asarray(weights[graph.node[-1].input[1]], np.float32)
