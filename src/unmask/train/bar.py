"""The progress bar of a run: on stderr, with the loss of the moment."""

from __future__ import annotations

import time
from typing import Any

import lightning as L  # noqa: N812
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

_EVERY = 0.25
"""Seconds between two looks at the loss: each makes a GPU wait."""

_SMOOTH = 0.9


class LiveBar(Callback):
    """One bar for the whole schedule: epoch, loss (smoothed), pictures a second, time left.

    What is said on stderr meanwhile appears above it.
    """

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._loss = float("nan")
        self._at, self._step = 0.0, 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show it, in the first process."""
        if not trainer.is_global_zero:
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeRemainingColumn(),
        )
        # stdout is never taken over: what is printed there may go into a file.
        self._bar = Progress(
            *columns, console=Console(stderr=True), transient=True, redirect_stdout=False, refresh_per_second=4
        )
        self._task = self._bar.add_task("training", total=1.0, figures="")
        self._bar.update(self._task, completed=_done(pl_module))
        self._at, self._step = time.monotonic(), trainer.global_step
        self._bar.start()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any) -> None:
        """Move it."""
        now = time.monotonic()
        if self._bar is None or now - self._at < _EVERY:
            return
        loss = float(outputs["loss"] if isinstance(outputs, dict) else outputs)
        self._loss = loss if self._loss != self._loss else _SMOOTH * self._loss + (1 - _SMOOTH) * loss
        speed = (trainer.global_step - self._step) * pl_module.recipe.schedule.batch / (now - self._at)
        self._at, self._step = now, trainer.global_step
        self._bar.update(
            self._task,
            completed=_done(pl_module),
            description=f"epoch {pl_module.epochs:.2f}",
            figures=f"loss {self._loss:.3f}, {speed:.0f} pictures/s",
        )

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Say what it waits for."""
        if self._bar is not None:
            self._bar.update(self._task, description="validating", refresh=True)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Time spent on a validation is not time spent on steps."""
        if self._bar is not None:
            self._bar.update(self._task, description=f"epoch {pl_module.epochs:.2f}")
            self._at, self._step = time.monotonic(), trainer.global_step

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Take it away."""
        self._stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Take it away before the error is told."""
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _done(module: Any) -> float:
    return float(max(module.done, module.global_step / module.recipe.steps))
