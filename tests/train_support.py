"""What tests of whole training runs build on. Importing it needs no torch."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from unmask.data.manifest import Manifest
    from unmask.train.recipe import Recipe


OURS = frozenset({"default", "demo", "own", "texture"})
"""Packaged recipes that are no tutorial's."""


def changed(recipe: Recipe, section: str = "schedule", **changes: Any) -> Recipe:
    """The recipe with other values in one of its sections, checked as if read from a file."""
    from unmask.train.recipe import Recipe

    told = recipe.model_dump(mode="json")
    told[section] = {**told[section], **changes}
    return Recipe.model_validate(told)


class Watch:
    """Runs in this process: notes the loss of each step, and can break a run off as a power cut would."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.said: list[str] = []

    def __call__(
        self,
        recipe: Recipe,
        data: Manifest,
        out: Path,
        *,
        break_at: int | None = None,
        interrupt_in: int | None = None,
        **options: Any,
    ) -> dict[int, float]:
        """Train; the loss of each step. Ctrl-C can come while a step is under way."""
        from lightning.pytorch.callbacks import Callback

        from unmask.base.errors import DataError
        from unmask.train import run

        seen: dict[int, float] = {}

        class Losses(Callback):
            def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
                if trainer.global_step + 1 == interrupt_in:
                    os.kill(os.getpid(), signal.SIGINT)

            def on_train_batch_end(self, trainer: Any, _: Any, outputs: Any, *__: Any) -> None:
                seen[trainer.global_step] = float(outputs["loss"])
                if trainer.global_step == break_at:
                    raise RuntimeError("power cut")

        original = run.make_trainer

        def watched(*args: Any) -> Any:
            trainer = original(*args)
            # Behind the one that keeps checkpoints, for the step to have begun; before it, for a cut to save nothing.
            trainer.callbacks.insert(0 if interrupt_in is None else len(trainer.callbacks), Losses())
            return trainer

        with self._patch.context() as patch:
            patch.setattr(run, "make_trainer", watched)
            try:
                run.train(recipe, data, out, workers=0, say=self.said.append, **options)
            except RuntimeError as error:
                if str(error) != "power cut":
                    raise
            except DataError as error:
                # A few steps teach too little to calibrate; that is said, and the graph is there all the same.
                if "do not rise" not in str(error):
                    raise
                assert (out / "network.onnx").is_file()
        return seen


def table_of(out: Path) -> list[dict[str, float]]:
    """The rows of a run's ``metrics.csv``."""
    with (out / "metrics.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@contextmanager
def command(recipe: Recipe, data: Manifest, out: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """``unmask train`` in a process group of its own."""
    file = out.parent / "recipe.yaml"
    import yaml

    file.write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
    manifest = data.roots["src"] / "manifest.parquet"
    words = ["train", str(file), "--data", str(manifest), "--out", str(out), "--no-test", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "unmask", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    ) as process:
        yield process


def wait_for(file: Path, process: subprocess.Popen[str], seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while not file.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert file.exists(), process.stderr.read() if process.stderr and process.poll() is not None else "too slow"
