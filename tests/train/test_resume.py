"""Runs that are broken off go on as if they had not been."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from train_support import Watch, changed, command, table_of, wait_for

pytest.importorskip("lightning", reason="needs the extra [train]")

import torch

from unmask.base.errors import DataError
from unmask.data.manifest import Manifest
from unmask.model import load_bundle
from unmask.train.recipe import Recipe

pytestmark = pytest.mark.train


def state(out: Path) -> dict[str, torch.Tensor]:
    return torch.load(out / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("break_at", [2, 3, 4, 5])
def test_a_broken_run_goes_on_with_the_same_losses(
    recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch, break_at: int
) -> None:
    """Losses, weights, averages and statistics; whether it breaks before, at or after the validation at step 3."""
    often = changed(recipe, checkpoint_minutes=1e-6)
    whole = watch(often, data, tmp_path / "whole")
    assert list(whole) == [1, 2, 3, 4, 5, 6]
    before = watch(often, data, tmp_path / "run", break_at=break_at)
    after = watch(often, data, tmp_path / "run", resume=True)
    # No checkpoint lies between step 3 and its validation: the validation must not be lost.
    again = 3 if break_at == 3 else break_at
    assert list(after) == list(range(again, 7)), "the step under way is done again, nothing before it"
    for step, loss in (before | after).items():
        assert loss == pytest.approx(whole[step], abs=1e-5), step
    resumed = state(tmp_path / "run")
    for key, value in state(tmp_path / "whole").items():
        torch.testing.assert_close(resumed[key], value, rtol=1e-5, atol=1e-6, msg=lambda text, key=key: f"{key} {text}")
    rows, wanted = table_of(tmp_path / "run"), table_of(tmp_path / "whole")
    assert [row["step"] for row in rows] == [3, 6]
    for row, other in zip(rows, wanted, strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == pytest.approx(
            {k: v for k, v in other.items() if k != "seconds"}, abs=1e-5
        )


def test_what_a_validation_found_is_not_forgotten(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    """Best figure, patience and dropped rate survive a break right after the validation that set them."""
    still = changed(recipe, samples=120, epoch_samples=24, lr=1e-12, patience=3, lr_patience=1)
    still = changed(still, lr_schedule="plateau", freeze_norms=True)
    whole = watch(still, data, tmp_path / "whole")
    watch(still, data, tmp_path / "run", break_at=7)
    after = watch(still, data, tmp_path / "run", resume=True)
    assert max(whole) == max(after) == 12, "the first validation and three that are no better"
    assert [row["lr"] for row in table_of(tmp_path / "run")] == [row["lr"] for row in table_of(tmp_path / "whole")]
    assert watch(still, data, tmp_path / "run", resume=True) == {}, "it has stopped for good"


def test_a_recipe_by_epochs_is_resumed_from_its_own_folder(
    recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch
) -> None:
    from unmask.train.recipe import load_recipe

    by_epochs = changed(recipe, epochs=2)
    watch(by_epochs, data, tmp_path / "run", break_at=7)
    losses = watch(load_recipe(str(tmp_path / "run" / "recipe.yaml")), data, tmp_path / "run", resume=True)
    assert max(losses) == 12, "two passes over 48 rows in batches of 8"
    assert [row["epoch"] for row in table_of(tmp_path / "run")] == [1, 2]


def test_other_data_are_refused(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    watch(recipe, data, tmp_path / "run", break_at=4)
    other = Manifest(data.table.with_columns(x0=data.table["x0"] + 1), data.roots)
    with pytest.raises(DataError, match="started with other data"):
        watch(recipe, other, tmp_path / "run", resume=True)
    # One that was made before noted none.
    file = tmp_path / "run" / "environment.json"
    noted = json.loads(file.read_text())
    file.write_text(json.dumps({name: value for name, value in noted.items() if name != "data"}))
    backwards = Manifest(data.table.reverse(), data.roots)
    assert max(watch(recipe, backwards, tmp_path / "run", resume=True)) == 6
    assert json.loads(file.read_text())["data"] == noted["data"]


@pytest.mark.parametrize("left", ["best.pt", "bundle.onnx", "metrics.csv"])
@pytest.mark.parametrize("resume", [False, True])
def test_what_a_run_left_is_never_written_over(
    recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch, left: str, resume: bool
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / left).write_text("of hours")
    with pytest.raises(DataError, match=rf"holds {left} of a run whose last\.ckpt is gone"):
        watch(recipe, data, tmp_path / "run", resume=resume)
    assert (tmp_path / "run" / left).read_text() == "of hours"


STEPS = {"samples": 320, "batch": 8, "epoch_samples": 160, "checkpoint_minutes": 1e-6, "ema": 0.5}


@pytest.mark.slow
def test_killed_and_resumed(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    """SIGKILL to the command; the resumed one ends with the weights and the table of an uninterrupted run."""
    told = changed(recipe, **STEPS)
    watch(told, data, tmp_path / "whole")
    with command(told, data, tmp_path / "run", "--workers", "0") as process:
        wait_for(tmp_path / "run" / "last.ckpt", process)
        process.kill()
    kept = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"]
    assert 0 < kept < 40
    with command(told, data, tmp_path / "run", "--resume", "--workers", "0") as process:
        _, said = process.communicate(timeout=900)
    assert process.returncode == 0 or "do not rise" in said, said
    resumed = state(tmp_path / "run")
    for key, value in state(tmp_path / "whole").items():
        torch.testing.assert_close(resumed[key], value, rtol=1e-4, atol=1e-5)
    for row, other in zip(table_of(tmp_path / "run"), table_of(tmp_path / "whole"), strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], abs=1e-5)
        assert row["val_loss"] == pytest.approx(other["val_loss"], abs=1e-5)


def test_ctrl_c_keeps_the_step_under_way(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    told = changed(recipe, **{**STEPS, "checkpoint_minutes": 60})
    with pytest.raises(KeyboardInterrupt):
        watch(told, data, tmp_path / "run", interrupt_in=4)
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 4


@pytest.mark.slow
def test_ctrl_c_at_the_command(recipe: Recipe, data: Manifest, tmp_path: Path) -> None:
    told = changed(recipe, **{**STEPS, "samples": 80_000, "epoch_samples": 80_000, "checkpoint_minutes": 0.02})
    with command(told, data, tmp_path / "run", "--workers", "0") as process:
        wait_for(tmp_path / "run" / "last.ckpt", process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=900)
    assert process.returncode == 130, said
    assert "--resume" in said
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] > 0


@pytest.mark.slow
def test_two_processes_killed_and_resumed(recipe: Recipe, data: Manifest, tmp_path: Path) -> None:
    told = changed(recipe, **STEPS, processes=2)
    with command(told, data, tmp_path / "run") as process:
        wait_for(tmp_path / "run" / "last.ckpt", process)
        os.killpg(process.pid, signal.SIGKILL)
    with command(told, data, tmp_path / "run", "--resume") as process:
        printed, said = process.communicate(timeout=900)
    assert process.returncode == 0 or "do not rise" in said, said
    assert [row["step"] for row in table_of(tmp_path / "run")] == [20, 40]
    if process.returncode == 0:
        assert load_bundle(Path(printed.split()[-1])).card.name == "tiny"
