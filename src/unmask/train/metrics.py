"""What a validation says of a network: AUC by method, false positives by source, one number to choose by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

FALSE_POSITIVE_RATE = 0.02


@dataclass(frozen=True)
class Validation:
    """Figures of one validation.

    Attributes:
        score: What checkpoints are chosen by: half the mean over the methods of the AUC (weighted by the square root
            of their number of fakes, at most 500), half the share of fakes found.
        pooled: AUC of all rows.
        macro: The mean over the methods in ``score``.
        found: Share of fakes above the threshold that 2 % of the reals pass.
        auc: ``source/method`` -> AUC against the reals of its own source where there are at least five, else
            against all.
        false: ``source`` -> share of its reals above that threshold.
    """

    score: float
    pooled: float
    macro: float
    found: float
    auc: dict[str, float]
    false: dict[str, float]


def validate(
    logits: NDArray[np.float64], labels: Sequence[int], sources: Sequence[str], methods: Sequence[str]
) -> Validation:
    """Work out the figures; ``logits`` N in the order of the other three."""
    fake, source, method = np.array(labels) == 1, np.array(sources), np.array(methods)
    threshold = float(np.quantile(logits[~fake], 1 - FALSE_POSITIVE_RATE))
    auc, weights = {}, []
    for name in sorted({f"{s}/{m}" for s, m in zip(source[fake], method[fake], strict=True)}):
        own, kind = name.split("/", 1)
        mine = fake & (source == own) & (method == kind)
        against = ~fake & (source == own)
        if against.sum() < 5:
            against = ~fake
        rows = mine | against
        auc[name] = float(roc_auc_score(fake[rows], logits[rows]))
        weights.append(min(500, int(mine.sum())) ** 0.5)
    macro = float(np.average(list(auc.values()), weights=weights))
    found = float((logits[fake] > threshold).mean())
    false = {s: float((logits[~fake & (source == s)] > threshold).mean()) for s in sorted(set(source[~fake]))}
    return Validation((macro + found) / 2, float(roc_auc_score(fake, logits)), macro, found, auc, false)
