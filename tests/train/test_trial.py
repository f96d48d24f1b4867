"""What would fail after hours is refused before anything is read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from train_support import changed

pytest.importorskip("lightning", reason="needs the extra [train]")

import torch

from unmask.base.errors import BundleError, DataError
from unmask.data.manifest import Manifest
from unmask.train import run as running
from unmask.train.network import build
from unmask.train.recipe import Recipe, load_recipe
from unmask.train.trial import _known, try_network

pytestmark = pytest.mark.train

CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, way):
        super().__init__()
        self.way, self.conv, self.dense = way, nn.Conv2d(3, 4, 3), nn.Linear(4, 1)

    def forward(self, x):
        if self.way == "one size":
            assert x.shape[-1] == 64, "made for 64"
        x = self.conv(x).relu()
        if self.way == "no counterpart":
            x = x * torch.linalg.matrix_exp(x[:, :, :3, :3]).mean()
        return self.dense(x.mean((2, 3))), x.mean(1)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "trial_net.py").write_text(CODE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "trial_net", raising=False)
    return "trial_net:Net"


def own(recipe: Recipe, module: str, way: str) -> Recipe:
    told = recipe.model_dump(mode="json") | {"crop": {"size": 64}}
    told["network"] = {"module": module, "arguments": {"way": way}, "weights": "none"}
    return Recipe.model_validate(told)


def test_a_network_that_cannot_be_exported_is_refused_before_reading(
    recipe: Recipe, data: Manifest, tmp_path: Path, module: str
) -> None:
    with pytest.raises(BundleError, match="cannot be written as ONNX"):
        running.train(own(recipe, module, "no counterpart"), data, tmp_path / "run", say=str)
    assert not (tmp_path / "run" / "cache").exists()
    assert not (tmp_path / "run" / "recipe.yaml").exists()


def test_a_network_for_one_size_is_refused_before_reading(
    recipe: Recipe, data: Manifest, tmp_path: Path, module: str
) -> None:
    told = changed(own(recipe, module, "one size"), sizes=[[0.5, 32]])
    with pytest.raises(DataError, match="does not take crops of 32 px: made for 64") as caught:
        running.train(told, data, tmp_path / "run", say=str)
    assert "schedule.sizes=[]" in caught.value.hint
    assert not (tmp_path / "run" / "cache").exists()
    network = build(told.network, 64)
    try_network(network, own(recipe, module, "one size"))
    assert all(part.training for part in network.modules())


def test_what_is_tried_leaves_the_network_as_it_was(recipe: Recipe) -> None:
    told = changed(recipe, unfreeze=[[0, "head"], [1, "all"]], sizes=[[0.5, 32]])
    network = build(told.network, 32)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    try_network(network, told)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert network.training


def test_only_networks_of_packaged_recipes_go_untried(recipe: Recipe, module: str) -> None:
    assert all(_known(load_recipe(name)) for name in ("default", "vgg16-last5", "cnn-scratch"))
    assert not _known(own(recipe, module, ""))
    assert not _known(load_recipe("resnet50-transfer", ["network.backbone=convnext_tiny"]))
