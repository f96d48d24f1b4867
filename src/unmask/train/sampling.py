"""Which face comes when: sample i of a run is a function of the seed and i, so a run can be resumed and repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unmask.base.errors import DataError
from unmask.train.recipe import SamplingRecipe

SELF_BLEND, CROSS_BLEND = "self-blend", "cross-blend"
Make = Literal["as-is", "self-blend", "cross-blend"]


@dataclass(frozen=True, slots=True)
class Pick:
    """One sample: which row, what is made of it, and its label (1 = fake)."""

    row: int
    make: Make
    label: int


class Sampler:
    """Fills batches by the shares of a recipe, half real, half fake.

    Args:
        labels, sources, methods, groups: One entry a row of the training split.
        recipe: The shares.
        seed: Of the run.

    Raises:
        DataError: A named kind is not in the data, or one label gets no share.
    """

    def __init__(
        self,
        labels: Sequence[int],
        sources: Sequence[str],
        methods: Sequence[str],
        groups: Sequence[str],
        recipe: SamplingRecipe,
        seed: int,
    ) -> None:
        self._seed, self._recipe = seed, recipe
        self._groups = list(groups)
        kinds: dict[str, list[int]] = {}
        reals: dict[str, list[int]] = {}
        partners: dict[tuple[str, str], list[int]] = {}
        for row, (label, source, method, group) in enumerate(zip(labels, sources, methods, groups, strict=True)):
            if label:
                kinds.setdefault(f"{source}/{method}", []).append(row)
            else:
                reals.setdefault(source, []).append(row)
                if source in recipe.paired:
                    partners.setdefault((source, group), []).append(row)
        self._partners = {
            row: partners[(source, group)]
            for row, (label, source, group) in enumerate(zip(labels, sources, groups, strict=True))
            if label and (source, group) in partners
        }
        made = {name: recipe.fake[name] for name in (SELF_BLEND, CROSS_BLEND) if recipe.fake.get(name)}
        self._fakes, self._fake_shares = _shares(kinds, recipe.fake, recipe.rest, "sampling.fake", made)
        self._reals, self._real_shares = _shares(reals, recipe.real, recipe.rest, "sampling.real", {})
        self._members = {name: _by_group(rows, self._groups) for name, rows in (kinds | reals).items()}

    def batch(self, step: int, size: int) -> list[Pick]:
        """The batch of one step: ``size // 2`` reals and as many fakes, in pairs where the recipe asks for them."""
        rng = np.random.default_rng([self._seed, 1, step])
        picks: list[Pick] = []
        for _ in range(size // 2):
            kind = self._fakes[rng.choice(len(self._fakes), p=self._fake_shares)]
            if kind in (SELF_BLEND, CROSS_BLEND):
                real = self._draw_real(rng)
                picks += [Pick(real, "as-is", 0), Pick(real, "self-blend" if kind == SELF_BLEND else "cross-blend", 1)]
                continue
            fake = self._draw(kind, rng)
            partners = self._partners.get(fake)
            if partners and rng.random() < self._recipe.pair_share:
                real = partners[int(rng.integers(len(partners)))]
            else:
                real = self._draw_real(rng)
            picks += [Pick(real, "as-is", 0), Pick(fake, "as-is", 1)]
        return picks

    def donors(self, rng: np.random.Generator, row: int, count: int) -> list[int]:
        """Real rows of other groups, as faces to be put on ``row``."""
        drawn = (self._draw_real(rng) for _ in range(count))
        return [donor for donor in drawn if self._groups[donor] != self._groups[row]]

    def _draw_real(self, rng: np.random.Generator) -> int:
        return self._draw(self._reals[rng.choice(len(self._reals), p=self._real_shares)], rng)

    def _draw(self, kind: str, rng: np.random.Generator) -> int:
        # First the group, then the row: else a clip of 48 frames counts 48 times as much as a photograph.
        groups = self._members[kind]
        rows = groups[int(rng.integers(len(groups)))]
        return int(rows[int(rng.integers(len(rows)))])


def _by_group(rows: list[int], groups: Sequence[str]) -> list[NDArray[np.int64]]:
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(groups[row], []).append(row)
    return [np.array(members) for members in found.values()]


def _shares(
    kinds: Mapping[str, list[int]], named: Mapping[str, float], rest: float, key: str, made: Mapping[str, float]
) -> tuple[list[str], NDArray[np.float64]]:
    unknown = set(named) - set(kinds) - {SELF_BLEND, CROSS_BLEND}
    if unknown:
        raise DataError(
            f"{key} names {', '.join(sorted(unknown))}, which the training data do not hold",
            hint=f"They hold: {', '.join(sorted(kinds)) or 'nothing'}",
        )
    weights = {name: named.get(name, rest * len(rows) ** 0.5) for name, rows in kinds.items()} | dict(made)
    names = [name for name, weight in weights.items() if weight > 0]
    if not names:
        raise DataError(f"{key}: nothing has a share above 0")
    values = np.array([weights[name] for name in names])
    return names, values / values.sum()
