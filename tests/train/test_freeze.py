from __future__ import annotations

import re

import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch
from torch import Tensor, nn

from unmask.base.errors import DataError
from unmask.train import freeze
from unmask.train.network import build
from unmask.train.networks.base import Network
from unmask.train.recipe import NetworkRecipe

pytestmark = pytest.mark.train


class Block(nn.Module):
    """Convolutions in another order than they are run in, and a shortcut with a convolution."""

    def __init__(self, inward: int, outward: int) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(inward, outward, 1)
        self.second = nn.Conv2d(outward, outward, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(outward)
        self.first = nn.Conv2d(inward, outward, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(outward)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.second(torch.relu(self.norm1(self.first(x)))))
        return torch.relu(inner + self.shortcut(x))


class Toy(Network):
    head_names = frozenset({"head", "bias"})
    size = 16

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(8, 1, 1)
        self.bias = nn.Parameter(torch.zeros(1))
        self.b = Block(4, 8)
        self.a = Block(3, 4)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        evidence = self.head(self.b(self.a(crops.float() / 255))).squeeze(1)
        return evidence.mean((1, 2)) + self.bias, evidence


def moved(network: Network, steps: int = 2) -> set[str]:
    """Names of the parameters and statistics that real steps change."""
    torch.manual_seed(0)
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(steps):
        crops = torch.randint(0, 256, (4, 3, network.size, network.size), dtype=torch.uint8)
        loss = nn.functional.binary_cross_entropy_with_logits(network(crops)[0], torch.tensor([0.0, 1.0] * 2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = network.state_dict()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


HEAD = {"head.weight", "head.bias", "bias"}


def of(*modules: str) -> set[str]:
    convs = {f"{m}.{p}" for m in modules if "norm" not in m for p in ("weight", "bias")}
    parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return convs | {f"{m}.{p}" for m in modules if "norm" in m for p in parts}


B_END = of("b.shortcut", "b.second", "b.norm2")
B = of("b.first", "b.norm1") | B_END


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("head", HEAD),
        ("last-1-conv", HEAD | of("b.shortcut")),
        ("last-2-convs", HEAD | B_END),
        ("last-3-convs", HEAD | B),
        ("last-4-convs", HEAD | B | of("a.shortcut")),
        ("all", HEAD | B | of("a.shortcut", "a.second", "a.norm2", "a.first", "a.norm1")),
    ],
)
def test_steps_move_what_the_spec_names_and_nothing_else(spec: str, wanted: set[str]) -> None:
    network = Toy()
    freeze.apply(network, spec)
    assert moved(network) == wanted
    described = {layer.name for layer in freeze.describe(network) if layer.trained}
    assert described == {name.rsplit(".", 1)[0] for name in wanted} - {"bias"}


def test_thawing_in_the_course_of_a_training() -> None:
    network = Toy()
    freeze.apply(network, "head")
    assert moved(network) == HEAD
    freeze.apply(network, "last-2-convs")
    assert moved(network) == HEAD | B_END
    freeze.apply(network, "all")
    assert moved(network) == set(network.state_dict())
    freeze.apply(network, "head")
    assert moved(network) == HEAD


def test_frozen_norms_use_their_statistics_in_training_mode() -> None:
    network = Toy()
    freeze.apply(network, "head")
    network.train()
    crops = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(network(crops)[0], network.eval()(crops)[0])


def test_the_layers_in_the_order_of_execution() -> None:
    layers = {layer.name: layer for layer in freeze.describe(Toy())}
    order = ["a.first", "a.norm1", "a.second", "a.norm2", "a.shortcut"]
    assert list(layers) == [*order, *(name.replace("a.", "b.") for name in order), "head"]
    assert layers["b.shortcut"].output == (8, 16, 16)
    assert layers["b.shortcut"].parameters == 4 * 8 + 8
    assert layers["head"].head
    assert layers["head"].conv
    assert not layers["b.norm1"].conv


class Reader(nn.Module):
    """Uses the weights of a layer without calling it, and has one that it never uses."""

    def __init__(self) -> None:
        super().__init__()
        self.never = nn.Linear(3, 3)
        self.out = nn.Linear(8, 8)
        self.read = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        inner = nn.functional.linear(x.movedim(1, -1), self.read.weight, self.read.bias)
        return self.out(inner).movedim(-1, 1)


class WithReader(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Sequential(Block(4, 8), Reader())


@pytest.mark.parametrize("spec", ["head", "last-1-conv", "all"])
def test_weights_that_are_read_without_a_call_have_their_place(spec: str) -> None:
    network = WithReader()
    freeze.apply(network, spec)
    order = [layer.name for layer in freeze.describe(network)]
    assert order[5:] == [
        "b.0.first",
        "b.0.norm1",
        "b.0.second",
        "b.0.norm2",
        "b.0.shortcut",
        "b.1.read",
        "b.1.out",
        "head",
    ]
    before = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    changed = moved(network)
    assert ("b.1.read.weight" in changed) == (spec != "head")
    assert {name for name in changed if name.startswith("b.1.")} == (
        set() if spec == "head" else {f"b.1.{name}.{part}" for name in ("read", "out") for part in ("weight", "bias")}
    )
    assert {name: parameter.requires_grad for name, parameter in network.named_parameters()} == before


def test_the_attention_of_swinv2() -> None:
    network = build(NetworkRecipe(backbone="swinv2_tiny_window8_256", weights="none", head={}), 128)
    named = {layer.name: layer.parameters for layer in freeze.describe(network)}
    assert sum(named.values()) == sum(parameter.numel() for parameter in network.parameters())


def test_the_default_network() -> None:
    network = build(NetworkRecipe(weights="none", fine_channels=16))
    network.size = 64
    freeze.apply(network, "last-2-convs")
    trained = [layer.name for layer in freeze.describe(network) if layer.trained]
    tail = ["blocks.6.0.conv_pwl", "blocks.6.0.bn3", "conv_head", "bn2"]
    assert trained == [*tail, "coarse_logit", "fine.0", "fine.1", "fine_logit"]


@pytest.mark.parametrize("spec", ["", "none", "last", "last-0-convs", "last--1-convs", "last-5-layers", "last-x-convs"])
def test_specs_that_say_nothing_are_refused(spec: str) -> None:
    with pytest.raises(DataError, match=re.escape(repr(spec))):
        freeze.apply(Toy(), spec)


def test_more_convolutions_than_there_are() -> None:
    with pytest.raises(DataError, match="the backbone has 6 convolutions"):
        freeze.apply(Toy(), "last-7-convs")
