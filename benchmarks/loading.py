"""Does data loading keep up? Training from the real loader against training from tensors that lie in memory.

    python benchmarks/loading.py [--data MANIFEST] [--cases lite0 resnet50] [--seconds 30] [--rounds 3] [--json FILE]

The same trainer steps the same network twice: once over batches made beforehand, once over batches that the loader
makes on the fly from the cached faces, varied as the recipe `default` says, a tenth of the fakes blended anew. Rounds
of the two alternate; each figure is the median of the rounds. Memory is that of the process and its workers together,
pages that they share counted once (PSS, Linux only), in a round of its own before the others: to ask the system for it
holds the process up, and workers that are started later share what the rounds before them have left behind.
Without --data a set is made of the portrait that unmask carries.

Targets, on two cores: the loader gives 0.8 of the speed of memory for a large network (ResNet50), 0.6 for a small one
(EfficientNet-Lite0), within 8 GiB.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from unmask.base.files import write_text
from unmask.base.ort import usable_cpus
from unmask.data.manifest import Manifest
from unmask.data.synth import synth
from unmask.train.cache import build_cache
from unmask.train.dataset import StepRange, TrainingSet, sampler_of
from unmask.train.metrics import ValidationRows
from unmask.train.module import DetectorModule
from unmask.train.network import build
from unmask.train.recipe import Recipe

CASES = {
    "resnet50": ({"backbone": "resnet50", "weights": "none", "head": {"dense": [256], "dropout": 0.5}}, 0.8),
    "lite0": ({"backbone": "tf_efficientnet_lite0", "weights": "none"}, 0.6),
}
MEMORY = 8.0
BEFOREHAND = 6
"""Batches that lie in memory."""

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass
class Peak:
    """The most memory that this process and its children held together, in GiB; looked at twice a second."""

    value: float = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look while the block runs."""
        done = threading.Event()

        def look() -> None:
            while not done.wait(0.5):
                self.value = max(self.value, sum(map(pss, family(os.getpid()))) / 2**30)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def family(process: int) -> list[int]:
    """A process and all that it has started."""
    found = [process]
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found += [one for child in children.read_text().split() for one in family(int(child))]
        except OSError:
            continue
    return found


def pss(process: int) -> int:
    """Memory of a process in bytes, shared pages divided among those who share them; 0 where the system cannot tell."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


class Clock(Callback):
    """Counts steps for so many seconds, the first ones, in which everything warms up, left out."""

    def __init__(self, seconds: float, warm: int = 2) -> None:
        self._seconds, self._warm = seconds, warm
        self._start, self.steps, self.spent = 0.0, 0, 0.0

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        now = time.perf_counter()
        if trainer.global_step == self._warm:
            self._start = now
        elif trainer.global_step > self._warm:
            self.steps, self.spent = trainer.global_step - self._warm, now - self._start
            trainer.should_stop = self.spent >= self._seconds


class InMemory:
    """The same few batches again and again."""

    def __init__(self, batches: list[Batch], steps: int) -> None:
        self._batches, self._steps = batches, steps

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        return (self._batches[step % len(self._batches)] for step in range(self._steps))


def speed(recipe: Recipe, loader: Iterable[Batch], seconds: float) -> float:
    """Samples a second of training from a loader."""
    rows = ValidationRows([0, 1], ["a", "a"], ["none", "swap"], ["1", "2"])
    network = build(recipe.network, recipe.crop.size).to(memory_format=torch.channels_last)
    module = DetectorModule(network, recipe, rows, lambda *_: None, epoch=recipe.schedule.samples)
    clock = Clock(seconds)
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=recipe.steps,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, loader)
    return clock.steps * recipe.schedule.batch / clock.spent


def measure(name: str, manifest: Manifest, cache: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Both speeds of one network."""
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(given.threads)
    network, target = CASES[name]
    training = manifest.select("train", with_face=True)
    kinds = training.table.filter(label=1).group_by("source", "method").len().rows()
    fakes = sum(count for *_, count in kinds)
    shares = {f"{source}/{method}": (1 - given.blends) * count / fakes for source, method, count in kinds}
    told: dict[str, Any] = {
        "name": name,
        "crop": {"size": given.size},
        "network": network,
        "sampling": {"fake": {**shares, "self-blend": given.blends}},
        "schedule": {"samples": 10**6, "batch": given.batch},
    }
    recipe = Recipe.model_validate(told)
    regions = build_cache(training, cache, threads=usable_cpus())
    steps = recipe.steps
    samples = TrainingSet(regions, sampler_of(training, recipe), recipe)

    def real() -> DataLoader[Any]:
        order = StepRange(lambda: 0, lambda _: recipe.crop.size, steps, recipe.schedule.batch)
        return DataLoader(
            samples,
            batch_sampler=order,
            num_workers=given.workers,
            persistent_workers=given.workers > 0,
            prefetch_factor=3 if given.workers else None,
        )

    peak, memory, loaded = Peak(), [], []
    with peak.watching():
        speed(recipe, real(), given.seconds)
    source = iter(real())
    started = time.perf_counter()
    batches = [next(source) for _ in range(BEFOREHAND)]
    alone = BEFOREHAND * recipe.schedule.batch / (time.perf_counter() - started)
    del source
    for _ in range(given.rounds):
        memory.append(speed(recipe, InMemory(batches, steps), given.seconds))
        loaded.append(speed(recipe, real(), given.seconds))
    in_memory, from_loader = statistics.median(memory), statistics.median(loaded)
    return {
        "network": name,
        "in_memory": in_memory,
        "loader": from_loader,
        "loader_alone": alone,
        "ratio": from_loader / in_memory,
        "target": target,
        "peak_gib": peak.value,
        "rounds": [memory, loaded],
    }


def main() -> None:
    """Measure the networks asked for and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="manifest")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--seconds", type=float, default=30.0, help="of each round, warming up not counted")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--workers", type=int, default=1, help="as unmask train --workers")
    parser.add_argument("--blends", type=float, default=0.1, help="share of self-blends among the fakes")
    parser.add_argument("--threads", type=int, default=usable_cpus(), help="of the training process")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        if given.data is None:
            synth(place / "data", pairs=60)
        manifest = Manifest.read(given.data or place / "data" / "manifest.parquet")
        # Each in a process of its own: the second would start with what the first has left in memory.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
            told = [pool.submit(measure, name, manifest, place / "cache", given) for name in given.cases]
            results = [one.result() for one in told]
    for one in results:
        reached = one["ratio"] >= one["target"] and one["peak_gib"] <= MEMORY
        print(
            f"{one['network']:<10} in memory {one['in_memory']:7.1f}/s   loader {one['loader']:7.1f}/s "
            f"(alone {one['loader_alone']:7.1f}/s)   ratio {one['ratio']:.2f} (target {one['target']}, "
            f"{'reached' if reached else 'MISSED'})   peak {one['peak_gib']:.2f} GiB"
        )
    if given.json:
        write_text(given.json, json.dumps({"processors": usable_cpus(), "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
