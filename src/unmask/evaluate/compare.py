"""Two detectors on the same rows: the difference of a metric with its interval, resampled together by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmask.base.errors import DataError
from unmask.evaluate.intervals import MIN_GROUPS, Estimate, resamples
from unmask.evaluate.metrics import Scores, measure

COMPARED = ("auc", "eer", "ap", "accuracy", "found", "false_positives", "tpr_at_fpr_1", "tpr_at_fpr_5", "log_loss")
"""Metrics that are held side by side."""


def differences(
    first: Scores,
    second: Scores,
    groups: Sequence[str] | NDArray[Any],
    *,
    by: Sequence[str] = COMPARED,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Estimate]:
    """``second`` minus ``first``, with percentile intervals of the paired bootstrap.

    Every resample is the same for both (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 16),
    so what is hard for both cancels out, and the interval is narrower than those of the two figures suggest.

    Args:
        first, second: The same N rows, scored by two detectors.
        groups: (N,) what is drawn together.
        by: Metrics.
        draws: Resamples.
        seed: Of the resampling.

    Raises:
        DataError: The rows are not the same.
    """
    if len(first) != len(second) or not np.array_equal(first.fake, second.fake):
        raise DataError(
            "the detectors were not measured on the same rows", hint="Measure them in one call of unmask evaluate"
        )
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    points = {name: measure(second, by=by)[name] - measure(first, by=by)[name] for name in by}
    drawn = []
    for weights in resamples(codes, draws, seed) if len(first) else ():
        one, two = measure(first, weights, by=by), measure(second, weights, by=by)
        drawn.append({name: two[name] - one[name] for name in by})
    fewest = min((len(np.unique(codes[side])) for side in (first.fake, ~first.fake) if side.any()), default=0)
    result: dict[str, Estimate] = {}
    for name, value in points.items():
        spread = np.concatenate([chunk[name] for chunk in drawn]) if drawn else np.zeros(0)
        spread = spread[np.isfinite(spread)]
        low = high = None
        if fewest >= MIN_GROUPS and len(spread) >= max(1, 0.9 * draws):
            low, high = (float(edge) for edge in np.quantile(spread, [0.025, 0.975]))
        point = float(value[0])
        result[name] = {"value": point if np.isfinite(point) else None, "low": low, "high": high}
    return result
