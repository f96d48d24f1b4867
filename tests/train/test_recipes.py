"""Every packaged recipe: what it trains, and that real steps move that and nothing else."""

from __future__ import annotations

import pytest

from train_support import OURS

pytest.importorskip("torch", reason="needs the extra [train]")

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from unmask.train import freeze
from unmask.train.network import Network, build
from unmask.train.recipe import Recipe, load_recipe, packaged_recipes

pytestmark = pytest.mark.train

ALL = "all"

INCEPTION_LAST_8 = [
    f"Mixed_7c.{name}.conv"
    for name in (
        "branch3x3_1",
        "branch3x3_2a",
        "branch3x3_2b",
        "branch3x3dbl_1",
        "branch3x3dbl_2",
        "branch3x3dbl_3a",
        "branch3x3dbl_3b",
        "branch_pool",
    )
]
MIXED_7B = [name.replace("7c", "7b") for name in ["Mixed_7c.branch1x1.conv", *INCEPTION_LAST_8]]
BOTTLENECK = ["conv1", "conv2", "conv3"]
LAYER4 = [
    *(f"layer4.0.{name}" for name in [*BOTTLENECK, "downsample.0"]),
    *(f"layer4.{block}.{name}" for block in (1, 2) for name in BOTTLENECK),
]

# Recipe -> for each moment of its training the convolutions that are trained then, in the order in which they run.
STAGES: dict[str, list[list[str] | str]] = {
    "cnn-scratch": [ALL],
    "inception-resnet-v2-dlib128": [ALL],
    "inception-resnet-v2-dlib128-val15": [ALL],
    "inceptionv3-dense": [[], [*MIXED_7B, "Mixed_7c.branch1x1.conv", *INCEPTION_LAST_8]],
    "inceptionv3-last8": [INCEPTION_LAST_8],
    "resnet50-last14": [["layer3.4.conv3", *(f"layer3.5.{name}" for name in BOTTLENECK), *LAYER4]],
    "resnet50-transfer": [[], LAYER4],
    "vgg16-last5": [[f"features.{place}" for place in (19, 21, 24, 26, 28)]],
    "vgg19-last8": [[f"features.{place}" for place in (19, 21, 23, 25, 28, 30, 32, 34)]],
}


def test_every_tutorial_has_its_recipe() -> None:
    assert set(STAGES) == set(packaged_recipes()) - OURS


def small(name: str) -> tuple[Recipe, Network]:
    """The recipe's network for small crops, from random weights."""
    size = 128 if name.startswith("inception") else 64
    recipe = load_recipe(name, ["network.weights=none", f"crop.size={size}"])
    torch.manual_seed(0)
    return recipe, build(recipe.network, size)


def moments(recipe: Recipe) -> list[str]:
    return [what for _, what in recipe.schedule.unfreeze] or ["all"]


def trained_convs(network: Network) -> list[str]:
    layers = freeze.describe(network)
    return [layer.name.removeprefix("backbone.net.") for layer in layers if layer.conv and layer.trained]


@pytest.mark.parametrize("name", sorted(STAGES))
def test_what_is_trained_and_that_steps_move_nothing_else(name: str) -> None:
    recipe, network = small(name)
    assert len(moments(recipe)) == len(STAGES[name])
    crops = torch.randint(0, 256, (4, 3, network.size, network.size), dtype=torch.uint8)
    for spec, wanted in zip(moments(recipe), STAGES[name], strict=True):
        freeze.apply(network, spec)
        convs = trained_convs(network)
        everything = [layer.name.removeprefix("backbone.net.") for layer in freeze.describe(network) if layer.conv]
        assert convs == (everything if wanted == ALL else wanted)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        # A large rate: even a tiny gradient then moves a weight by more than rounding.
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        network.train()
        for _ in range(2):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(network(crops)[0], torch.tensor([0.0, 1.0] * 2)).backward()
            optimizer.step()
        after = network.state_dict()
        moved = {key for key, value in before.items() if not torch.equal(value, after[key])}
        assert moved == should_move(network, wanted)


def should_move(network: Network, wanted: list[str] | str) -> set[str]:
    """From the lists above and the order of execution, without asking what ``freeze`` has set."""
    order = [name for name, _ in freeze.execution_order(network)]
    if wanted == ALL:
        chosen = set(order)
    else:
        first = order.index(f"backbone.net.{wanted[0]}") if wanted else len(order)
        chosen = {name for place, name in enumerate(order) if place >= first or name.startswith("head.")}
    keys = set()
    for name in chosen:
        module = network.get_submodule(name)
        keys.update(f"{name}.{key}" for key, _ in module.named_parameters(recurse=False))
        if isinstance(module, _NormBase):
            keys.update(f"{name}.{key}" for key, _ in module.named_buffers(recurse=False))
    return keys
