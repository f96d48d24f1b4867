"""Batches for the network: training samples made on the fly, crops that lie in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torch.utils.data import Sampler as TorchSampler

from unmask.base.errors import DataError
from unmask.data.blend import cross_blend, points_from_box, pose_key, self_blend
from unmask.data.manifest import Manifest
from unmask.train.augment import augment
from unmask.train.cache import Region, RegionCache
from unmask.train.recipe import Recipe
from unmask.train.sampling import CROSS_BLEND, SELF_BLEND, Batches, EpochSampler, Pick, Sampler

_DONORS = 6
MADE = (SELF_BLEND, CROSS_BLEND)
"""Kinds of fakes that are made of reals."""
Key = tuple[int, int, int]
"""Step, place in the batch, side of the crop."""


def sampler_of(manifest: Manifest, recipe: Recipe) -> Batches:
    """The sampler over a manifest's training rows that the recipe asks for."""
    table = manifest.table
    labels = table["label"].to_list()
    if recipe.sampling.mode == "epoch":
        return EpochSampler(labels, recipe.sampling.balance == "sampling", recipe.seed)
    return Sampler(
        labels,
        table["source"].to_list(),
        table["method"].to_list(),
        table["group"].to_list(),
        recipe.sampling,
        recipe.seed,
    )


def label_weights(manifest: Manifest, recipe: Recipe) -> tuple[float, float]:
    """What the loss of a real and of a fake weighs: n / (2 n_label) where the recipe balances by weights, else 1."""
    if recipe.sampling.balance != "weights":
        return 1.0, 1.0
    labels = manifest.table["label"].to_numpy()
    return len(labels) / (2 * float((labels == 0).sum())), len(labels) / (2 * float((labels == 1).sum()))


@dataclass(frozen=True)
class StepRange(TorchSampler[Key]):
    """Numbers the samples of one epoch of one process: step, place in the batch, side of the crop.

    The first step is asked of the trainer each time, so that a resumed run goes on where it was.

    Attributes:
        first: Gives the number of the next step.
        size: Gives the side of the crops of a step.
        steps: Steps of a whole epoch.
        batch: Samples a step, of all processes together.
        rank, world: Which of how many processes; each takes an equal share of every batch.
    """

    first: Callable[[], int]
    size: Callable[[int], int]
    steps: int
    batch: int
    rank: int = 0
    world: int = 1

    def __iter__(self) -> Iterator[list[Key]]:
        share = self.batch // self.world
        start = self.first()
        for step in range(start, start - start % self.steps + self.steps):
            size = self.size(step)
            yield [(step, place, size) for place in range(self.rank * share, (self.rank + 1) * share)]

    def __len__(self) -> int:
        return self.steps


def kinds_of(manifest: Manifest, recipe: Recipe) -> list[int]:
    """Number of the kind of each row in ``network.head.kinds``, the one with a method first; -1 where none names it.

    Raises:
        DataError: No row is of a kind that is named.
    """
    numbers = {kind: number for number, kind in enumerate(recipe.network.kinds)}
    rows = []
    for label, source, method in manifest.table.select("label", "source", "method").iter_rows():
        kind = f"{'fake' if label else 'real'}/{source}"
        rows.append(numbers.get(f"{kind}/{method}", numbers.get(kind, -1)))
    made = {f"fake/{kind}" for kind in MADE if recipe.sampling.fake.get(kind)}
    seen = set(rows)
    empty = [kind for kind, number in numbers.items() if number not in seen and kind not in made]
    if empty:
        raise DataError(
            f"network.head.kinds: no training face is {', '.join(empty)}",
            hint="Name sources and methods of the manifest; a row counts for its method where that is named, else for "
            "its source; blends count where sampling.fake has a share for them",
        )
    return rows


class TrainingSet(Dataset[tuple[Tensor, float, int]]):
    """Makes a sample from its key: pick, blend, vary, resize.

    Args:
        cache: The rows' faces.
        sampler: Says what comes when.
        recipe: How it is varied.
        kinds: Of each row, see :func:`kinds_of`.
    """

    def __init__(self, cache: RegionCache, sampler: Batches, recipe: Recipe, kinds: Sequence[int]) -> None:
        self._cache, self._sampler, self._recipe, self._kinds = cache, sampler, recipe, kinds
        named = recipe.network.kinds
        self._made = {made: named.index(f"fake/{made}") if f"fake/{made}" in named else -1 for made in MADE}
        self._last: tuple[int, list[Pick]] = (-1, [])

    def __getitem__(self, key: Key) -> tuple[Tensor, float, int]:
        step, place, size = key
        if self._last[0] != step:
            self._last = (step, self._sampler.batch(step, self._recipe.schedule.batch))
        pick = self._last[1][place]
        rng = np.random.default_rng([self._recipe.seed, 2, step, place])
        region = self._cache[pick.row]
        pixels = self._make(pick, region, rng)
        crop = augment(pixels, region.box, size, self._recipe.augment, rng)
        kind = self._kinds[pick.row] if pick.make == "as-is" else self._made[pick.make]
        return torch.from_numpy(crop), float(pick.label), kind

    def _make(self, pick: Pick, region: Region, rng: np.random.Generator) -> NDArray[np.uint8]:
        if pick.make == "as-is":
            return region.pixels
        points = _points(region)
        if pick.make == "cross-blend":
            rows = self._sampler.donors(rng, pick.row, _DONORS)
            if rows:
                donors = [self._cache[row] for row in rows]
                key = pose_key(points)
                donor = min(donors, key=lambda other: float(np.abs(pose_key(_points(other)) - key).sum()))
                return cross_blend(region.pixels, points, donor.pixels, _points(donor), rng)
        return self_blend(region.pixels, points, rng)


def _points(region: Region) -> NDArray[np.float32]:
    return region.landmarks if region.landmarks is not None else points_from_box(region.box)


class ArraySet(Dataset[tuple[Tensor, int]]):
    """Crops that lie in memory, each with its row number."""

    def __init__(self, crops: NDArray[np.uint8]) -> None:
        self._crops = crops

    def __len__(self) -> int:
        return len(self._crops)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.from_numpy(np.array(self._crops[index])), index
