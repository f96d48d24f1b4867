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
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from unmask.base.errors import TrainingError
from unmask.train import freeze
from unmask.train.loss import loss_of
from unmask.train.metrics import Validation, ValidationRows, validate
from unmask.train.networks.base import Network
from unmask.train.recipe import Recipe, steps_of_epoch

_BETTER_BY = 1e-6
"""What a figure must gain to be better: less is the noise of rounding."""


class DetectorModule(L.LightningModule):
    """Trains ``network`` and keeps ``ema``, its weights averaged over the last steps, which is what is validated.

    The loss is the binary cross-entropy of one logit. A network with two units and a softmax is trained alike: as its
    logit is the difference of the two, the binary cross-entropy of it is the cross-entropy of the two. Where the head
    has kinds, their cross-entropy is added.

    Args:
        network: With its start weights.
        recipe: The run's recipe, ``schedule.epochs`` resolved.
        rows: The validation rows.
        on_validation: Called in the first process with each :class:`Validation` and the facts of the moment.
        epoch: Samples of an epoch.
        weights: What the loss of a real and of a fake weighs.
        sync: Batch norms use the statistics of all processes (GPUs only).
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        rows: ValidationRows,
        on_validation: Callable[[DetectorModule, Validation, dict[str, float]], None],
        *,
        epoch: int,
        weights: tuple[float, float] = (1.0, 1.0),
        sync: bool = False,
    ) -> None:
        super().__init__()
        self.ema: Network = deepcopy(network).requires_grad_(False).eval()
        # timm's: torch's own would drop the activation that timm's batch norms contain.
        self.network: Network = convert_sync_batchnorm(network) if sync else network
        self.recipe = recipe
        self.best = -math.inf
        self.score = math.nan
        self.stale = 0
        self.done = 0.0
        self._rows, self._on_validation, self._weights = rows, on_validation, weights
        self._steps_of_epoch = steps_of_epoch(epoch, recipe.schedule.batch)
        self._logits: list[tuple[Tensor, Tensor]] = []
        self._sums = torch.zeros(3)
        self._last_loss: Tensor | None = None
        self._drops, self._waited, self._validations = 0, 0, 0
        self._before = 0.0
        self._started = time.monotonic()
        self._trained_at_first = {name: p.requires_grad for name, p in self.network.named_parameters()}
        self._unfrozen: str | None = None
        if recipe.schedule.freeze_norms:
            self._freeze_norms()
        if recipe.schedule.unfreeze:
            # Whoever gathers the gradients of several processes must know of all that will ever be trained.
            self.network.requires_grad_(True)
        if recipe.schedule.compile:
            self.network.compile(dynamic=False)

    @property
    def seconds(self) -> float:
        """Seconds trained, earlier parts of a resumed run included."""
        return self._before + time.monotonic() - self._started

    @property
    def epochs(self) -> float:
        """Epochs done."""
        return self.global_step / self._steps_of_epoch

    def progress(self) -> float:
        """How much of the schedule is done, 0 ... 1, by samples or by the clock, whichever is further."""
        schedule = self.recipe.schedule
        done = self.global_step / self.recipe.steps
        if schedule.minutes:
            done = max(done, self.seconds / (60 * schedule.minutes))
            # All processes must step alike, so the first one's clock counts.
            done = float(self.trainer.strategy.broadcast(done))
        return min(1.0, done)

    def size_of(self, step: int) -> int:
        """Side of the crops of a step; of the step alone, so that a resumed run has the same, unless a clock counts."""
        by_clock = self.done if self.recipe.schedule.minutes else 0.0
        return self.recipe.size_at(max(by_clock, step / self.recipe.steps))

    def learning_rate(self, progress: float) -> float:
        """Linear warm-up, then what the recipe names."""
        schedule = self.recipe.schedule
        if progress < schedule.warmup:
            return schedule.lr * max(0.02, progress / schedule.warmup)
        if schedule.lr_schedule != "cosine":
            return schedule.lr * max(schedule.final_lr, schedule.lr_factor**self._drops)
        part = (progress - schedule.warmup) / (1 - schedule.warmup)
        return schedule.lr * (schedule.final_lr + (1 - schedule.final_lr) * 0.5 * (1 + math.cos(math.pi * part)))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The recipe's optimizer over all parameters (a frozen one has no gradient and is passed over).

        No weight decay on biases and batch norms.
        """
        schedule = self.recipe.schedule
        parameters = list(self.network.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": schedule.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        if schedule.optimizer == "sgd":
            return torch.optim.SGD(groups, lr=schedule.lr, momentum=0.9, nesterov=True)
        kind = torch.optim.Adam if schedule.optimizer == "adam" else torch.optim.AdamW
        # Fused steps unscale the gradients themselves, after they would have to be clipped: Lightning refuses both.
        fused = schedule.precision == "32-true" or not schedule.clip
        return kind(groups, lr=schedule.lr, fused=fused)

    def on_train_start(self) -> None:
        """Start the clock; an early stop of the run that is resumed still holds."""
        self._started = time.monotonic()
        if self.recipe.schedule.unfreeze:
            for name, parameter in self.network.named_parameters():
                parameter.requires_grad_(self._trained_at_first[name])
        self._stop_if_stale()

    def on_train_epoch_start(self) -> None:
        """Lightning sets every part to training mode; the average stays in evaluation mode."""
        self.ema.eval()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Set this step's learning rate, layers and seed (so that a resumed run draws the same dropout)."""
        self.done = self.progress()
        rate = self.learning_rate(self.done)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        self._unfreeze()
        torch.manual_seed(self.recipe.seed + 1000003 * self.global_step + self.global_rank)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Binary cross-entropy with smoothed labels; ``batch``: N×S×S×3 uint8, N labels, N kinds (-1 = none)."""
        crops, labels, kinds = batch
        # To float before the network: a compiled one read beyond the end of the uint8 tensor (torch 2.15, AVX-512).
        logit, scores = self.network(crops.permute(0, 3, 1, 2).float())
        logit, target = logit.float(), labels.to(logit.device, torch.float32)
        loss = loss_of(
            logit,
            target,
            scores if self.recipe.network.kinds else None,
            kinds,
            smoothing=self.recipe.schedule.smoothing,
            weights=self._weights,
        )
        with torch.no_grad():
            # Without smoothing and weights, so that it can be held against the loss of the validation.
            plain = F.binary_cross_entropy_with_logits(logit, target, reduction="sum")
            right = ((logit > 0) == (target > 0.5)).sum()
            self._sums = self._sums.to(logit.device) + torch.stack([plain, right, torch.ones_like(target).sum()])
        self._last_loss = loss.detach()
        self.log("loss", self._last_loss, prog_bar=True, logger=False)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:  # noqa: ARG002
        """End the run before numbers that are none reach the weights.

        Raises:
            TrainingError: The gradients are not finite. They are the mean over all processes, so all raise alike.
        """
        if self.recipe.schedule.precision == "16-mixed":
            # Here gradients beyond the range of a half are common: the scaler leaves such a step out.
            figure = self._last_loss
            assert figure is not None
            if dist.is_initialized():
                figure = figure.clone()
                dist.all_reduce(figure)
        else:
            figure = torch.nn.utils.get_total_norm(
                [p.grad for p in self.network.parameters() if p.grad is not None], error_if_nonfinite=False
            )
        if not bool(torch.isfinite(figure)):
            finite = self._last_loss is not None and bool(torch.isfinite(self._last_loss))
            self._diverged(
                "the gradients are" if finite else f"the loss is {float(self._last_loss or math.nan)},",
                self.global_step + 1,
            )

    def _diverged(self, what: str, step: int) -> None:
        schedule = self.recipe.schedule
        raise TrainingError(
            f"{what} no finite number at step {step} (epoch {self.epochs:.2f})",
            hint=f"Start again with a lower schedule.lr (it is {schedule.lr:g}), schedule.clip=1 or a longer "
            "schedule.warmup" + (", or precision 32-true" if schedule.precision != "32-true" else ""),
        )

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step and average the weights: both before any checkpoint, so that none holds half a step."""
        super().optimizer_step(*args, **kwargs)
        step = self.global_step + 1
        # Early averages would hold the start weights for long: the decay rises with the steps.
        decay = min(self.recipe.schedule.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for mine, theirs in zip(self.ema.state_dict().values(), self.network.state_dict().values(), strict=True):
                if mine.dtype.is_floating_point:
                    mine.lerp_(theirs, 1 - decay)
                else:
                    mine.copy_(theirs)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Stop when the schedule is done."""
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
        logits = np.zeros(len(self._rows.labels))
        for part in parts:
            for index, logit in part:
                logits[index.numpy()] = logit.numpy()
        if not np.isfinite(logits).all():
            self._diverged("the scores of the validation are", self.global_step)
        result = validate(logits, self._rows)
        schedule = self.recipe.schedule
        figure = result.monitored(schedule.monitor)
        improved = figure > self.best + _BETTER_BY
        if improved:
            self.best, self.score, self.stale, self._waited = figure, result.score, 0, 0
        else:
            self.stale, self._waited = self.stale + 1, self._waited + 1
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        self._validations += 1
        self._drop_rate()
        loss, right, count = self._totals()
        self._sums = torch.zeros_like(self._sums)
        if self.trainer.is_global_zero:
            facts = {
                "step": self.global_step,
                "epoch": round(self.epochs, 4),
                "samples": self.global_step * schedule.batch,
                "seconds": round(self.seconds, 1),
                "lr": rate,
                "train_loss": loss / count if count else math.nan,
                "train_accuracy": right / count if count else math.nan,
                "improved": float(improved),
            }
            self._on_validation(self, result, facts)
        self._stop_if_stale()

    def _drop_rate(self) -> None:
        schedule = self.recipe.schedule
        if schedule.lr_schedule == "step":
            self._drops = self._validations // schedule.lr_every
        elif schedule.lr_schedule == "plateau" and self._waited >= schedule.lr_patience:
            self._drops, self._waited = self._drops + 1, 0

    def _stop_if_stale(self) -> None:
        patience = self.recipe.schedule.patience
        if patience and self.stale >= patience:
            self.trainer.should_stop = True

    def _totals(self) -> list[float]:
        """Loss, right answers and samples since the last validation, over all processes."""
        sums = self._sums.clone()
        if dist.is_initialized() and dist.get_world_size() > 1:
            dist.all_reduce(sums)
        return [float(value) for value in sums]

    def _unfreeze(self) -> None:
        due = [what for at, what in self.recipe.schedule.unfreeze if at <= (self.done if at < 1 else self.epochs)]
        if due and due[-1] != self._unfrozen:
            self._unfrozen = due[-1]
            freeze.apply(self.network, due[-1])
            if self.recipe.schedule.freeze_norms:
                self._freeze_norms()

    def _freeze_norms(self) -> None:
        norms = {name for name, module in self.network.named_modules() if isinstance(module, _NormBase)}
        if self.recipe.network.weights in ("imagenet", "none"):
            # Those of a new head know nothing yet.
            norms -= {name for name in norms if freeze.is_head(self.network, name)}
        self.network.frozen_norms = frozenset(norms)
        self.network.train(self.network.training)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the schedule needs."""
        checkpoint["unmask"] = {
            "seconds": self.seconds,
            "best": self.best,
            "score": self.score,
            "stale": self.stale,
            "done": self.done,
            "drops": self._drops,
            "waited": self._waited,
            "validations": self._validations,
            "sums": self._totals(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it up again."""
        kept = checkpoint["unmask"]
        self._before, self.best, self.stale = kept["seconds"], kept["best"], kept["stale"]
        self.done, self.score = kept["done"], kept.get("score", kept["best"])
        self._drops, self._waited = kept.get("drops", 0), kept.get("waited", 0)
        self._validations = kept.get("validations", 0)
        if self.global_rank == 0:
            self._sums = torch.tensor(kept.get("sums", [0.0, 0.0, 0.0]))


def averaged(module: DetectorModule) -> nn.Module:
    """A copy of the averaged network, in evaluation mode, in the usual memory layout."""
    return deepcopy(module.ema).to(memory_format=torch.contiguous_format).eval()
