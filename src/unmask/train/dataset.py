"""Batches for the network: training samples made on the fly, validation crops as the analysis makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torch.utils.data import Sampler as TorchSampler

from unmask.data.blend import cross_blend, points_from_box, pose_key, self_blend
from unmask.data.manifest import Manifest
from unmask.faces.crop import crop_face
from unmask.faces.types import Box, CropSpec
from unmask.train.augment import augment
from unmask.train.cache import Region, RegionCache, read_rgb
from unmask.train.recipe import Recipe
from unmask.train.sampling import Pick, Sampler

_DONORS = 6
Key = tuple[int, int, int]
"""Step, place in the batch, side of the crop."""


def sampler_of(manifest: Manifest, recipe: Recipe) -> Sampler:
    """The sampler over a manifest's training rows."""
    table = manifest.table
    return Sampler(
        table["label"].to_list(),
        table["source"].to_list(),
        table["method"].to_list(),
        table["group"].to_list(),
        recipe.sampling,
        recipe.seed,
    )


@dataclass(frozen=True)
class StepRange(TorchSampler[Key]):
    """Numbers the samples of one epoch of one process: step, place in the batch, side of the crop.

    The first step is asked of the trainer each time, so that a resumed run goes on where it was.

    Attributes:
        first: Gives the number of the next step.
        size: Gives the side of the crops.
        steps: Steps of a whole epoch.
        batch: Samples a step, of all processes together.
        rank, world: Which of how many processes; each takes an equal share of every batch.
    """

    first: Callable[[], int]
    size: Callable[[], int]
    steps: int
    batch: int
    rank: int = 0
    world: int = 1

    def __iter__(self) -> Iterator[list[Key]]:
        share = self.batch // self.world
        start = self.first()
        for step in range(start, start - start % self.steps + self.steps):
            size = self.size()
            yield [(step, place, size) for place in range(self.rank * share, (self.rank + 1) * share)]

    def __len__(self) -> int:
        return self.steps


class TrainingSet(Dataset[tuple[Tensor, float]]):
    """Makes a sample from its key: pick, blend, vary, resize."""

    def __init__(self, cache: RegionCache, sampler: Sampler, recipe: Recipe) -> None:
        self._cache, self._sampler, self._recipe = cache, sampler, recipe
        self._last: tuple[int, list[Pick]] = (-1, [])

    def __getitem__(self, key: Key) -> tuple[Tensor, float]:
        step, place, size = key
        if self._last[0] != step:
            self._last = (step, self._sampler.batch(step, self._recipe.schedule.batch))
        pick = self._last[1][place]
        rng = np.random.default_rng([self._recipe.seed, 2, step, place])
        region = self._cache[pick.row]
        pixels = self._make(pick, region, rng)
        crop = augment(pixels, region.box, size, self._recipe.augment, rng)
        return torch.from_numpy(crop), float(pick.label)

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


def validation_crops(manifest: Manifest, spec: CropSpec) -> NDArray[np.uint8]:
    """N×S×S×3 uint8: every row's face cut out of the picture itself, as analysis and evaluation do."""
    crops = np.empty((len(manifest), spec.size, spec.size, 3), np.uint8)
    rows = manifest.table.select("x0", "y0", "x1", "y1").rows()
    for index, (file, row) in enumerate(zip(manifest.files(), rows, strict=True)):
        box: Box = (row[0], row[1], row[2], row[3])
        crops[index] = crop_face(read_rgb(file), box, spec)
    return crops


class ArraySet(Dataset[tuple[Tensor, int]]):
    """Crops that lie in memory, each with its row number."""

    def __init__(self, crops: NDArray[np.uint8]) -> None:
        self._crops = crops

    def __len__(self) -> int:
        return len(self._crops)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.from_numpy(self._crops[index]), index
