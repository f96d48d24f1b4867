"""Backbones of every layout under every kind of head: first loss, evidence map, exported graph."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch
from torch import Tensor, nn

from unmask.base.errors import DataError
from unmask.train.bundle import in_words
from unmask.train.export import export_onnx, run_onnx
from unmask.train.network import Classifier, build
from unmask.train.network_recipe import NetworkRecipe
from unmask.train.networks.head import Head
from unmask.train.networks.pooling import ROOT_STEPS, Covariance, RootCovariance

pytestmark = pytest.mark.train

SIZE = 64
DENSE = {"dense": [24, 16], "batch_norm": True, "dropout": 0.3, "input_dropout": 0.2}
FAMILIES: dict[str, dict[str, Any]] = {
    "linear on N×C×h×w": {"backbone": "resnet18", "head": {}},
    "two units, flattened, deep": {"backbone": "vgg11", "head": {"pool": "flatten", "outputs": 2, **DENSE}},
    "same padding, two units": {"backbone": "tf_efficientnet_lite0", "head": {"outputs": 2}},
    "dense on N×h×w×C": {"backbone": "mambaout_femto", "head": DENSE},
    "dense on patch tokens": {"backbone": "vit_tiny_patch16_224", "head": {"dense": [16], "outputs": 2}},
    "covariance of middle features": {"backbone": "mobilenetv2_050", "stride": 16, "head": {"pool": "covariance"}},
    "covariance, deep, kinds": {
        "backbone": "tf_efficientnet_lite0",
        "stride": 8,
        "head": {"pool": "covariance", "kinds": ["real/a", "fake/a/x", "real/b", "fake/b", "fake/self-blend"], **DENSE},
    },
    "root, deep, kinds": {
        "backbone": "tf_efficientnet_lite0",
        "stride": 16,
        "head": {"pool": "root-covariance", "kinds": ["real/a", "fake/a/x", "real/b", "fake/b"], **DENSE},
    },
    "plain": {"cnn": {"widths": [8, 12], "convs": 2, "batch_norm": True}, "head": {"pool": "flatten", "dense": [8]}},
}


def crops(count: int, size: int = SIZE) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, (count, 3, size, size), dtype=np.uint8))


def as_trained(network: nn.Module) -> None:
    """Statistics, normalisations and the output as far from their start as training brings them."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.running_mean, std=0.2)
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d) and module.affine:
            nn.init.uniform_(module.weight, 0.7, 1.4)
            nn.init.normal_(module.bias, std=0.1)
    for module in network.modules():
        if isinstance(module, RootCovariance):
            nn.init.uniform_(module.norm.running_var, 0.01, 0.05)  # a root's values vary less than a covariance's


def around(maps: Tensor, reach: int = 2) -> Tensor:
    """Each place the mean of those around it, all moved alike so that the map's mean stays."""
    soft = torch.zeros_like(maps)
    for y in range(maps.shape[1]):
        for x in range(maps.shape[2]):
            square = maps[:, max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
            soft[:, y, x] = square.mean((1, 2))
    return soft + (maps - soft).mean((1, 2), keepdim=True)


def shares_of_the_root(head: Head, features: Tensor) -> Tensor:
    """What each place adds to the root (covariance · inverse root), times the logit's slope on it."""
    pool = head.pool
    pooled = pool(features).detach().requires_grad_()
    (slope,) = torch.autograd.grad(head.logit(head.units(pooled)[0]).sum(), pooled)
    slope = slope / torch.sqrt(pool.norm.running_var + pool.norm.eps)
    count, channels, high, wide = features.shape
    maps = torch.zeros(count, high, wide)
    rows, columns = torch.triu_indices(channels, channels)
    for n in range(count):
        flat = features[n].detach().flatten(1).double()
        flat = flat - flat.mean(1, keepdim=True)
        covariance = flat @ flat.T / flat.shape[1]
        trace = covariance.trace()
        inverse, root = torch.eye(channels).double(), covariance / trace
        for _ in range(ROOT_STEPS):
            step = 1.5 * torch.eye(channels) - 0.5 * inverse @ root
            root, inverse = root @ step, step @ inverse
        for place in range(flat.shape[1]):
            share = torch.outer(flat[:, place], flat[:, place]) / trace @ inverse * channels**0.5
            share = (share + share.T) / 2
            maps[n, place // wide, place % wide] = (share[rows, columns] * slope[n]).sum()
    return maps


@pytest.fixture(scope="module", params=list(FAMILIES))
def network(request: pytest.FixtureRequest) -> Classifier:
    torch.manual_seed(0)
    made = build(NetworkRecipe.model_validate({"weights": "none", "drop_path": 0, **FAMILIES[request.param]}), SIZE)
    assert isinstance(made, Classifier)
    return made


def test_it_starts_undecided(network: Classifier) -> None:
    labels = torch.tensor([0.0, 1.0] * 4)
    with torch.no_grad():
        for mode in (True, False):
            logit, beside = network.train(mode)(crops(8))
            assert logit.shape == (8,)
            assert beside.shape[1:] == ((network.head.kinds,) if mode else network.backbone.shape[1:])
            loss = nn.functional.binary_cross_entropy_with_logits(logit, labels)
            assert loss.item() == pytest.approx(math.log(2), abs=0.01)


def test_the_map_is_what_it_says_and_the_graph_agrees(network: Classifier, tmp_path: Path) -> None:
    as_trained(network)
    nn.init.normal_(network.head.dense[-1].weight, std=0.3)
    nn.init.constant_(network.head.dense[-1].bias, -0.3)
    network.eval()
    features = network.backbone(network.scale(crops(3))).detach().requires_grad_()
    logit, evidence = network.head(features)
    (slope,) = torch.autograd.grad(logit.sum(), features)
    places = features.shape[2] * features.shape[3]
    if isinstance(network.head.pool, RootCovariance):
        wanted = around(shares_of_the_root(network.head, features))
    elif isinstance(network.head.pool, Covariance):
        # Of degree two in what differs from the mean: half of it, or the places would add up to twice the whole.
        sharp = ((features - features.mean((2, 3), keepdim=True)) * slope).sum(1) * places / 2
        wanted = around(sharp)
    else:
        wanted = (features * slope).sum(1) * places
    scale = max(1.0, float(wanted.detach().abs().max()))
    assert float((evidence - wanted).abs().max()) <= 1e-4 * scale
    assert wanted.std() > 1e-3
    if len(network.head.dense) == 1 and not isinstance(network.head.pool, Covariance):
        bias = network.head.dense[0].bias
        assert torch.allclose(
            evidence.mean((1, 2)) + (bias[-1] - bias[0] if len(bias) == 2 else bias), logit, atol=1e-4
        )

    assert export_onnx(network, tmp_path / "g.onnx", SIZE) <= 1e-4 * max(1.0, float(logit.abs().max()))
    for count in (1, 3):
        stored, stored_map = run_onnx(tmp_path / "g.onnx", crops(count).numpy())
        with torch.no_grad():
            wanted_logit, wanted_map = network(crops(count))
        np.testing.assert_allclose(stored, wanted_logit.numpy(), atol=1e-4 * scale)
        np.testing.assert_allclose(stored_map, wanted_map.numpy(), atol=1e-3 * scale)


def test_a_root_is_the_root_and_knows_no_scale() -> None:
    torch.manual_seed(0)
    pool = RootCovariance(4).eval()
    features = torch.rand(3, 4, 30, 30) + 0.5 * torch.rand(3, 1, 30, 30)
    covariance = np.stack([np.cov(one.flatten(1).numpy(), bias=True) for one in features])
    root = torch.zeros(3, 4, 4)
    rows, columns = torch.triu_indices(4, 4)
    root[:, rows, columns] = root[:, columns, rows] = pool(features)
    squared = (root @ root).numpy()
    wanted = covariance / (np.trace(covariance, axis1=1, axis2=2)[:, None, None] / 4)
    # The steps reach directions of this strength.
    assert np.abs(squared - wanted).max() < 2e-3
    assert np.abs(wanted[:, 0, 1]).min() > 0.01
    assert torch.allclose(pool(features * 3 + 1), pool(features), atol=1e-4)
    flat = torch.ones(2, 4, 30, 30)
    assert torch.equal(pool(flat), torch.zeros_like(pool(flat)))
    assert torch.equal(pool.spread(flat, torch.ones(1, pool.width)), torch.zeros(2, 30, 30))


def test_a_weak_direction_is_raised_as_five_steps_raise_it() -> None:
    pool = RootCovariance(2).eval()
    strong = torch.tensor([1.0, 1.0, -1.0, -1.0]) * math.sqrt(0.999)
    weak = torch.tensor([1.0, -1.0, 1.0, -1.0]) * math.sqrt(0.001)
    matrix = pool(torch.stack([strong, weak]).reshape(1, 2, 2, 2))[0] / math.sqrt(2) * math.sqrt(1 + 1e-5)
    y, z = 0.001, 1.0
    for _ in range(5):
        step = 1.5 - 0.5 * y * z
        y, z = y * step, z * step
    assert y == pytest.approx(0.0075, abs=1e-4), "not 0.0316, the root: weights are made for five steps"
    assert matrix.tolist() == pytest.approx([math.sqrt(0.999), 0, y], abs=1e-4)


@pytest.mark.parametrize(
    ("pool", "pooling", "shown"),
    [
        ("avg", "average pooling", "class-activation map"),
        ("covariance", "covariance pooling", "local covariance"),
        ("root-covariance", "pooling by the root of the covariance", "local covariance"),
    ],
)
def test_a_head_in_words(pool: str, pooling: str, shown: str) -> None:
    recipe = NetworkRecipe.model_validate({"backbone": "resnet18", "stride": 16, "head": {"pool": pool}})
    assert in_words(recipe) == f"resnet18 up to stride 16; {pooling}; dense 1; evidence map: {shown}"


@pytest.mark.parametrize("pool", [Covariance(6), RootCovariance(6)], ids=["covariance", "root"])
def test_halves_around_do_not_reach_the_pooling(pool: Covariance) -> None:
    torch.manual_seed(0)
    features, slope = torch.rand(2, 6, 8, 8), torch.randn(1, 21)
    wanted, spread = pool.eval()(features), pool.spread(features, slope)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(pool(features), wanted)
        assert torch.equal(pool.spread(features, slope), spread)


@pytest.mark.parametrize("pool", ["covariance", "root-covariance"])
def test_covariance_map_and_bias_are_the_logit_of_a_linear_head(pool: str) -> None:
    torch.manual_seed(0)
    recipe = {"weights": "none", "stride": 16, "head": {"pool": pool}}
    network = build(NetworkRecipe.model_validate(recipe), SIZE).eval()
    norm = network.head.pool.norm
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    nn.init.normal_(norm.running_mean, std=0.2)
    nn.init.normal_(network.head.dense[0].weight, std=0.3)
    with torch.no_grad():
        logit, evidence = network(crops(5))
        empty = network.head.dense[0](norm(torch.zeros(1, network.head.pool.width)))[0, 0]
    assert logit.std() > 1e-3
    assert torch.allclose(evidence.mean((1, 2)) + empty, logit, atol=1e-4)


def test_features_are_cut_at_their_stride() -> None:
    made = build(NetworkRecipe(backbone="resnet18", weights="none", stride=8, head={}), SIZE)
    assert made.backbone.shape == (128, 8, 8)
    whole = build(NetworkRecipe(backbone="resnet18", weights="none", head={}), SIZE)
    assert set(made.backbone.state_dict()) < set(whole.backbone.state_dict()), "the same names, so weights fit"
    made.backbone.load_state_dict({key: whole.backbone.state_dict()[key] for key in made.backbone.state_dict()})
    picture = torch.rand(1, 3, SIZE, SIZE)
    with torch.no_grad():
        wanted = whole.eval().backbone.net.forward_intermediates(picture, indices=[2], intermediates_only=True)[0]
        assert torch.equal(made.eval().backbone(picture), wanted)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"backbone": "resnet18", "stride": 7, "head": {}}, "no features of stride 7"),
        ({"backbone": "resnet18", "stride": 32, "head": {}}, "1×1 places"),
        ({"backbone": "resnet50", "stride": 16, "head": {"pool": "covariance"}}, "1024 channels has 524,800 values"),
    ],
)
def test_what_cannot_be_cut_or_paired_is_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        build(NetworkRecipe.model_validate({"weights": "none", **told}), 32)
    assert "network.stride" in str(caught.value.hint) or "crop.size" in str(caught.value.hint)


@pytest.mark.parametrize(("backbone", "layout"), [("mambaout_femto", "NHWC"), ("vit_tiny_patch16_224", "tokens")])
def test_layouts_are_recognised(backbone: str, layout: str) -> None:
    made = build(NetworkRecipe(backbone=backbone, weights="none", head={}), 96)
    assert made.backbone.layout == layout
    with torch.no_grad():
        assert made.backbone(torch.zeros(2, 3, 96, 96)).shape == (2, *made.backbone.shape)


@pytest.mark.parametrize(
    ("backbone", "size", "words"),
    [
        ("pit_ti_224", 64, "no square of patches"),
        ("crossvit_tiny_240", 240, "several results"),
        ("resnet18", 32, "too few for an evidence map"),
        ("no_such_network", 64, "timm has no network"),
        ("inception_v3", 64, "cannot be used with crops of 64 px"),
    ],
)
def test_backbones_without_places_are_refused_at_the_start(backbone: str, size: int, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        build(NetworkRecipe(backbone=backbone, weights="none", head={}), size)
    assert caught.value.hint


def test_vgg_is_cut_at_its_convolutional_base() -> None:
    made = build(NetworkRecipe(backbone="vgg16", weights="none", head={}), SIZE)
    assert sum(p.numel() for p in made.backbone.parameters()) == 14_714_688  # as Keras counts it with include_top=False


def test_layers_whose_weights_are_used_without_calling_them_stay() -> None:
    from unmask.train.networks.backbone import Backbone

    backbone = Backbone("swinv2_tiny_window8_256", 128)
    assert backbone.eval()(torch.rand(1, 3, 128, 128)).shape == (1, 768, 4, 4)
    assert sum(parameter.numel() for parameter in Backbone("vgg16", 64).parameters()) == 14_714_688
