"""What a run's ``metrics.csv`` says: its curves as a picture, its best epoch, and whether it has learnt by heart.

Nothing here needs torch, so that runs of another machine can be looked at with the extra ``[data]`` alone.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from unmask.base.errors import DataError
from unmask.base.files import replacing
from unmask.evaluate.plots import COLOURS, GREY, STYLE
from unmask.train.names import METRICS

_NAMES = {"train_loss": ("train_loss", "loss"), "auc": ("val_auc", "pooled")}
"""Own name -> columns of ``metrics.csv`` that hold it, the first there is."""

By = Literal["epoch", "samples", "minutes"]
_AXIS: dict[By, tuple[str, Callable[[Epoch], float]]] = {
    "epoch": ("epoch", lambda one: one.epoch),
    "samples": ("pictures seen", lambda one: one.samples),
    "minutes": ("minutes", lambda one: one.seconds / 60),
}


@dataclass(frozen=True)
class Epoch:
    """One validation, and the training since the one before; a row of ``metrics.csv``.

    Attributes:
        epoch: Passes over the training rows, as far as they came; whole ones where the recipe counts in epochs.
        samples, seconds: Since the start of the run.
        train_loss, val_loss: Binary cross-entropy; NaN where the run did not note it, as all that follow.
        train_accuracy, val_accuracy: At one half, in [0, 1]. Training figures are of varied pictures, with dropout, of
            weights that changed meanwhile; validation figures of whole crops and averaged weights.
        auc: Of all validation faces.
        score: What the best weights are chosen by.
    """

    epoch: float
    samples: float
    seconds: float
    train_loss: float = math.nan
    val_loss: float = math.nan
    train_accuracy: float = math.nan
    val_accuracy: float = math.nan
    auc: float = math.nan
    score: float = math.nan

    def __str__(self) -> str:
        return f"epoch {self.epoch:.0f}" if self.epoch == round(self.epoch) else f"epoch {self.epoch:.2f}"


@dataclass(frozen=True)
class Gap:
    """How training and validation compare.

    Attributes:
        verdict: ``fine``, ``overfitting``, ``underfitting``, ``unfinished`` (both losses were still falling) or
            ``unknown`` (too few epochs, or figures that the run did not note).
        sentence: The same for people, with the figures it rests on.
    """

    verdict: Literal["fine", "overfitting", "underfitting", "unfinished", "unknown"]
    sentence: str


@dataclass(frozen=True)
class Run:
    """A run folder as far as it is read here."""

    name: str
    folder: Path
    epochs: tuple[Epoch, ...]
    best: Epoch


def read_run(folder: Path, name: str = "") -> Run:
    """Read ``metrics.csv`` of a run folder; the run may still be going on.

    Args:
        folder: The run folder.
        name: For legends; default: the folder's name.

    Raises:
        DataError: It is no run folder, has no validation yet, or its figures are damaged.
    """
    file = folder / METRICS
    if not file.is_file():
        raise DataError(f"holds no {METRICS}", path=str(folder), hint="Name the folder that `unmask train --out` wrote")
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        epochs = tuple(_epoch(number, row) for number, row in enumerate(rows, 1))
        improved = [one for one, row in zip(epochs, rows, strict=True) if _number(row, "improved", default=0.0) > 0]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"is damaged: {error}", path=str(file)) from error
    if not epochs:
        raise DataError("has no validation yet", path=str(folder), hint="Wait for its first epoch to end")
    return Run(name or folder.resolve().name, folder, epochs, improved[-1] if improved else _best(epochs))


def _epoch(number: int, row: Mapping[str, Any]) -> Epoch:
    values = {
        name: next((_number(row, column) for column in _NAMES.get(name, (name,)) if row.get(column)), math.nan)
        for name in ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "auc", "score")
    }
    seconds, epoch = _number(row, "seconds", default=0.0), _number(row, "epoch", default=float(number))
    return Epoch(epoch=epoch, samples=_number(row, "samples"), seconds=seconds, **values)


def _number(row: Mapping[str, Any], name: str, default: float | None = None) -> float:
    text = row.get(name)
    if text in (None, ""):
        if default is None:
            raise ValueError(f"no {name}")
        return default
    return float(str(text))


def _best(epochs: Sequence[Epoch]) -> Epoch:
    def merit(one: Epoch) -> float:
        known = one.score if math.isfinite(one.score) else one.auc
        return known if math.isfinite(known) else -one.val_loss if math.isfinite(one.val_loss) else -math.inf

    return max(epochs, key=merit)


RISEN = 1.1
"""Validation loss at the end over its lowest from which on it counts as risen."""

FALLING = 0.97
"""Loss of the last third over that of the third before from which down it counts as still falling."""

APART, WEAK = 0.1, 0.65
"""Accuracy lost from training to validation that is a lot; accuracy that is little more than guessing."""


def gap(epochs: Sequence[Epoch], best: Epoch) -> Gap:
    """Say whether a run has learnt, learnt by heart, or not yet learnt.

    Signs, in this order (Goodfellow, Bengio, Courville, "Deep Learning", 2016, chapters 5.2 and 7.8), where training
    has learnt anything (accuracy of 0.65): a validation loss that has risen by a tenth since its lowest while the
    training loss fell, or ten points of accuracy lost between training and validation: overfitting. Accuracy below 0.65
    at the best epoch: underfitting. Both losses still falling at the end: unfinished.

    Args:
        epochs: At least one.
        best: One of them.
    """
    if not all(math.isfinite(v) for v in (best.train_loss, best.val_loss)) or len(epochs) < 2:
        return Gap("unknown", "Too little was noted to compare training with validation.")
    words = _figures(best)
    lowest = min(epochs, key=lambda one: one.val_loss)
    last = epochs[-1]
    risen = last.val_loss > RISEN * lowest.val_loss and last.train_loss < lowest.train_loss
    lost = best.train_accuracy - best.val_accuracy
    if best.train_accuracy >= WEAK and (risen or lost > APART):
        why = (
            f"; since {lowest} the validation loss has risen from {lowest.val_loss:.3f} to "
            f"{last.val_loss:.3f} while the training loss fell"
            if risen
            else f", {100 * lost:.0f} points apart"
        )
        return Gap(
            "overfitting",
            f"Overfitting: {words}{why}. More or more varied data, stronger augmentation or fewer epochs would help.",
        )
    if min(best.train_accuracy, best.val_accuracy) < WEAK:
        where = " even where it was trained" if best.train_accuracy < WEAK else ""
        return Gap(
            "underfitting",
            f"Underfitting: {words}, little better than guessing{where}. "
            "Train longer, with a higher learning rate or a larger network, or check the labels.",
        )
    if _falling(epochs):
        return Gap("unfinished", f"Not done yet: {words}, and both losses were still falling. More epochs would help.")
    return Gap("fine", f"Fine: {words}. What was learnt holds on faces that it was not trained on.")


def _falling(epochs: Sequence[Epoch]) -> bool:
    third = len(epochs) // 3
    if third < 1:
        return False

    def still(values: Sequence[float]) -> bool:
        return sum(values[-third:]) < FALLING * sum(values[-2 * third : -third])

    return still([one.train_loss for one in epochs]) and still([one.val_loss for one in epochs])


def _figures(best: Epoch) -> str:
    text = f"at its best ({best}) the loss is {best.train_loss:.3f} in training and "
    text += f"{best.val_loss:.3f} in validation"
    if math.isfinite(best.train_accuracy) and math.isfinite(best.val_accuracy):
        text += f", accuracy {100 * best.train_accuracy:.1f} % and {100 * best.val_accuracy:.1f} %"
    return text


def summary(run: Run) -> dict[str, Any]:
    """Best and last epoch and the comparison, as plain values for JSON."""
    found = gap(run.epochs, run.best)
    return {
        "validations": len(run.epochs),
        "best": _plain(run.best),
        "last": _plain(run.epochs[-1]),
        "gap": {"verdict": found.verdict, "sentence": found.sentence},
    }


def _plain(one: Epoch) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in vars(one).items()}


def tested(folder: Path) -> dict[str, float | None] | None:
    """AUC, accuracy and F1 of the files in ``test/metrics.json``; None where the run was not tested."""
    try:
        figures = json.loads((folder / "test" / "metrics.json").read_text(encoding="utf-8"))
        pooled = figures["detectors"][0]["file"]["pooled"]
        return {name: pooled[name]["value"] for name in ("auc", "accuracy", "f1")}
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None


def draw(runs: Sequence[Run], file: Path, *, by: By = "epoch", title: str = "") -> None:
    """Loss, accuracy and AUC over time as a PNG; the best epoch of each run is marked.

    Args:
        runs: One, or several laid over each other: training dashed, validation solid.
        file: Written whole or not at all.
        by: The horizontal axis.
        title: Over all.
    """
    with rc_context(STYLE):
        panels = [panel for panel in _PANELS if any(_known(run, name) for run in runs for name, _ in panel[1])]
        figure = Figure(figsize=(4.6 * len(panels), 3.7), layout="constrained")
        for place, (words, series) in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), place + 1)
            _panel(axes, runs, series, by, alone=len(runs) == 1)
            axes.set(title=words, xlabel=_AXIS[by][0])
            if by == "epoch":
                axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        with replacing(file) as temporary:
            figure.savefig(temporary, format="png", dpi=130)


_TRAINING, _VALIDATION = "training", "validation"
_PANELS = (
    ("Loss", (("train_loss", _TRAINING), ("val_loss", _VALIDATION))),
    ("Accuracy at one half", (("train_accuracy", _TRAINING), ("val_accuracy", _VALIDATION))),
    ("AUC of validation", (("auc", _VALIDATION),)),
)


def _known(run: Run, name: str) -> bool:
    return any(math.isfinite(getattr(one, name)) for one in run.epochs)


def _panel(axes: Axes, runs: Sequence[Run], series: Sequence[tuple[str, str]], by: By, *, alone: bool) -> None:
    across = _AXIS[by][1]
    for number, run in enumerate(runs):
        for name, words in series:
            if not _known(run, name):
                continue
            colour = (GREY if words == _TRAINING else COLOURS[1]) if alone else COLOURS[number % len(COLOURS)]
            axes.plot(
                [across(one) for one in run.epochs],
                [getattr(one, name) for one in run.epochs],
                color=colour,
                linestyle="--" if words == _TRAINING else "-",
                linewidth=1.6,
                marker="." if len(run.epochs) <= 30 else None,
                label=words if alone else f"{run.name}, {words}",
            )
            if words == _VALIDATION:
                axes.plot(across(run.best), getattr(run.best, name), "o", color=colour, markersize=8, fillstyle="none")
        if alone:
            best = run.best
            axes.axvline(across(best), color="#1b1f26", linewidth=0.9, linestyle=":", label=f"best: {best}")
    axes.legend(loc="best")
