"""Trains the head of a recipe alone, on features of its frozen backbone that are calculated once.

    python references/default/head.py head.pt RECIPE --data OUT/manifest.parquet --cache CACHE
    unmask train RECIPE --weights head.pt --data OUT/manifest.parquet --cache CACHE --out RUN

A backbone that is trained under a head of chance values loses what it knew before the head has learnt anything. Source:
Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", 2022. What a frozen
backbone says of a picture does not change, so many passes over it cost hardly more than one.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from unmask.base.files import replacing
from unmask.base.ort import usable_cpus
from unmask.data.manifest import Manifest
from unmask.train.cache import build_cache, largest_face
from unmask.train.dataset import TrainingSet, kinds_of, sampler_of
from unmask.train.loss import loss_of
from unmask.train.network import Classifier, build
from unmask.train.networks.pooling import Covariance
from unmask.train.recipe import Recipe, load_recipe

BATCH, RATE, DECAY, WARMUP = 256, 1e-3, 0.05, 50


def features_of(network: Classifier, samples: TrainingSet, recipe: Recipe, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pooled features N×width, labels N and kinds N of the first samples of the recipe's run."""
    pooled, labels, kinds = [], [], []
    size, batch = recipe.crop.size, recipe.schedule.batch
    with torch.inference_mode():
        for step in track(range(count // batch), "features", disable=not sys.stderr.isatty()):
            crops, label, kind = zip(*(samples[(step, place, size)] for place in range(batch)), strict=True)
            pictures = torch.stack(crops).permute(0, 3, 1, 2)
            pooled.append(network.head.pool(network.backbone(network.scale(pictures))))
            labels.append(torch.tensor(label))
            kinds.append(torch.tensor(kind))
    return torch.cat(pooled), torch.cat(labels), torch.cat(kinds)


def fit(network: Classifier, pooled: Tensor, labels: Tensor, kinds: Tensor, epochs: int, smoothing: float) -> None:
    """Train what follows the pooling; what scales the pooled features is set to fit them and then stays."""
    head, pool = network.head, network.head.pool
    if isinstance(pool, Covariance):
        pool.norm.running_mean.copy_(pooled.mean(0))
        pool.norm.running_var.copy_(pooled.var(0))
        pooled = pool.norm(pooled)
    optimizer = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=DECAY)
    steps, step = epochs * (len(pooled) // BATCH), 0
    for epoch in range(epochs):
        head.train()
        for rows in torch.randperm(len(pooled))[: len(pooled) // BATCH * BATCH].split(BATCH):
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1, (step + 1) / WARMUP) * (0.5 * (1 + math.cos(math.pi * step / steps)) + 0.01)
            units, _ = head.units(pooled[rows])
            scores = units if head.kinds else None
            loss = loss_of(head.logit(units), labels[rows].float(), scores, kinds[rows], smoothing=smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
        print(f"pass {epoch + 1} of {epochs}: loss {loss.item():.3f}", flush=True)


def main() -> None:
    """Write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("recipe", help="name of a packaged recipe, or a YAML file; its network has a head")
    parser.add_argument("--data", type=Path, required=True, metavar="MANIFEST")
    parser.add_argument("--cache", type=Path, required=True, help="as of `unmask train`: decoded faces")
    parser.add_argument("--samples", type=int, default=32_000)
    parser.add_argument("--epochs", type=int, default=14, help="passes over their features")
    given = parser.parse_args()
    recipe = load_recipe(given.recipe)
    if given.samples < max(BATCH, recipe.schedule.batch):
        parser.error(f"--samples must be at least {max(BATCH, recipe.schedule.batch)}")
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(usable_cpus())
    network = build(recipe.network, recipe.crop.size).eval()
    if not isinstance(network, Classifier):
        parser.error("the recipe's network has no head of its own (network.head)")
    manifest = Manifest.read(given.data).select("train", with_face=True)
    cache = build_cache(manifest, given.cache / "train", largest=largest_face(recipe.crop.size), threads=usable_cpus())
    manifest = Manifest(manifest.table[np.array(cache.kept)], manifest.roots, manifest.about)
    samples = TrainingSet(cache, sampler_of(manifest, recipe), recipe, kinds_of(manifest, recipe))
    fit(network, *features_of(network, samples, recipe, given.samples), given.epochs, recipe.schedule.smoothing)
    with replacing(given.out) as temporary:
        torch.save(network.state_dict(), temporary)
    print(given.out)


if __name__ == "__main__":
    main()
