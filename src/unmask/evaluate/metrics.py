"""What a table of predictions is worth, as numbers.

Conventions, the same in every figure of the project:

- *Found* are fakes that are called ``likely_fake``. A fake without a face was not found: it stands in the denominator
  of every found rate. The order metrics (AUC, AP, EER) know only rows with a face, so coverage stands beside them.
- The false-positive rate is over reals with a face, so that a detector cannot lower it by finding fewer faces.
- Log loss, Brier score and calibration error give both classes the same weight, for scores are calibrated for a share
  of one half; AP, precision, F1 and accuracy are of the data as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unmask.evaluate import ranking

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
ECE_BINS = 15


@dataclass(frozen=True, slots=True)
class Scores:
    """Columns of predictions; N rows.

    Attributes:
        fake: Truth.
        logit: Not calibrated; NaN where no face was found.
        p: Calibrated ``p_fake``; NaN where no face was found.
        called_fake: Verdict ``likely_fake``.
        called_real: Verdict ``likely_real``.
    """

    fake: Mask
    logit: Array
    p: Array
    called_fake: Mask
    called_real: Mask

    @property
    def face(self) -> Mask:
        """Rows with a face."""
        return np.isfinite(self.logit)

    def __len__(self) -> int:
        return len(self.fake)

    def take(self, rows: Mask | NDArray[np.intp]) -> Scores:
        """Some of the rows."""
        return Scores(self.fake[rows], self.logit[rows], self.p[rows], self.called_fake[rows], self.called_real[rows])


def measure(scores: Scores, weights: Array | None = None, *, by: Sequence[str] = ()) -> dict[str, Array]:
    """All metrics, for each of B sets of row weights.

    Args:
        scores: N rows.
        weights: B×N; default one set of ones.
        by: Only these metrics; default all.

    Returns:
        Name -> (B,); NaN where it is not defined (one class only, no face at all).
    """
    w = np.ones((1, len(scores))) if weights is None else weights
    found = _rates(scores, w)
    if not by or set(by) & {"auc", "ap", "eer", "tpr_at_fpr_1", "tpr_at_fpr_5"}:
        found |= _order(scores, w, found["coverage_fake"])
    if not by or set(by) & {"log_loss", "brier", "ece"}:
        found |= _calibration(scores, w)
    return {name: found[name] for name in by} if by else found


def values(scores: Scores) -> dict[str, float]:
    """:func:`measure` of the rows as they are, as plain numbers."""
    return {name: float(value[0]) for name, value in measure(scores).items()}


def _rates(s: Scores, w: Array) -> dict[str, Array]:
    fakes, reals = w @ s.fake.astype(float), w @ (~s.fake).astype(float)
    seen_fakes, seen_reals = w @ (s.fake & s.face).astype(float), w @ (~s.fake & s.face).astype(float)
    hits, alarms = w @ (s.fake & s.called_fake).astype(float), w @ (~s.fake & s.called_fake).astype(float)
    missed, cleared = w @ (s.fake & s.called_real).astype(float), w @ (~s.fake & s.called_real).astype(float)
    right_real = seen_reals - alarms
    passed = right_real + fakes - hits  # everything that is not called fake
    # Without a single fake a precision of 0 would blame the detector for the data.
    any_fake, any_real = fakes > 0, seen_reals > 0
    found = {
        "coverage_real": _ratio(seen_reals, reals),
        "coverage_fake": _ratio(seen_fakes, fakes),
        "found": _ratio(hits, fakes),
        "false_positives": _ratio(alarms, seen_reals),
        "missed": _ratio(missed, fakes),
        "cleared": _ratio(cleared, seen_reals),
        "inconclusive_fake": _ratio(seen_fakes - hits - missed, fakes),
        "inconclusive_real": _ratio(seen_reals - alarms - cleared, seen_reals),
        "precision": _ratio(hits, any_fake * (hits + alarms)),
        "f1": _ratio(2 * hits, any_fake * (hits + alarms + fakes)),
        "accuracy": _ratio(hits + right_real, fakes + seen_reals),
        "precision_real": _ratio(right_real, any_real * passed),
        "recall_real": _ratio(right_real, seen_reals),
        "f1_real": _ratio(2 * right_real, any_real * (passed + seen_reals)),
    }
    share = _ratio(fakes, fakes + seen_reals)
    for name, of_fake in (("precision", "precision"), ("recall", "found"), ("f1", "f1")):
        fake, real = found[of_fake], found[f"{name}_real"]
        found[f"{name}_mean"] = (fake + real) / 2
        found[f"{name}_weighted"] = share * fake + (1 - share) * real
    return found


def _order(s: Scores, w: Array, coverage: Array) -> dict[str, Array]:
    face = s.face
    c = ranking.curve(s.fake[face], s.logit[face], w[:, face])
    return {
        "auc": ranking.auc(c),
        "ap": ranking.average_precision(c),
        "eer": ranking.equal_error_rate(c),
        "tpr_at_fpr_1": ranking.found_at(c, 0.01) * coverage,
        "tpr_at_fpr_5": ranking.found_at(c, 0.05) * coverage,
    }


def _calibration(s: Scores, w: Array) -> dict[str, Array]:
    face = s.face
    fake, p = s.fake[face], s.p[face]
    even = balance(fake, w[:, face])
    inside = np.clip(p, 1e-12, 1 - 1e-12)
    loss = -np.where(fake, np.log(inside), np.log1p(-inside))
    return {
        "log_loss": even @ loss,
        "brier": even @ (p - fake) ** 2,
        "ece": expected_calibration_error(fake, p, even),
    }


def balance(fake: Mask, weights: Array) -> Array:
    """Scale B×N weights so that fakes and reals have a half each; NaN where a class has none."""
    on_fake = _ratio(fake * weights, 2 * (weights @ fake.astype(float))[:, None])
    on_real = _ratio(~fake * weights, 2 * (weights @ (~fake).astype(float))[:, None])
    balanced: Array = on_fake + on_real
    return balanced


def expected_calibration_error(fake: Mask, p: Array, weights: Array, bins: int = ECE_BINS) -> Array:
    """Mean distance between score and share of fakes over equally wide bins (Guo et al., 2017), weighted by the bins.

    Args:
        fake: (N,) truth.
        p: (N,) calibrated scores in [0, 1].
        weights: B×N.
        bins: Number of bins over [0, 1].
    """
    total = weights.sum(axis=1)
    error = np.zeros(len(weights))
    place = np.minimum((p * bins).astype(int), bins - 1)
    for k in np.unique(place):
        inside = place == k
        error += np.abs(weights[:, inside] @ (p[inside] - fake[inside]))
    return _ratio(error, total)


def _ratio(a: Array, b: Array) -> Array:
    shape = np.broadcast_shapes(a.shape, b.shape)
    quotient: Array = np.divide(a, b, out=np.full(shape, np.nan), where=np.broadcast_to(b > 0, shape))
    return quotient
