"""Metrics of an order: AUC, average precision, equal error rate, found rate at a false-positive rate.

All take many sets of weights at once, so that a bootstrap is one matrix product and not a thousand sorts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """Weight at or above each distinct score, from the highest score down, a row for each set of weights.

    Attributes:
        fakes: B×(K+1), cumulated weight of the fakes; the first column is 0, the last all of them.
        reals: The same of the reals.
    """

    fakes: Array
    reals: Array


def curve(fake: NDArray[np.bool_], score: Array, weights: Array) -> Curve:
    """Sort once, cumulate for every set of weights.

    Args:
        fake: (N,) truth.
        score: (N,) finite; higher speaks for fake.
        weights: B×N, at least 0.
    """
    order = np.argsort(-score, kind="stable")
    # Rows of equal score enter together, else the order of the input would decide about ties.
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True)) if len(score) else np.zeros(0, np.intp)
    sorted_weights, sorted_fake = weights[:, order], fake[order]
    zero = np.zeros((len(weights), 1))
    fakes = np.cumsum(sorted_weights * sorted_fake, axis=1)[:, last]
    reals = np.cumsum(sorted_weights * ~sorted_fake, axis=1)[:, last]
    return Curve(np.hstack([zero, fakes]), np.hstack([zero, reals]))


def auc(c: Curve) -> Array:
    """Area under the ROC curve: the share of (fake, real) pairs in right order, ties counted half. NaN: one class."""
    rise = np.diff(c.reals, axis=1)
    area = (rise * (c.fakes[:, 1:] + c.fakes[:, :-1]) / 2).sum(axis=1)
    return _divide(area, c.fakes[:, -1] * c.reals[:, -1])


def average_precision(c: Curve) -> Array:
    """Mean precision over the steps of recall, without interpolation. It depends on the share of fakes in the data."""
    both = c.fakes + c.reals
    precision = np.divide(c.fakes, both, out=np.zeros_like(both), where=both > 0)[:, 1:]
    return _divide((np.diff(c.fakes, axis=1) * precision).sum(axis=1), c.fakes[:, -1])


def equal_error_rate(c: Curve) -> Array:
    """Where false positives and misses are equally frequent, on the straight line between two points of the ROC."""
    fpr, miss = rates(c)
    gap = fpr - miss  # rises from -1 to 1
    after = np.argmax(gap >= 0, axis=1)
    row = np.arange(len(gap))
    before = np.maximum(after - 1, 0)
    g0, g1 = gap[row, before], gap[row, after]
    share = np.divide(-g0, g1 - g0, out=np.zeros_like(g0), where=g1 > g0)
    result: Array = fpr[row, before] + share * (fpr[row, after] - fpr[row, before])
    return result


def found_at(c: Curve, limit: float) -> Array:
    """Highest share of the fakes found with at most ``limit`` of the reals above the threshold (no interpolation)."""
    fpr, miss = rates(c)
    found = np.where(fpr <= limit + 1e-12, 1 - miss, 0.0).max(axis=1)
    return np.where(np.isnan(fpr[:, -1] + miss[:, -1]), np.nan, found)


def rates(c: Curve) -> tuple[Array, Array]:
    """False-positive rate and miss rate (1 - found rate) at every threshold, from the highest down."""
    return _divide(c.reals, c.reals[:, -1:]), 1 - _divide(c.fakes, c.fakes[:, -1:])


def _divide(a: Array, b: Array) -> Array:
    shape = np.broadcast_shapes(a.shape, b.shape)
    quotient: Array = np.divide(a, b, out=np.full(shape, np.nan), where=np.broadcast_to(b > 0, shape))
    return quotient
