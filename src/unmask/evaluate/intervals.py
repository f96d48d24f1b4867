"""Bootstrap intervals, resampled by group: pictures of one person or original are no independent witnesses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from unmask.evaluate.metrics import Scores, measure

RATES = {
    **dict.fromkeys(("coverage_fake", "found", "missed", "inconclusive_fake"), True),
    **dict.fromkeys(("coverage_real", "false_positives", "cleared", "inconclusive_real", "recall_real"), False),
}
"""Metrics that are a share of the fakes (True) or of the reals (False)."""

MIN_GROUPS = 5
"""With fewer groups of a class resampling says nothing about the spread, so no interval is given."""

_CHUNK = 250_000


class Estimate(TypedDict):
    """A metric and its 95 % interval; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


def estimates(
    scores: Scores, groups: Sequence[str] | NDArray[Any], *, by: Sequence[str] = (), draws: int = 1000, seed: int = 0
) -> dict[str, Estimate]:
    """Metrics with percentile intervals.

    Args:
        scores: N rows.
        groups: (N,) what is drawn together.
        by: Only these metrics; default all of :func:`unmask.evaluate.metrics.measure`.
        draws: Resamples.
        seed: Of the resampling.

    Returns:
        Name -> estimate. Rates of 0 and 1 get the exact binomial limit for the number of groups. The interval is None
        where a class has fewer than :data:`MIN_GROUPS` groups, or where fewer than nine tenths of the resamples define
        the metric.
    """
    point = measure(scores, by=by)
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    drawn = [measure(scores, weights, by=by) for weights in resamples(codes, draws, seed)] if len(scores) else []
    fewest = min((len(np.unique(codes[side])) for side in (scores.fake, ~scores.fake) if side.any()), default=0)
    result: dict[str, Estimate] = {}
    for name, value in point.items():
        low = high = None
        spread = np.concatenate([chunk[name] for chunk in drawn]) if drawn else np.zeros(0)
        spread = spread[np.isfinite(spread)]
        if fewest >= MIN_GROUPS and len(spread) >= max(1, 0.9 * draws):
            low, high = (float(edge) for edge in np.quantile(spread, [0.025, 0.975]))
            if name in RATES:
                side = scores.fake if RATES[name] else ~scores.fake
                low, high = _open_ends(low, high, float(value[0]), len(np.unique(codes[side])))
        result[name] = {"value": _number(value[0]), "low": low, "high": high}
    return result


def resamples(codes: NDArray[np.intp], draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Row weights: how often the row's group was drawn, in chunks that fit in memory."""
    rng = np.random.default_rng(seed)
    groups = int(codes.max()) + 1 if len(codes) else 0
    size = max(1, _CHUNK // max(1, len(codes)))
    for start in range(0, draws, size):
        counts = rng.multinomial(groups, np.full(groups, 1 / groups), size=min(size, draws - start))
        yield counts[:, codes].astype(np.float64)


def _open_ends(low: float, high: float, value: float, groups: int) -> tuple[float, float]:
    """Resamples of a rate of 0 or 1 all say the same; there the exact binomial limit for so many groups is taken."""
    edge = 0.025 ** (1 / groups)
    return (min(low, edge) if value == 1 else low), (max(high, 1 - edge) if value == 0 else high)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
