"""The training loop's body: loss, averaged weights, learning rate, validation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import lightning as L  # noqa: N812 - Lightning's own habit
import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from unmask.train.metrics import Validation, ValidationRows, validate
from unmask.train.network import Detector
from unmask.train.recipe import Recipe


class DetectorModule(L.LightningModule):
    """Trains ``network`` and keeps ``ema``, its weights averaged over the last steps, which is what is validated.

    Args:
        network: With its start weights.
        recipe: The run's recipe.
        rows: The validation rows.
        on_validation: Called in the first process with each :class:`Validation` and the facts of the moment.
    """

    def __init__(
        self,
        network: Detector,
        recipe: Recipe,
        rows: ValidationRows,
        on_validation: Callable[[DetectorModule, Validation, dict[str, float]], None],
    ) -> None:
        super().__init__()
        self.network = network
        self.ema: Detector = deepcopy(network).requires_grad_(False).eval()
        self.recipe = recipe
        self.best = -math.inf
        self.stale = 0
        self._rows, self._on_validation = rows, on_validation
        self._logits: list[tuple[Tensor, Tensor]] = []
        self._losses: list[float] = []
        self._before = 0.0
        self.done = 0.0
        self._started = time.monotonic()
        if recipe.schedule.compile:
            self.network.compile(dynamic=False)

    @property
    def seconds(self) -> float:
        """Seconds trained, earlier parts of a resumed run included."""
        return self._before + time.monotonic() - self._started

    def progress(self) -> float:
        """How much of the schedule is done, 0 ... 1, by samples or by the clock, whichever is further."""
        schedule = self.recipe.schedule
        done = self.global_step / self.recipe.steps
        if schedule.minutes:
            done = max(done, self.seconds / (60 * schedule.minutes))
            # All processes must step alike, so the first one's clock counts.
            done = float(self.trainer.strategy.broadcast(done))
        return min(1.0, done)

    def learning_rate(self, progress: float) -> float:
        """Linear warm-up, then a cosine."""
        schedule = self.recipe.schedule
        if progress < schedule.warmup:
            return schedule.lr * max(0.02, progress / schedule.warmup)
        part = (progress - schedule.warmup) / (1 - schedule.warmup)
        return schedule.lr * (schedule.final_lr + (1 - schedule.final_lr) * 0.5 * (1 + math.cos(math.pi * part)))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; no weight decay on biases and batch norms."""
        schedule = self.recipe.schedule
        parameters = list(self.network.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": schedule.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=schedule.lr, fused=True)

    def on_train_start(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_train_epoch_start(self) -> None:
        """Lightning sets every part to training mode; the average stays in evaluation mode."""
        self.ema.eval()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Set this step's learning rate and seed (so that a resumed run draws the same dropout)."""
        self.done = self.progress()
        rate = self.learning_rate(self.done)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        torch.manual_seed(self.recipe.seed + 1000003 * self.global_step + self.global_rank)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Binary cross-entropy with smoothed labels; ``batch``: N×S×S×3 uint8, N labels."""
        crops, labels = batch
        # To float before the network: a compiled one read beyond the end of the uint8 tensor (torch 2.15, AVX-512).
        logit, _ = self.network(crops.permute(0, 3, 1, 2).float())
        smoothing = self.recipe.schedule.smoothing
        target = labels.to(logit.dtype) * (1 - smoothing) + smoothing / 2
        loss = F.binary_cross_entropy_with_logits(logit.float(), target.float())
        self._losses.append(float(loss.detach()))
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Average the weights; stop when the schedule is done."""
        # Early averages would hold the start weights for long: the decay rises with the steps.
        decay = min(self.recipe.schedule.ema, (1 + self.global_step) / (10 + self.global_step))
        with torch.no_grad():
            for mine, theirs in zip(self.ema.state_dict().values(), self.network.state_dict().values(), strict=True):
                if mine.dtype.is_floating_point:
                    mine.lerp_(theirs, 1 - decay)
                else:
                    mine.copy_(theirs)
        if self.progress() >= 1:
            self.trainer.should_stop = True

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Logits of the averaged network."""
        crops, index = batch
        logit, _ = self.ema(crops.permute(0, 3, 1, 2))
        self._logits.append((index.cpu(), logit.float().cpu()))

    def on_validation_epoch_end(self) -> None:
        """Gather the processes' logits and hand the figures on."""
        parts: list[Any] = [self._logits]
        if dist.is_initialized() and dist.get_world_size() > 1:
            parts = [None] * dist.get_world_size()
            dist.all_gather_object(parts, self._logits)
        self._logits = []
        if self.trainer.sanity_checking:
            return
        logits = np.zeros(len(self._rows.labels))
        for part in parts:
            for index, logit in part:
                logits[index.numpy()] = logit.numpy()
        result = validate(logits, self._rows)
        self.stale = 0 if result.score > self.best else self.stale + 1
        improved = result.score > self.best
        self.best = max(self.best, result.score)
        self.log("score", result.score, sync_dist=False, rank_zero_only=True)
        if self.trainer.is_global_zero:
            facts = {
                "step": self.global_step,
                "samples": self.global_step * self.recipe.schedule.batch,
                "seconds": round(self.seconds, 1),
                "lr": self.trainer.optimizers[0].param_groups[0]["lr"],
                "loss": float(np.mean(self._losses)) if self._losses else math.nan,
                "improved": float(improved),
            }
            self._on_validation(self, result, facts)
        self._losses = []
        patience = self.recipe.schedule.patience
        if patience and self.stale >= patience:
            self.trainer.should_stop = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the schedule needs."""
        checkpoint["unmask"] = {"seconds": self.seconds, "best": self.best, "stale": self.stale, "done": self.done}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it up again."""
        kept = checkpoint["unmask"]
        self._before, self.best, self.stale = kept["seconds"], kept["best"], kept["stale"]
        self.done = kept["done"]


def averaged(module: DetectorModule) -> nn.Module:
    """A copy of the averaged network, in evaluation mode, in the usual memory layout."""
    return deepcopy(module.ema).to(memory_format=torch.contiguous_format).eval()
