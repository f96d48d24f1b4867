"""Networks of the user's own, by dotted name."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch
from pydantic import ValidationError
from torch import nn

from unmask.base.errors import DataError
from unmask.train import freeze
from unmask.train.export import export_onnx, run_onnx
from unmask.train.network import Own, build
from unmask.train.network_recipe import NetworkRecipe

pytestmark = pytest.mark.train

SIZE = 32
CODE = """
import torch
from torch import nn
import torch.nn.functional as F

class Net(nn.Module):
    def __init__(self, units=2, pool="avg", act="relu", own_map=False, squeeze=False):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.ReLU()
        )
        self.fc1 = nn.Linear(12 if pool != "flatten" else 12 * 64, 10)
        self.bn = nn.BatchNorm1d(10)
        self.fc2 = nn.Linear(10, units)
        self.pool, self.act, self.own_map, self.squeeze = pool, act, own_map, squeeze

    def forward(self, x):
        x = self.features(x)
        if self.own_map:
            return x.mean((1, 2, 3)), x.mean(1)
        if self.pool == "avg":
            y = F.adaptive_avg_pool2d(x, 1).flatten(1)
        elif self.pool == "max":
            y = x.amax((2, 3))
        else:
            y = torch.flatten(x, 1)
        y = self.bn(self.fc1(y))
        y = F.relu(y) if self.act == "relu" else F.gelu(y)
        y = self.fc2(y)
        return y[:, 0] if self.squeeze else y

def broken():
    raise RuntimeError("no such luck")

def number():
    return 3

class Three(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))
"""


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module of the user's in the folder that the command is started in."""
    (tmp_path / "users_net.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("users_net", None)


def recipe(name: str = "Net", map_layer: str | None = None, **arguments: Any) -> NetworkRecipe:
    return NetworkRecipe(module=f"users_net:{name}", weights="none", map_layer=map_layer, arguments=arguments)


def crops(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def lively(network: Own) -> Own:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.weight, 0.5, 2.0)
    return network.eval()


@pytest.mark.parametrize("arguments", [{"units": 2}, {"units": 1}, {"units": 1, "squeeze": True}])
@pytest.mark.parametrize("pool", ["avg", "flatten"])
def test_the_map_of_a_named_layer_is_hirescam(arguments: dict[str, Any], pool: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = build(recipe(map_layer="features", pool=pool, **arguments), SIZE)
    assert isinstance(made, Own)
    network = lively(made)
    logit, evidence = network(crops(3))
    kept: list[torch.Tensor] = []
    handle = network.net.features.register_forward_hook(lambda _, __, output: kept.append(output))
    answer = network.net(crops(3).float() / 255)
    handle.remove()
    wanted = answer[:, 1] - answer[:, 0] if answer.shape[-1] == 2 else answer.reshape(-1)
    assert torch.allclose(logit, wanted, atol=1e-5)
    (slope,) = torch.autograd.grad(wanted.sum(), kept[0])
    assert torch.allclose(evidence, (kept[0] * slope).sum(1) * 64, atol=1e-4)
    assert evidence.std() > 1e-3
    # Loading trained weights later must not leave the map with the old ones.
    with torch.no_grad():
        network.net.fc2.weight.mul_(2)
        assert torch.allclose(network(crops(3))[1], 2 * evidence, atol=1e-4)
    assert export_onnx(network, tmp_path / "g.onnx", SIZE) <= 1e-4
    stored, stored_map = run_onnx(tmp_path / "g.onnx", crops(2).numpy())
    with torch.no_grad():
        logit, evidence = network(crops(2))
    assert torch.allclose(torch.from_numpy(stored), logit, atol=1e-4)
    assert torch.allclose(torch.from_numpy(stored_map), evidence, atol=1e-3)


def test_a_map_of_its_own_is_taken() -> None:
    warnings: list[str] = []
    network = build(recipe(own_map=True), SIZE, warnings.append)
    logit, evidence = network(crops(3))
    assert evidence.shape == (3, 8, 8)
    assert torch.allclose(evidence.mean((1, 2)), logit, atol=1e-6)
    assert warnings == []


def test_without_a_map_it_is_empty_and_said() -> None:
    warnings: list[str] = []
    network = build(recipe(), SIZE, warnings.append)
    logit, evidence = network.eval()(crops(3))
    assert logit.std() > 0
    assert evidence.shape == (3, 1, 1)
    assert not evidence.any()
    assert len(warnings) == 1
    assert "network.map_layer" in warnings[0]


def test_the_input_is_scaled_as_the_recipe_says() -> None:
    given = NetworkRecipe(module="users_net:Net", weights="none", mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1))
    network = build(given, SIZE).eval()
    pictures = (crops(2).float() / 255 - torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1)) / torch.tensor(
        [0.2, 0.2, 0.1]
    ).view(1, 3, 1, 1)
    answer = network.net(pictures)
    assert torch.allclose(network(crops(2))[0], answer[:, 1] - answer[:, 0], atol=1e-5)


@pytest.mark.parametrize("change", [{"pool": "max"}, {"act": "gelu"}, {"layer": "features.2"}, {"layer": "fc1"}])
def test_layers_that_cannot_explain_are_refused(change: dict[str, Any]) -> None:
    given = dict(change)
    layer = given.pop("layer", "features")
    with pytest.raises(DataError, match=r"no map can be made|no features") as caught:
        build(recipe(map_layer=layer, **given), SIZE)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "layer", "words"),
    [
        ("broken", None, "RuntimeError: no such luck"),
        ("number", None, "gives a int"),
        ("missing", None, "AttributeError"),
        ("Three", None, r"gives \(4, 3\) for 4 crops"),
        ("Net", "nowhere", "has no layer 'nowhere'"),
    ],
)
def test_what_is_no_network_is_refused(name: str, layer: str | None, words: str) -> None:
    with pytest.raises(DataError, match=words):
        build(recipe(name, layer), SIZE)


def test_modules_that_are_not_there() -> None:
    with pytest.raises(DataError, match="ModuleNotFoundError"):
        build(NetworkRecipe(module="no_such_package_of_theirs:Net", weights="none"), SIZE)
    for wrong in ({"module": "users_net"}, {"module": "users_net:Net", "head": {}}, {"arguments": {"a": 1}}):
        with pytest.raises(ValidationError):
            NetworkRecipe.model_validate({"weights": "none", **wrong})


def test_its_dense_layers_are_the_head() -> None:
    network = build(recipe(map_layer="features"), SIZE)
    freeze.apply(network, "last-1-conv")
    trained = [layer.name for layer in freeze.describe(network) if layer.trained]
    assert trained == ["net.features.2", "net.fc1", "net.bn", "net.fc2"]
    freeze.apply(network, "head")
    assert [layer.name for layer in freeze.describe(network) if layer.trained] == ["net.fc1", "net.bn", "net.fc2"]


def test_its_weights_from_a_file(tmp_path: Path) -> None:
    first = build(recipe(), SIZE)
    torch.save(first.net.state_dict(), tmp_path / "mine.pth")
    given = recipe().model_copy(update={"weights": str(tmp_path / "mine.pth")})
    again = build(given, SIZE).eval()
    assert torch.equal(again(crops(2))[0], first.eval()(crops(2))[0])


def test_training_goes_on_with_it() -> None:
    """Two steps lower the loss of a batch it can learn by heart."""
    torch.manual_seed(0)
    network = build(recipe(map_layer="features"), SIZE).train()
    labels = torch.tensor([0.0, 1.0] * 4)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(12):
        loss = nn.functional.binary_cross_entropy_with_logits(network(crops(8))[0], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert math.isfinite(losses[-1])
    assert losses[-1] < 0.8 * losses[0]
