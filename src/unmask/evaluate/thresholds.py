"""Where ``likely_fake`` begins and ``likely_real`` ends, chosen on validation data.

``likely_fake`` is the lowest threshold under which *all* of these hold on the validation reals:

- pooled: at most ``target_fpr`` of them are above, and its upper bound is at most ``fpr_limit``;
- of each source: the upper bound is at most ``source_limit`` (``strict_limit`` for the sources named in ``strict``).

A bound is the 80 % quantile of a beta posterior. For a source its prior has the pooled rate as mean and the strength
of :data:`STRENGTH` pictures, for a source of ten pictures says little on its own: none of ten above the threshold is no
proof, and one of ten is no disaster (partial pooling; Gelman et al., "Bayesian Data Analysis", chapter 5).

``likely_real`` is the highest threshold at or below which at most ``target_miss`` of the validation fakes fall, counted
both over all fakes and with every method weighted alike, whichever is stricter: else one large method would hide that
another is waved through. Methods of fewer than :data:`FEW` files count as one method together.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
STRENGTH = 20.0
CONFIDENCE = 0.8
FEW = 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What the thresholds must hold; see the module."""

    target_fpr: float = 0.02
    fpr_limit: float = 0.03
    source_limit: float = 0.10
    strict_limit: float = 0.05
    strict: tuple[str, ...] = ("press", "portraits")
    target_miss: float = 0.05

    @classmethod
    def aimed(cls, target_fpr: float, target_miss: float) -> Limits:
        """Limits around targets of one's own: none is so low that it would cap them, and no source is a strict one."""
        wide = 1.5 * target_fpr
        return cls(target_fpr, wide, max(cls().source_limit, wide), target_miss=target_miss, strict=())


@dataclass(frozen=True, slots=True)
class Sample:
    """Logits of one class.

    Attributes:
        logit: (N,).
        weight: (N,); a file has 1 in all, so that a clip of 16 frames does not count as 16.
        kind: (N,) source of a real, method (with its source) of a fake.
    """

    logit: Array
    weight: Array
    kind: NDArray[np.str_]

    @property
    def files(self) -> float:
        """Number of files."""
        return float(self.weight.sum())

    def share_above(self, threshold: float) -> float:
        """Weighted share at or above a logit."""
        return float(self.weight[self.logit >= threshold].sum()) / self.files

    def share_below(self, threshold: float) -> float:
        """Weighted share at or below a logit."""
        return float(self.weight[self.logit <= threshold].sum()) / self.files

    def part(self, kind: str) -> Sample:
        """The rows of one kind."""
        rows = self.kind == kind
        return Sample(self.logit[rows], self.weight[rows], self.kind[rows])

    def kinds(self) -> list[str]:
        """The kinds, in order."""
        return [str(kind) for kind in np.unique(self.kind)]


@dataclass(frozen=True, slots=True)
class Choice:
    """A threshold as a logit, and what bound it.

    Attributes:
        logit: At or above it fake (``likely_fake``), at or below it real (``likely_real``).
        bound_by: The condition that the next threshold would have broken.
        notes: What could not be held.
    """

    logit: float
    bound_by: str
    notes: list[str] = field(default_factory=list)


def likely_fake(reals: Sample, limits: Limits, faces: int = 1) -> Choice:
    """The lowest threshold that holds all limits for the highest of ``faces`` independent reals.

    With n faces a rate f of one face becomes 1 - (1 - f)^n. Where even a threshold above every validation real holds
    not all of the bounds, since there are too few reals to know, that threshold is taken and a note says so.
    """
    cuts = _cuts(reals.logit)
    best = Choice(float(cuts[0]), "every validation real lies below", [])
    broken = _broken(reals, limits, faces, float(cuts[0]))
    if broken:
        return Choice(best.logit, best.bound_by, [f"too few reals to know that {what}" for what in broken])
    for cut in cuts[1:]:
        if broken := _broken(reals, limits, faces, float(cut)):
            return Choice(best.logit, broken[0])
        best = Choice(float(cut), "nothing")
    return best


def _cuts(logit: Array) -> Array:
    """Thresholds from above the highest logit downward, half-way between neighbours."""
    distinct = np.unique(logit)[::-1]
    step = float(np.std(logit)) / 10 or 0.1
    middle = (distinct[:-1] + distinct[1:]) / 2
    cuts: Array = np.concatenate([[distinct[0] + step], middle])
    return cuts


def _broken(reals: Sample, limits: Limits, faces: int, cut: float) -> list[str]:
    def many(rate: float) -> float:
        return 1.0 - (1.0 - rate) ** faces

    above = reals.logit >= cut
    count, total = float(reals.weight[above].sum()), reals.files
    rate = count / total
    broken = []
    if many(rate) > limits.target_fpr + 1e-12:
        broken.append(f"at most {limits.target_fpr:.1%} of all reals are above")
    if many(upper_bound(count, total, 0.5, 0.5)) > limits.fpr_limit:
        broken.append(f"the upper bound over all reals is at most {limits.fpr_limit:.1%}")
    prior = max(rate, limits.target_fpr / 10)
    for source in reals.kinds():
        rows = reals.kind == source
        limit = limits.strict_limit if source in limits.strict else limits.source_limit
        k, n = float(reals.weight[rows & above].sum()), float(reals.weight[rows].sum())
        if many(upper_bound(k, n, prior * STRENGTH, (1 - prior) * STRENGTH)) > limit:
            broken.append(f"the upper bound of the source {source} is at most {limit:.0%}")
    return broken


def upper_bound(count: float, total: float, a: float, b: float) -> float:
    """The :data:`CONFIDENCE` quantile of Beta(a + count, b + total - count)."""
    from scipy.stats import beta

    return float(beta.ppf(CONFIDENCE, a + count, b + max(0.0, total - count)))


def likely_real(fakes: Sample, limits: Limits, reals: Sample | None = None, faces: int = 1) -> Choice:
    """The highest threshold at or below which no more of the fakes fall than ``target_miss`` allows.

    With n faces, one of them fake, the highest of all lies below a threshold only if the fake and n - 1 reals do.
    """
    cuts = -_cuts(-fakes.logit)  # rising
    others = np.ones(len(cuts))
    if reals is not None and faces > 1:
        others = np.array([reals.share_below(float(cut)) for cut in cuts]) ** (faces - 1)
    shares = {"over all fakes": fakes.weight / fakes.files, "every method alike": _even(fakes)}
    found = {}
    for what, share in shares.items():
        below = np.array([share[fakes.logit <= cut].sum() for cut in cuts]) * others
        allowed = np.flatnonzero(below <= limits.target_miss + 1e-12)
        found[what] = float(cuts[allowed[-1]])  # there is one: nothing lies below the first
    what = min(found, key=lambda name: found[name])
    return Choice(found[what], f"{limits.target_miss:.1%} of the fakes, {what}")


def _even(fakes: Sample) -> Array:
    """Weights that give every method the same sum, the small ones together; 1 in all."""
    names, place = np.unique(fakes.kind, return_inverse=True)
    files = np.bincount(place, fakes.weight)
    place = np.where(files[place] < FEW, len(names), place)
    _, place = np.unique(place, return_inverse=True)
    files = np.bincount(place, fakes.weight)
    share: Array = fakes.weight / files[place] / len(files)
    return share


def settle(real: float, fake: float) -> tuple[float, float, bool]:
    """Bring the two thresholds in order.

    Returns:
        ``likely_real``, ``likely_fake``, and whether they crossed: then every value between holds both conditions,
        their middle is taken for both, and the band between them is empty.
    """
    if real < fake:
        return real, fake, False
    middle = (real + fake) / 2
    return middle, middle, True
