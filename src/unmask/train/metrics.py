"""What a validation says of a network: AUC by method, false positives by source, one number to choose by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

FALSE_POSITIVE_RATE = 0.02


Array = NDArray[np.float64]


@dataclass(frozen=True)
class ValidationRows:
    """What is known of each validation row.

    Attributes:
        labels: 1 = fake.
        sources, methods: As in the manifest.
        files: The picture, or the clip that a frame is of.
    """

    labels: Sequence[int]
    sources: Sequence[str]
    methods: Sequence[str]
    files: Sequence[str]


@dataclass(frozen=True)
class Validation:
    """Figures of one validation.

    Attributes:
        score: What checkpoints are chosen by: half the mean over the methods of the AUC (weighted by the square root
            of their number of fake files, at most 500), half the share of fakes found.
        pooled: AUC of all files.
        macro: The mean over the methods in ``score``.
        found: Share of fakes above the threshold that 2 % of the reals pass.
        loss: Mean cross-entropy in nats; every file counts once, as in the other figures.
        accuracy: Share of files on the right side of a probability of 0.5.
        auc: ``source/method`` -> AUC against the reals of its own source where there are at least five, else
            against all.
        false: ``source`` -> share of its reals above that threshold.
    """

    score: float
    pooled: float
    macro: float
    found: float
    loss: float
    accuracy: float
    auc: dict[str, float]
    false: dict[str, float]

    def monitored(self, name: str) -> float:
        """The figure that a recipe's ``schedule.monitor`` names, turned so that higher is better."""
        return {"score": self.score, "val_loss": -self.loss, "val_accuracy": self.accuracy}[name]


def file_weights(files: Sequence[str]) -> Array:
    """1 for a picture, 1/n for each of the n frames of a clip: a file counts once, however many frames it has."""
    _, place, counts = np.unique(np.array(files), return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[place], np.float64)


def validate(logits: Array, rows: ValidationRows) -> Validation:
    """Work out the figures; ``logits`` N in the order of ``rows``."""
    fake, source, method = np.array(rows.labels) == 1, np.array(rows.sources), np.array(rows.methods)
    weight = file_weights(rows.files)

    def auc_of(chosen: NDArray[np.bool_]) -> float:
        return float(roc_auc_score(fake[chosen], logits[chosen], sample_weight=weight[chosen]))

    def above(chosen: NDArray[np.bool_]) -> float:
        return float(np.average(logits[chosen] > threshold, weights=weight[chosen]))

    threshold = _quantile(logits[~fake], weight[~fake], 1 - FALSE_POSITIVE_RATE)
    auc, sizes = {}, []
    for own, kind in sorted(set(zip(source[fake].tolist(), method[fake].tolist(), strict=True))):
        mine = fake & (source == own) & (method == kind)
        against = ~fake & (source == own)
        if against.sum() < 5:
            against = ~fake
        auc[f"{own}/{kind}"] = auc_of(mine | against)
        sizes.append(min(500.0, float(weight[mine].sum())) ** 0.5)
    macro, found = float(np.average(list(auc.values()), weights=sizes)), above(fake)
    false = {s: above(~fake & (source == s)) for s in sorted(set(source[~fake]))}
    # log(1 + exp(-x)) for a fake, log(1 + exp(x)) for a real, without overflow.
    loss = float(np.average(np.logaddexp(0.0, np.where(fake, -logits, logits)), weights=weight))
    accuracy = float(np.average((logits > 0) == fake, weights=weight))
    return Validation((macro + found) / 2, auc_of(np.ones_like(fake)), macro, found, loss, accuracy, auc, false)


def _quantile(values: Array, weights: Array, share: float) -> float:
    """The smallest value with at least ``share`` of the weight at or below it."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(reached, share)), len(values) - 1)])
