"""How long, how fast and which layers: measured on runs, not on the code that says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from train_support import Watch, changed, table_of

pytest.importorskip("lightning", reason="needs the extra [train]")

import torch

from unmask.base.errors import UsageError
from unmask.data.manifest import Manifest
from unmask.train import freeze
from unmask.train.metrics import ValidationRows
from unmask.train.module import DetectorModule
from unmask.train.network import build
from unmask.train.recipe import Recipe, load_recipe

pytestmark = pytest.mark.train

NOBODY = ValidationRows([0, 1], ["a", "a"], ["none", "swap"], ["1", "2"])


def module_of(recipe: Recipe, **options: Any) -> DetectorModule:
    return DetectorModule(build(recipe.network, recipe.crop.size), recipe, NOBODY, lambda *_: None, epoch=48, **options)


def rates(recipe: Recipe, drops: int = 0) -> list[float]:
    module = module_of(recipe)
    module._drops = drops
    return [module.learning_rate(part / 10) / recipe.schedule.lr for part in range(11)]


def test_learning_rates(recipe: Recipe) -> None:
    cosine = rates(changed(recipe, warmup=0.2, final_lr=0.1))
    assert cosine[:3] == pytest.approx([0.02, 0.5, 1.0])
    assert cosine[6] == pytest.approx(0.55)
    assert cosine[-1] == pytest.approx(0.1)
    assert rates(changed(recipe, lr_schedule="constant")) == [1.0] * 11
    assert rates(changed(recipe, lr_schedule="plateau", lr_factor=0.5, final_lr=0.01), drops=2) == [0.25] * 11
    assert rates(changed(recipe, lr_schedule="step", lr_factor=0.1, final_lr=0.01), drops=5) == [0.01] * 11


def test_plateau_and_early_stopping(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    """Nothing moves, so that no validation is better than the first."""
    still = changed(recipe, samples=400, epoch_samples=8, lr=1e-12, freeze_norms=True)
    still = changed(still, lr_schedule="plateau", lr_patience=2, lr_factor=0.5, patience=5, monitor="val_loss")
    losses = watch(still, data, tmp_path / "run")
    assert max(losses) == 6
    assert [row["lr"] for row in table_of(tmp_path / "run")] == pytest.approx([1e-12] * 3 + [5e-13] * 2 + [2.5e-13])


def test_steps_of_the_rate(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    told = changed(recipe, epochs=5, lr_schedule="step", lr_every=2, lr_factor=0.1, lr=1e-3, final_lr=0.0)
    watch(told, data, tmp_path / "run")
    assert [row["lr"] for row in table_of(tmp_path / "run")] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5])
    assert [row["epoch"] for row in table_of(tmp_path / "run")] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_other_optimizers_learn(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch, name: str) -> None:
    told = changed(recipe, samples=240, optimizer=name, lr=0.05 if name == "sgd" else 5e-3, clip=1.0)
    values = list(watch(told, data, tmp_path / "run").values())
    assert np.mean(values[-8:]) < np.mean(values[:4])


@pytest.mark.parametrize("clip", [0.0, 0.5])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped_in_every_precision(
    recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch, precision: str, clip: float
) -> None:
    told = changed(recipe, precision=precision, clip=clip)
    losses = list(watch(told, data, tmp_path / "run").values())
    assert len(losses) == 6
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_lightning_may_clip_what_the_optimizer_is(recipe: Recipe, optimizer: str) -> None:
    """In mixed precision it refuses an optimizer that unscales the gradients itself; half floats need a GPU to run."""
    for precision in ("32-true", "bf16-mixed", "16-mixed"):
        made = module_of(changed(recipe, optimizer=optimizer, precision=precision, clip=1.0)).configure_optimizers()
        assert precision == "32-true" or not getattr(made, "_step_supports_amp_scaling", False)


def test_the_best_is_chosen_by_what_is_monitored(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    told = changed(recipe, epochs=6, monitor="val_loss")
    watch(told, data, tmp_path / "run")
    rows = table_of(tmp_path / "run")
    best = min(rows, key=lambda row: row["val_loss"])
    assert [row for row in rows if row["improved"]][-1] is best
    assert torch.load(tmp_path / "run" / "best.pt", weights_only=True)["step"] == best["step"]


def test_without_an_average_the_weights_themselves_are_kept(
    recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch
) -> None:
    watch(changed(recipe, ema=0.0), data, tmp_path / "run")
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]
    own = [key for key in state if key.startswith("network.")]
    assert own
    assert all(torch.equal(state[key], state["ema." + key.removeprefix("network.")]) for key in own)


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """First two parts of the names of what differs."""
    changed_keys = [key for key, value in after.items() if not torch.equal(value, before[key])]
    return {".".join(key.split(".")[:-1]) for key in changed_keys}


def test_layers_are_thawed_one_after_the_other(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    """Head, last convolution, everything: what is frozen keeps its weights and its statistics to the bit."""
    told = changed(recipe, epochs=3, ema=0.0, unfreeze=[[0, "head"], [1, "last-1-convs"], [2, "all"]], patience=0)
    states = [build(told.network, told.crop.size).state_dict()]
    torch.manual_seed(0)
    out = tmp_path / "run"
    for stop in (7, 13, None):
        watch(told, data, out, break_at=stop, resume=out.exists())
        state = torch.load(out / "last.ckpt", weights_only=True)["state_dict"]
        states.append({key.removeprefix("network."): v for key, v in state.items() if key.startswith("network.")})
    layers = {".".join(key.split(".")[:-1]) for key in states[0]}
    network = build(told.network, told.crop.size)
    head = {name for name in layers if freeze.is_head(network, name)}
    second, third = moved(states[1], states[2]), moved(states[2], states[3])
    assert head <= second < layers, "the last convolution and its batch norm with the head"
    assert len(second - head) == 2
    assert third == layers - {""}, "all but mean and standard deviation of the pixels"


def test_frozen_norms_keep_their_statistics(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    watch(changed(recipe, freeze_norms=True, ema=0.0), data, tmp_path / "run")
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]
    means = [value for key, value in state.items() if key.endswith("running_mean")]
    assert means
    assert all(bool((value == 0).all()) for value in means)


def test_weights_of_the_labels_reach_the_loss(recipe: Recipe) -> None:
    told = changed(changed(recipe, smoothing=0.0), "network", head={"input_dropout": 0.0})
    crops = torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8)
    labels, none = torch.tensor([0.0] * 6 + [1.0] * 2), torch.full((8,), -1)
    torch.manual_seed(0)
    plain = module_of(told).eval()
    torch.manual_seed(0)
    weighted = module_of(told, weights=(8 / 12, 8 / 4)).eval()
    for module in (plain, weighted):
        module.log = lambda *_, **__: None  # type: ignore[method-assign, assignment]
    logit, _ = plain.network(crops.permute(0, 3, 1, 2))
    each = torch.nn.functional.binary_cross_entropy_with_logits(logit, labels, reduction="none")
    assert plain.training_step((crops, labels, none), 0).item() == pytest.approx(each.mean().item(), abs=1e-6)
    both = (each[:6].mean() + each[6:].mean()) / 2
    assert weighted.training_step((crops, labels, none), 0).item() == pytest.approx(both.item(), abs=1e-6)


def test_names_of_lightning_are_understood() -> None:
    told = load_recipe("default", ["trainer.max_epochs=10", "trainer.gradient_clip_val=1"])
    assert (told.schedule.epochs, told.schedule.clip) == (10, 1.0)
    resolved = told.for_rows(1000).schedule
    assert (resolved.samples, resolved.epoch_samples) == (10 * 1024, 1024)
    with pytest.raises(UsageError, match=r"trainer\.max_epochs \(schedule\.epochs\)"):
        load_recipe("default", ["trainer.min_epochs=1"])
    assert load_recipe("default", ["schedule.epochs=3", "schedule.samples=64"]).schedule.epochs is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("schedule.unfreeze=[[0, tail]]", "none of all, head, last-N-convs"),
        ("schedule.unfreeze=[[2, head], [1, all]]", "do not rise"),
        ("schedule.unfreeze=[[0.5, head], [3, all]]", "either all moments"),
        ("schedule.nodes=3", "twice the processes of all nodes"),
        ("schedule.lr_schedule=linear", "lr_schedule"),
        ("sampling.balance=weights", "needs mode: epoch"),
        ("sampling.mode=epoch", r"sampling=\{mode: epoch\}"),
    ],
)
def test_what_does_not_fit_together_is_named(change: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_recipe("default", [change])
