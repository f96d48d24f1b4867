"""What a graph weighs as a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch

from unmask.train.export import export_onnx, run_onnx
from unmask.train.network import build
from unmask.train.recipe import NetworkRecipe
from unmask.train.storage import stored_once, to_half

pytestmark = pytest.mark.train

SIZE = 64


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A covariance head with a dense layer without bias: its weight makes the map and, transposed, the logit."""
    torch.manual_seed(0)
    head = {"pool": "covariance", "dense": [32], "batch_norm": True, "kinds": ["fake/a", "real/b"]}
    recipe = {"backbone": "tf_efficientnet_lite0", "weights": "none", "stride": 8, "head": head}
    network = build(NetworkRecipe.model_validate(recipe), SIZE)
    out = tmp_path_factory.mktemp("graph") / "network.onnx"
    export_onnx(network.eval(), out, SIZE)
    return out


def test_a_matrix_and_its_transpose_are_stored_once(graph: Path) -> None:
    before, once = onnx.load(graph), stored_once(onnx.load(graph))
    dense = max((tensor for tensor in before.graph.initializer if len(tensor.dims) == 2), key=lambda t: np.prod(t.dims))
    saved = len(before.SerializeToString()) - len(once.SerializeToString())
    assert saved > 0.9 * 4 * np.prod(dense.dims)
    crops = np.random.default_rng(1).integers(0, 256, (3, 3, SIZE, SIZE), dtype=np.uint8)
    for one, other in zip(run_onnx(graph, crops), run_onnx(once.SerializeToString(), crops), strict=True):
        np.testing.assert_array_equal(one, other)


def test_once_and_as_halves(graph: Path) -> None:
    half = to_half(onnx.load(graph))
    assert len(half.SerializeToString()) < 0.6 * len(stored_once(onnx.load(graph)).SerializeToString())
    crops = np.random.default_rng(1).integers(0, 256, (3, 3, SIZE, SIZE), dtype=np.uint8)
    logit, _ = run_onnx(graph, crops)
    np.testing.assert_allclose(run_onnx(half.SerializeToString(), crops)[0], logit, rtol=0.02, atol=0.02)
