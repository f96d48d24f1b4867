"""Several processes that share each batch learn what one learns."""

from __future__ import annotations

from pathlib import Path

import pytest

from train_support import changed, command, table_of

pytest.importorskip("lightning", reason="needs the extra [train]")

import torch

from unmask.data.manifest import Manifest
from unmask.train.metrics import ValidationRows
from unmask.train.module import DetectorModule
from unmask.train.network import build
from unmask.train.recipe import Recipe

pytestmark = pytest.mark.train


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(recipe: Recipe, data: Manifest, tmp_path: Path) -> None:
    """The loss of every step, and of a validation after it, while layers are thawed on the way.

    Batch norms are frozen (each process would use the statistics of its own half), there is no dropout, and the order
    is a function of the seed.
    """
    alike = changed(recipe, "network", head={"input_dropout": 0.0})
    alike = changed(
        alike, samples=64, epoch_samples=8, lr=0.03, freeze_norms=True, unfreeze=[[0, "head"], [0.5, "all"]]
    )
    tables = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        out.mkdir()
        with command(changed(alike, processes=processes), data, out / "run", "--workers", "0") as process:
            _, said = process.communicate(timeout=900)
        assert process.returncode == 0 or "do not rise" in said, said
        tables.append(table_of(out / "run"))
    assert [row["step"] for row in tables[0]] == list(range(1, 9))
    assert len({row["train_loss"] for row in tables[0]}) == 8
    for one, two in zip(*tables, strict=True):
        for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr"):
            assert two[name] == pytest.approx(one[name], abs=1e-4), (name, one["step"])


def test_synchronised_norms_keep_activations_and_weights() -> None:
    """On GPUs batch norms are exchanged for such as share their statistics: nothing else may change."""
    from unmask.train.network_recipe import NetworkRecipe

    told = Recipe(name="tiny", network=NetworkRecipe(weights="none", fine_channels=16))
    rows = ValidationRows([0, 1], ["a", "a"], ["none", "swap"], ["1", "2"])
    torch.manual_seed(0)
    network = build(told.network, 64).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.2)
    crops = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        before = network(crops)
        module = DetectorModule(network, told, rows, lambda *_: None, epoch=2, sync=True).eval()
        kinds = {type(part) for part in module.network.modules()}
        assert torch.nn.BatchNorm2d not in kinds
        assert any(issubclass(kind, torch.nn.SyncBatchNorm) for kind in kinds)
        for one, two, three in zip(before, module.network(crops), module.ema(crops), strict=True):
            assert torch.equal(one, two)
            assert torch.equal(one, three)
    assert list(module.ema.state_dict()) == list(module.network.state_dict())
    assert not any(isinstance(part, torch.nn.SyncBatchNorm) for part in module.ema.modules()), "it is exported"
