"""Platt scaling: a logit becomes a probability."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unmask.base.errors import DataError

Array = NDArray[np.float64]

_STEPS = 100


def fit_platt(fake: NDArray[np.bool_], logit: Array, weights: Array, *, prior: float = 0.5) -> tuple[float, float]:
    """Fit ``p_fake = sigmoid(scale * logit + shift)`` by the likelihood, both classes brought to a stated share.

    Targets are not 0 and 1 but (n + 1) / (n + 2) and 1 / (n + 2), n being how many units the class has (Platt,
    "Probabilistic Outputs for Support Vector Machines", 1999): perfectly separated data then give a finite scale.
    Solved by Newton's method with halved steps (Lin, Lin, Weng, "A Note on Platt's Probabilistic Outputs", 2007).

    Args:
        fake: (N,) truth.
        logit: (N,) finite.
        weights: (N,) above or equal 0; their sum over a class is the number of its units.
        prior: Share of fakes that the result assumes.

    Returns:
        Scale, above 0, and shift.

    Raises:
        DataError: A class is missing, or the logit does not rise from real to fake.
    """
    target, share = _targets(fake, weights, prior)
    # Newton is run on standardised scores, so that one size of step fits every network.
    centre = float(share @ logit)
    spread = float(np.sqrt(share @ (logit - centre) ** 2)) or 1.0
    x = (logit - centre) / spread

    def loss(a: float, b: float) -> float:
        z = a * x + b
        return float(share @ (np.logaddexp(0, z) - target * z))

    a, b = 0.0, float(np.log(prior / (1 - prior)))
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(a * x + b, -500, 500)))
        residual, curvature = share * (p - target), share * p * (1 - p)
        gradient = np.array([residual @ x, residual.sum()])
        if np.abs(gradient).max() < 1e-10:
            break
        hessian = np.array([[curvature @ x**2, curvature @ x], [curvature @ x, curvature.sum()]]) + 1e-12 * np.eye(2)
        step, now, size = np.linalg.solve(hessian, gradient), loss(a, b), 1.0
        while size > 1e-8 and loss(a - size * step[0], b - size * step[1]) > now:
            size /= 2
        a, b = a - size * float(step[0]), b - size * float(step[1])
    if a <= 0:
        raise DataError(
            "the scores do not rise from real to fake on this data, so they cannot be calibrated",
            hint="Check the labels (1 = fake) and the bundle",
        )
    return a / spread, b - a * centre / spread


def fit_shift(
    fake: NDArray[np.bool_], logit: Array, weights: Array, scale: float, *, prior: float = 0.5
) -> tuple[float, float]:
    """As :func:`fit_platt` with a given scale: only the shift is fitted, so that the mean score is the mean target.

    Returns:
        ``scale`` and the shift.

    Raises:
        DataError: A class is missing.
    """
    target, share = _targets(fake, weights, prior)
    # The mean score rises with the shift: halving finds it to the last digit.
    reach = 50 + float(np.abs(scale * logit).max())
    low, high = -reach, reach
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if float(share @ (sigmoid(scale * logit + middle) - target)) > 0:
            high = middle
        else:
            low = middle
    return scale, (low + high) / 2


def _targets(fake: NDArray[np.bool_], weights: Array, prior: float) -> tuple[Array, Array]:
    """Platt's targets, and the share of each row in the whole."""
    n_fake, n_real = float(weights[fake].sum()), float(weights[~fake].sum())
    if n_fake <= 0 or n_real <= 0:
        raise DataError(
            "calibration needs real and fake rows with a face", hint="See the counts with: unmask data show MANIFEST"
        )
    target = np.where(fake, (n_fake + 1) / (n_fake + 2), 1 / (n_real + 2))
    return target, np.where(fake, prior / n_fake, (1 - prior) / n_real) * weights


def sigmoid(z: Array | float) -> Array:
    """The logistic function, without overflow."""
    result: Array = np.exp(-np.logaddexp(0, -np.asarray(z, np.float64)))
    return result
