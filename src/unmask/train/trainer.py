"""Lightning's trainer, set up by a recipe: where it runs, when it keeps a checkpoint, how it is interrupted."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy

from unmask.base.errors import DeviceError
from unmask.base.ort import usable_cpus
from unmask.train.bar import LiveBar
from unmask.train.folder import WholeCheckpoints
from unmask.train.names import LAST, LOGS
from unmask.train.recipe import Recipe

_BEFORE_VALIDATION = 60.0
"""A checkpoint older than this many seconds is renewed before a validation, which may take long."""


@dataclass(frozen=True)
class Place:
    """Where a run runs.

    Attributes:
        accelerator: Of Lightning.
        each: Processes of each machine.
        world: Processes of all machines.
        rank: Number of this one, 0 ... world - 1.
    """

    accelerator: str
    each: int
    world: int
    rank: int

    @property
    def gpu(self) -> bool:
        """Whether it runs on GPUs."""
        return self.accelerator == "gpu"

    @property
    def threads(self) -> int:
        """Threads of this process: on a processor several processes have one each."""
        return 1 if self.world > 1 and not self.gpu else usable_cpus()


def place_of(recipe: Recipe) -> Place:
    """Where the recipe asks to run, and which of the processes this is.

    Raises:
        DeviceError: It asks for GPUs by name that are not there.
    """
    schedule = recipe.schedule
    there = torch.cuda.device_count()
    gpu = schedule.accelerator == "gpu" or (schedule.accelerator == "auto" and there > 0)
    if gpu and there < schedule.devices:
        raise DeviceError(
            f"schedule.accelerator is {schedule.accelerator} and schedule.devices {schedule.devices}, "
            f"but there are {there} GPUs",
            hint="See them with: python -c 'import torch; print(torch.cuda.device_count())'",
        )
    each = schedule.devices if gpu else schedule.processes
    known = next((os.environ[name] for name in ("RANK", "SLURM_PROCID") if os.environ.get(name)), None)
    rank = int(os.environ.get("NODE_RANK", "0")) * each + int(os.environ.get("LOCAL_RANK", "0"))
    world = each * schedule.nodes
    # A shell within a SLURM job has SLURM_PROCID without being one of several.
    rank = int(known) if known is not None and world > 1 else rank
    accelerator = "gpu" if gpu else "cpu"
    if not gpu and schedule.accelerator == "auto" and world == 1 and torch.backends.mps.is_available():
        accelerator = "mps"
    return Place(accelerator, each, world, rank)


def make_trainer(recipe: Recipe, out: Path, steps: int, place: Place, bar: bool = True) -> L.Trainer:
    """A trainer that validates every ``steps`` steps and keeps its last state in ``out``; in a terminal with a bar."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    schedule = recipe.schedule
    callbacks: list[Callback] = [Checkpoints(out / LAST, schedule.checkpoint_minutes)]
    if bar and sys.stderr.isatty():
        callbacks.append(LiveBar())
    return L.Trainer(
        accelerator=place.accelerator,
        devices=place.each,
        num_nodes=schedule.nodes,
        # Layers that are frozen for a while have no gradient that the others could wait for.
        strategy=DDPStrategy(find_unused_parameters=bool(schedule.unfreeze)) if place.world > 1 else "auto",
        plugins=[WholeCheckpoints()],
        precision=schedule.precision,
        gradient_clip_val=schedule.clip or None,
        max_steps=recipe.steps,
        max_epochs=-1,
        limit_train_batches=steps,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        callbacks=callbacks,
        logger=TensorBoardLogger(out, name="", version=LOGS, default_hp_metric=False),
        log_every_n_steps=steps,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=out,
    )


class Checkpoints(Callback):
    """Keeps the state of the run: by the clock, after each validation, and when it is interrupted.

    Always between two steps. Never between the last step before a validation and the validation: whoever went on
    from there would go on without it.

    Args:
        file: The checkpoint.
        minutes: Time between two.
    """

    def __init__(self, file: Path, minutes: float) -> None:
        self._file, self._seconds = file, 60 * minutes
        self._at = time.monotonic()
        self.interrupted = False
        self.in_step = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Start the clock."""
        self._at = time.monotonic()

    def on_train_batch_start(self, *_: Any) -> None:
        """From here on an interrupt waits for the end of the step."""
        self.in_step = True

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Save when it is time."""
        self.in_step = False
        epoch = int(trainer.num_training_batches)
        left = min(-trainer.global_step % epoch, trainer.max_steps - trainer.global_step)
        age = time.monotonic() - self._at
        due = left > 0 and (age >= self._seconds or (left == 1 and age >= _BEFORE_VALIDATION) or self.interrupted)
        if trainer.world_size > 1:
            due = bool(trainer.strategy.broadcast(due))
        if due:
            self._save(trainer)
        if self.interrupted:
            raise KeyboardInterrupt

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Save what the validation has found."""
        self._save(trainer)

    def _save(self, trainer: L.Trainer) -> None:
        trainer.save_checkpoint(self._file)
        self._at = time.monotonic()


@contextmanager
def interrupts_kept() -> Iterator[Callable[[], None]]:
    """Ctrl-C raises as ever; what is given raises again, for an interrupt that an import may have swallowed."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    asked = False

    def on_signal(number: int, frame: Any) -> None:  # noqa: ARG001
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def interruptible(trainer: L.Trainer) -> Iterator[None]:
    """Ctrl-C or SIGTERM ends the step under way, keeps a checkpoint, raises ``KeyboardInterrupt``; a second at once.

    Lightning itself would end the process, and ignore Ctrl-C from then on.
    """
    keeper = next(one for one in trainer.callbacks if isinstance(one, Checkpoints))
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    asked = False

    def on_signal(number: int, frame: Any) -> None:  # noqa: ARG001
        nonlocal asked
        asked = True
        # Several processes are not at the same step: there the last checkpoint has to do.
        if keeper.in_step and not keeper.interrupted and trainer.world_size == 1:
            keeper.interrupted = True
            return
        raise KeyboardInterrupt

    if main:
        for number in before:
            signal.signal(number, on_signal)
    try:
        yield
    except SystemExit as end:
        if trainer.interrupted:
            raise KeyboardInterrupt from end
        raise
    except RuntimeError as error:
        # A signal to the whole group also ends the processes that make the samples.
        if asked:
            raise KeyboardInterrupt from error
        raise
    finally:
        if main:
            for number, handler in before.items():
                signal.signal(number, handler)
    if trainer.interrupted:
        raise KeyboardInterrupt
