"""Which face comes when: sample i of a run is a function of the seed and i, so a run can be resumed and repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from unmask.base.errors import DataError
from unmask.data.manifest import Manifest
from unmask.train.recipe import SamplingRecipe, steps_of_epoch

SELF_BLEND, CROSS_BLEND = "self-blend", "cross-blend"
Make = Literal["as-is", "self-blend", "cross-blend"]


def needs_both(recipe: SamplingRecipe, manifest: Manifest) -> list[str]:
    """The splits that must have real and fake rows for a training: ``val``, and ``train`` but for one case.

    Where all training faces are real and the recipe makes fakes of reals on the fly, those are fakes enough.
    """
    made = any(recipe.fake.get(kind) for kind in (SELF_BLEND, CROSS_BLEND))
    real_only = set(manifest.select("train", with_face=True).table["label"]) == {0}
    return ["val"] if made and real_only else ["train", "val"]


@dataclass(frozen=True, slots=True)
class Pick:
    """One sample: which row, what is made of it, and its label (1 = fake)."""

    row: int
    make: Make
    label: int


class Batches(Protocol):
    """What :class:`Sampler` and :class:`EpochSampler` have in common."""

    def __len__(self) -> int:
        """Samples of an epoch."""
        ...

    def batch(self, step: int, size: int) -> list[Pick]:
        """The batch of one step, of all processes together."""
        ...

    def donors(self, rng: np.random.Generator, row: int, count: int) -> list[int]:
        """Real rows of other groups, as faces to be put on ``row``."""
        ...


class EpochSampler:
    """Takes every row once an epoch, in an order of chance.

    The last batch of an epoch is filled up from the epoch's beginning, so that all batches are whole: a batch norm
    needs its samples, and processes equal shares.

    Args:
        labels: One entry a row of the training split.
        balance: Repeat the rows of the rarer label until both are alike in number.
        seed: Of the run.
    """

    def __init__(self, labels: Sequence[int], balance: bool, seed: int) -> None:
        self._labels, self._seed = np.asarray(labels), seed
        fakes, reals = np.flatnonzero(self._labels == 1), np.flatnonzero(self._labels == 0)
        self._parts = [fakes, reals] if balance else [np.arange(len(self._labels))]
        self._each = max(len(part) for part in self._parts)
        self._last: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def __len__(self) -> int:
        return self._each * len(self._parts)

    def batch(self, step: int, size: int) -> list[Pick]:
        """Rows ``step * size ...`` of the endless row of epochs."""
        steps = steps_of_epoch(len(self), size)
        order = self._order(step // steps)
        first = step % steps * size
        rows = (int(order[place % len(order)]) for place in range(first, first + size))
        return [Pick(row, "as-is", int(self._labels[row])) for row in rows]

    def donors(self, rng: np.random.Generator, row: int, count: int) -> list[int]:  # noqa: ARG002
        """None: nothing is blended."""
        return []

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if self._last[0] != epoch:
            rng = np.random.default_rng([self._seed, 3, epoch])
            # Each row of the rarer label is repeated equally often, give or take one by chance.
            drawn = [
                np.concatenate([rng.permutation(part) for _ in range(-(-self._each // len(part)))])[: self._each]
                for part in self._parts
            ]
            self._last = (epoch, rng.permutation(np.concatenate(drawn)))
        return self._last[1]


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

    def __len__(self) -> int:
        return len(self._groups)

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
