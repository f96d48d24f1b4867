"""Whole runs on a tiny data set: real training, real checkpoints, a real bundle."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lightning", reason="needs the extra [train]")

import torch
import yaml
from lightning.pytorch.callbacks import Callback

from unmask.base.errors import DataError
from unmask.data.manifest import Manifest
from unmask.model import load_bundle
from unmask.train import run as running
from unmask.train.recipe import Recipe

pytestmark = pytest.mark.train


def quiet(_: str) -> None:
    """Nobody listens."""


class Losses(Callback):
    """Notes the loss of each step, and breaks a run off as a power cut would."""

    def __init__(self, break_at: int | None = None) -> None:
        self.seen: dict[int, float] = {}
        self._break_at = break_at

    def on_train_batch_end(self, trainer: Any, _: Any, outputs: Any, *__: Any) -> None:
        self.seen[trainer.global_step] = float(outputs["loss"])
        if trainer.global_step == self._break_at:
            raise RuntimeError("power cut")


def go(
    recipe: Recipe, data: Manifest, out: Path, monkeypatch: Any, *, break_at: int | None = None, **options: Any
) -> dict[int, float]:
    """A run in this process; the loss of each of its steps."""
    losses = Losses(break_at)
    original = running.make_trainer

    def watched(*args: Any) -> Any:
        trainer = original(*args)
        trainer.callbacks.insert(0, losses)
        return trainer

    with monkeypatch.context() as patch:
        patch.setattr(running, "make_trainer", watched)
        try:
            running.train(recipe, data, out, workers=0, say=quiet, **options)
        except RuntimeError as error:
            if str(error) != "power cut":
                raise
        except DataError as error:
            # A few steps teach too little to calibrate; that is said, and the graph is there all the same.
            if "do not rise" not in str(error):
                raise
            assert (out / running.GRAPH).is_file()
    return losses.seen


def with_schedule(recipe: Recipe, **changes: Any) -> Recipe:
    return recipe.model_copy(update={"schedule": recipe.schedule.model_copy(update=changes)})


def test_a_run_learns_and_leaves_a_usable_bundle(
    recipe: Recipe, data: Manifest, tmp_path: Path, monkeypatch: Any
) -> None:
    longer = with_schedule(recipe, samples=192, epoch_samples=96, lr=2e-3)
    losses = go(longer, data, tmp_path / "run", monkeypatch)
    values = list(losses.values())
    assert values[0] == pytest.approx(np.log(2), abs=0.02)
    assert np.mean(values[-8:]) < values[0] - 0.05
    bundle = load_bundle(tmp_path / "run" / "bundle.onnx")
    assert bundle.card.crop == recipe.crop
    assert [(one.name, one.real, one.fake) for one in bundle.card.training] == [("stripes", 24, 24)]
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [float(row["samples"]) for row in table] == [96, 192]
    assert "auc stripes/striped" in table[0]
    kept = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert Recipe.model_validate(kept) == longer
    environment = (tmp_path / "run" / "environment.json").read_text()
    assert torch.__version__ in environment


@pytest.mark.parametrize("break_at", [2, 3, 5])
def test_a_broken_run_goes_on_with_the_same_losses(
    recipe: Recipe, data: Manifest, tmp_path: Path, monkeypatch: Any, break_at: int
) -> None:
    often = with_schedule(recipe, checkpoint_minutes=1e-6)
    whole = go(often, data, tmp_path / "whole", monkeypatch)
    assert list(whole) == [1, 2, 3, 4, 5, 6]
    before = go(often, data, tmp_path / "run", monkeypatch, break_at=break_at)
    after = go(often, data, tmp_path / "run", monkeypatch, resume=True)
    assert list(after) == list(range(break_at, 7)), "the step under way is done again, nothing before it"
    for step, loss in (before | after).items():
        assert loss == pytest.approx(whole[step], abs=1e-5), step
    states = [torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"] for name in ("whole", "run")]
    for key, value in states[0].items():
        if "running_" in key:
            continue  # the step that was broken off has moved them already when it is done again: no loss depends on it
        torch.testing.assert_close(states[1][key], value, rtol=0, atol=2e-4)
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["3", "6"]


def test_a_folder_with_a_run_is_not_written_over(
    recipe: Recipe, data: Manifest, tmp_path: Path, monkeypatch: Any
) -> None:
    go(recipe, data, tmp_path / "run", monkeypatch)
    with pytest.raises(DataError, match="holds a run already"):
        running.train(recipe, data, tmp_path / "run")
    with pytest.raises(DataError, match="another recipe"):
        running.train(with_schedule(recipe, lr=0.1), data, tmp_path / "run", resume=True)


def test_early_stopping(recipe: Recipe, data: Manifest, tmp_path: Path, monkeypatch: Any) -> None:
    # A learning rate of next to nothing: no validation is better than the first.
    still = with_schedule(recipe, samples=400, epoch_samples=8, patience=2, lr=1e-12)
    losses = go(still, data, tmp_path / "run", monkeypatch)
    assert len(losses) < 50


def test_a_time_limit_ends_the_schedule(recipe: Recipe, data: Manifest, tmp_path: Path, monkeypatch: Any) -> None:
    losses = go(with_schedule(recipe, samples=100_000, minutes=0.02), data, tmp_path / "run", monkeypatch)
    assert 0 < len(losses) < 12_500
    assert (tmp_path / "run" / running.LAST).is_file()


def test_data_that_cannot_be_used_are_refused(recipe: Recipe, data: Manifest, tmp_path: Path) -> None:
    table = data.table
    one_class = Manifest(table.filter((table["split"] != "val") | (table["label"] == 1)), data.roots)
    with pytest.raises(DataError, match="'val' has one class only"):
        running.train(recipe, one_class, tmp_path / "a")
    with pytest.raises(DataError, match="'train' has no rows"):
        running.train(recipe, Manifest(table.filter(table["split"] == "val"), data.roots), tmp_path / "b")
    with pytest.raises(DataError, match="is not there"):
        running.train(recipe, Manifest(table, {"src": tmp_path}), tmp_path / "c", say=quiet)


@pytest.mark.slow
def test_the_command_with_two_processes(data: Manifest, tmp_path: Path) -> None:
    """Trained by two processes, ended by SIGKILL once a checkpoint is there, resumed, analysed with."""
    file = tmp_path / "tiny.yaml"
    file.write_text(
        "name: tiny\ncrop: {size: 64}\nnetwork: {weights: none, fine_channels: 16}\n"
        "schedule: {samples: 240, batch: 8, epoch_samples: 120, processes: 2, checkpoint_minutes: 0.00001}\n"
    )
    manifest = data.roots["src"] / "manifest.parquet"
    command = [
        sys.executable,
        "-m",
        "unmask",
        "train",
        str(file),
        "--data",
        str(manifest),
        "--out",
        str(tmp_path / "run"),
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True) as run:
        deadline = time.monotonic() + 240
        while not (tmp_path / "run" / "last.ckpt").exists() and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(run.pid, signal.SIGKILL)
    assert (tmp_path / "run" / "last.ckpt").exists()
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "run" / "bundle.onnx")
    assert load_bundle(Path(done.stdout.strip())).card.name == "tiny"
