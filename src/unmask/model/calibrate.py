"""From logits to calibrated scores and verdicts."""

from __future__ import annotations

import math
from typing import Literal

from unmask.model.card import Level

Decision = Literal["likely_fake", "likely_real", "inconclusive"]


def p_fake(level: Level, logit: float) -> float:
    """Calibrated score in [0, 1]: the logistic function of ``scale * logit + shift`` (Platt, 1999)."""
    z = level.scale * logit + level.shift
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def decide(level: Level, p: float) -> Decision:
    """The verdict for a calibrated score; a score between the thresholds is inconclusive."""
    if p >= level.thresholds.likely_fake:
        return "likely_fake"
    return "likely_real" if p <= level.thresholds.likely_real else "inconclusive"


def p_text(p: float) -> str:
    """A score with two decimals for people; never rounded to certainty: 0.9996 reads ``>0.99``."""
    if p > 0.99:
        return ">0.99"
    return "<0.01" if p < 0.01 else f"{p:.2f}"
