"""Half precision and 8-bit files beside the network as it was trained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch
from torch import nn

from unmask.base.errors import BundleError
from unmask.model import Level, Thresholds, load_bundle
from unmask.train import compress
from unmask.train.bundle import make_bundle
from unmask.train.export import export_onnx, run_onnx
from unmask.train.network import build
from unmask.train.network_recipe import NetworkRecipe
from unmask.train.recipe import Recipe

if TYPE_CHECKING:
    from unmask.data.manifest import Manifest

pytestmark = pytest.mark.train

LEVEL = Level(kind="face", thresholds=Thresholds(likely_real=0.5, likely_fake=0.5))


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    network = {
        "weights": "none",
        "cnn": {"widths": [8, 16, 32], "convs": 2, "batch_norm": True},
        "head": {"dense": [16], "outputs": 2},
    }
    return Recipe.model_validate({"name": "small", "crop": {"size": 64}, "network": network})


@pytest.fixture(scope="module")
def graph(recipe: Recipe, data: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that has learnt to see the stripes."""
    torch.manual_seed(0)
    network = build(recipe.network, 64).train()
    crops, labels = compress.crops_of(data.select("train"), recipe.crop, 48)
    x, y = torch.from_numpy(crops).permute(0, 3, 1, 2), torch.from_numpy(labels).float()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for step in range(30):
        part = torch.randperm(len(x), generator=torch.Generator().manual_seed(step))[:24]
        loss = nn.functional.binary_cross_entropy_with_logits(network(x[part])[0], y[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    path = tmp_path_factory.mktemp("graph") / "network.onnx"
    export_onnx(network.eval(), path, 64)
    return path


def held(graph: Path, small: Path, data: Manifest, recipe: Recipe) -> compress.Held:
    crops, labels = compress.crops_of(data.select("val"), recipe.crop, 24)
    x = np.ascontiguousarray(crops.transpose(0, 3, 1, 2))
    return compress.hold(run_onnx(graph, x)[0], run_onnx(small, x)[0], labels, LEVEL)


@pytest.mark.parametrize(("export", "share"), [("half", 0.7), ("int8", 0.6)])
def test_smaller_and_nearly_the_same(
    export: compress.Export, share: float, graph: Path, data: Manifest, recipe: Recipe, tmp_path: Path
) -> None:
    small = tmp_path / "small.onnx"
    compress.compress(graph, small, export, data, recipe.crop)
    weights = sum(np.prod(tensor.dims, initial=1) * 4 for tensor in onnx.load(graph).graph.initializer)
    stored = {onnx.TensorProto.FLOAT: 4, onnx.TensorProto.FLOAT16: 2, onnx.TensorProto.INT8: 1}
    smaller = sum(
        np.prod(tensor.dims, initial=1) * stored.get(tensor.data_type, 4)
        for tensor in onnx.load(small).graph.initializer
    )
    assert smaller < share * weights
    found = held(graph, small, data, recipe)
    assert found.full_auc > 0.95
    assert found.loss <= compress.AUC_LOSS[export]
    assert 0 < found.difference < 0.1
    compress.require(found, export)
    assert "p_fake differs by" in str(found)


def test_the_head_stays_as_it_was(graph: Path, data: Manifest, recipe: Recipe, tmp_path: Path) -> None:
    small = tmp_path / "small.onnx"
    compress.compress(graph, small, "int8", data, recipe.crop)
    before, after = (onnx.load(path) for path in (graph, small))
    kept = {tensor.name: tensor for tensor in after.graph.initializer}
    dense = [tensor for tensor in before.graph.initializer if tensor.name.startswith("head.") and len(tensor.dims) == 2]
    assert dense
    assert all(kept[tensor.name].data_type == onnx.TensorProto.FLOAT for tensor in dense)
    assert any(tensor.data_type == onnx.TensorProto.INT8 for tensor in kept.values())


@pytest.mark.parametrize("pool", ["covariance", "root-covariance"])
def test_a_normalised_and_pooled_head_stays_too(pool: str, data: Manifest, recipe: Recipe, tmp_path: Path) -> None:
    """onnxruntime makes one layer of a dense one and its batch norm, under a name of its own."""
    head = {"pool": pool, "dense": [16], "batch_norm": True, "kinds": ["real/a", "fake/a", "fake/b"]}
    told = NetworkRecipe.model_validate({"weights": "none", "cnn": recipe.network.cnn.model_dump(), "head": head})
    network = build(told, 64).eval()
    nn.init.normal_(network.head.dense[-1].weight)
    export_onnx(network, tmp_path / "graph.onnx", 64)
    compress.compress(tmp_path / "graph.onnx", tmp_path / "small.onnx", "int8", data, recipe.crop)
    stored = onnx.load(tmp_path / "small.onnx").graph.initializer
    of_head = [tensor.data_type for tensor in stored if sorted(tensor.dims) in ([3, 16], [16, 32 * 33 // 2])]
    assert len(of_head) >= 2
    assert onnx.TensorProto.INT8 not in of_head
    assert onnx.TensorProto.INT8 in {tensor.data_type for tensor in stored}


OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, units):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, stride=4), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU())
        self.middle = nn.Linear(32, 24)
        self.verdict = nn.Linear(24, units)

    def forward(self, x):
        return self.verdict(torch.relu(self.middle(self.body(x).mean((2, 3)))))
"""


@pytest.mark.parametrize(("units", "layer"), [(1, None), (2, "body")])
def test_the_last_layer_of_a_users_own_network_stays(
    units: int, layer: str | None, data: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_net.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "their_net", raising=False)
    network = NetworkRecipe(module="their_net:Net", weights="none", map_layer=layer, arguments={"units": units})
    theirs = Recipe.model_validate({"name": "own", "crop": {"size": 64}, "network": network.model_dump()})
    export_onnx(build(network, 64).eval(), tmp_path / "graph.onnx", 64)
    small = tmp_path / "small.onnx"
    compress.compress(tmp_path / "graph.onnx", small, "int8", data, theirs.crop)
    stored = {tuple(tensor.dims): tensor.data_type for tensor in onnx.load(small).graph.initializer}
    float_, int8 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT8
    head = {dims: kind for dims, kind in stored.items() if sorted(dims) == [units, 24]}
    assert set(head.values()) == {float_}, stored
    assert stored[(32, 16, 3, 3)] == int8
    assert int8 in {kind for dims, kind in stored.items() if sorted(dims) == [24, 32]}
    before, after = (run_onnx(path, crops_for(data, theirs)) for path in (tmp_path / "graph.onnx", small))
    assert np.abs(before[0] - after[0]).max() < 0.05


def crops_for(data: Manifest, recipe: Recipe) -> np.ndarray:
    crops, _ = compress.crops_of(data.select("val"), recipe.crop, 8)
    return np.ascontiguousarray(crops.transpose(0, 3, 1, 2))


def test_a_file_that_lost_too_much_is_refused(graph: Path, data: Manifest, recipe: Recipe, tmp_path: Path) -> None:
    """As a network that knows nothing stands for one whose knowledge was rounded away."""
    torch.manual_seed(3)
    export_onnx(build(recipe.network, 64).eval(), tmp_path / "unlearnt.onnx", 64)
    small = tmp_path / "small.onnx"
    compress.compress(tmp_path / "unlearnt.onnx", small, "int8", data, recipe.crop)
    found = held(graph, small, data, recipe)
    assert found.loss > 0.003
    with pytest.raises(BundleError, match="loses too much"):
        compress.require(found, "int8")


@pytest.mark.parametrize(
    ("each", "words"), [(12, "validation set is too small to judge"), (40, "the half file loses too much")]
)
def test_few_crops_are_named_as_the_reason(each: int, words: str) -> None:
    """One pair in the other order: of 144 pairs it is 0.007, of 1600 two are 0.00125, and a thousandth may be lost."""
    labels = np.repeat([0, 1], each)
    full = np.concatenate([np.linspace(-2, -1, each), np.linspace(1, 2, each)])
    small = full.copy()
    small[0] = 1.001 if each == 12 else (full[each + 1] + full[each + 2]) / 2
    found = compress.hold(full, small, labels, LEVEL)
    assert found.can_judge("half") == (each == 40)
    with pytest.raises(BundleError, match=words):
        compress.require(found, "half")
    assert compress.hold(full, full, labels, LEVEL).loss == 0
    compress.require(compress.hold(full, full, labels, LEVEL), "half")


def test_the_bundle_of_a_run(graph: Path, data: Manifest, recipe: Recipe, tmp_path: Path) -> None:
    said: list[str] = []
    quarter = recipe.model_copy(update={"export": "int8"})
    sha256 = make_bundle(graph, data, quarter, tmp_path / "b.onnx", said.append)
    bundle = load_bundle(tmp_path / "b.onnx", device="cpu")
    assert bundle.sha256 == sha256
    assert "HiResCAM" in bundle.card.architecture
    assert len(said) == 1
    assert "bundle as int8: AUC" in said[0]
    assert "on 12 real and 12 fake validation crops" in said[0]
    assert "too few to find a small loss" in said[0]
    assert any(tensor.data_type == onnx.TensorProto.INT8 for tensor in onnx.load(tmp_path / "b.onnx").graph.initializer)


def test_a_bundle_that_lost_too_much_holds_full_floats(
    graph: Path, data: Manifest, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(compress.AUC_LOSS, "half", -1.0)
    said: list[str] = []
    make_bundle(graph, data, recipe, tmp_path / "b.onnx", said.append)
    assert len(said) == 1, said
    assert "the bundle holds 32-bit floats: " in said[0]
    assert said[0].count("validation crops") == 1
    kinds = {tensor.data_type for tensor in onnx.load(tmp_path / "b.onnx").graph.initializer}
    assert onnx.TensorProto.FLOAT16 not in kinds
