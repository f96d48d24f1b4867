"""What a graph weighs as a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch
from onnx import TensorProto, helper, numpy_helper

from unmask.base.ort import make_session
from unmask.train.export import export_onnx, run_onnx
from unmask.train.network import build
from unmask.train.recipe import NetworkRecipe
from unmask.train.storage import stored_once, to_half

pytestmark = pytest.mark.train

SIZE = 64


@pytest.fixture(scope="module", params=["covariance", "root-covariance"])
def graph(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A covariance head with a dense layer without bias: its weight makes the map and, transposed, the logit."""
    torch.manual_seed(0)
    head = {"pool": request.param, "dense": [32], "batch_norm": True, "kinds": ["fake/a", "real/b"]}
    recipe = {"backbone": "tf_efficientnet_lite0", "weights": "none", "stride": 8, "head": head}
    network = build(NetworkRecipe.model_validate(recipe), SIZE)
    out = tmp_path_factory.mktemp("graph") / "network.onnx"
    export_onnx(network.eval(), out, SIZE)
    return out


def test_a_matrix_and_its_transpose_are_stored_once(graph: Path) -> None:
    model = onnx.load(graph)
    matrices = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer if len(tensor.dims) == 2]
    (dense,) = (matrix for matrix in matrices if sorted(matrix.shape) == [32, 820])
    (node,) = (one for one in model.graph.node if one.op_type == "Transpose" and "head.dense.0.weight" in one.input)
    stored = numpy_helper.from_array(dense.T.copy(), node.output[0])
    model.graph.node.remove(node)
    model.graph.initializer.append(stored)
    crops = np.random.default_rng(1).integers(0, 256, (3, 3, SIZE, SIZE), dtype=np.uint8)
    before = run_onnx(model.SerializeToString(), crops)
    size = len(model.SerializeToString())
    once = stored_once(model)
    assert size - len(once.SerializeToString()) > 0.9 * dense.nbytes
    for one, other in zip(before, run_onnx(once.SerializeToString(), crops), strict=True):
        np.testing.assert_array_equal(one, other)


def test_as_halves(graph: Path) -> None:
    half = to_half(onnx.load(graph))
    assert len(half.SerializeToString()) < 0.6 * graph.stat().st_size
    crops = np.random.default_rng(1).integers(0, 256, (3, 3, SIZE, SIZE), dtype=np.uint8)
    logit, _ = run_onnx(graph, crops)
    np.testing.assert_allclose(run_onnx(half.SerializeToString(), crops)[0], logit, rtol=0.02, atol=0.02)


def test_what_a_branch_reads_or_the_graph_gives_out_keeps_its_name() -> None:
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    branch = helper.make_graph(
        [helper.make_node("Identity", ["b"], ["inner"])],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [2, 3])],
    )
    nodes = [helper.make_node("If", ["yes"], ["chosen"], then_branch=branch, else_branch=branch)]
    names = {"a": value, "b": value.copy(), "c": value.T.copy()}
    tensors = [numpy_helper.from_array(one, name) for name, one in names.items()]
    outputs = [("chosen", [2, 3]), ("a", [2, 3]), ("b", [2, 3]), ("c", [3, 2])]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("yes", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        tensors,
    )
    model = stored_once(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    assert len(model.graph.initializer) == 1
    got = make_session(model.SerializeToString(), device="cpu").run(None, {"yes": np.array(True)})
    for one, wanted in zip(got, (value, value, value, value.T), strict=True):
        np.testing.assert_array_equal(one, wanted)
