"""A tiny data set whose fakes carry a trace that a small network finds at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from train_support import Watch

if TYPE_CHECKING:
    from unmask.data.manifest import Manifest
    from unmask.train.recipe import Recipe

SIDE = 96


def picture(rng: np.random.Generator, fake: bool) -> Image.Image:
    """Smooth colours; a fake has stripes over the middle."""
    coarse = Image.fromarray(rng.integers(40, 216, (6, 6, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(np.int16)
    if fake:
        pixels[24:72, 24:72] += (np.arange(48) // 4 % 2 * 60 - 30)[:, None, None].astype(np.int16)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def rows(folder: Path, split: str, label: int, count: int, seed: int) -> list[dict[str, object]]:
    """``count`` pictures of one label, written into ``folder``; real and fake of a number are one group."""
    from unmask.data.manifest import SCHEMA

    made = []
    rng = np.random.default_rng([seed, label])
    for number in range(count):
        name = f"{split}-{label}-{number}.png"
        picture(rng, bool(label)).save(folder / name)
        made.append(
            dict.fromkeys(SCHEMA)
            | {"root": "src", "path": name, "label": label, "split": split, "group": f"{split}-{number}"}
            | {"source": "stripes", "method": "striped" if label else "none", "width": SIDE, "height": SIDE}
            | {"x0": 20.0, "y0": 18.0, "x1": 76.0, "y1": 80.0, "face_score": 0.9}
        )
    return made


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """48 training and 24 validation pictures, and the manifest file beside them."""
    import polars as pl

    from unmask.data.manifest import SCHEMA, Manifest

    folder = tmp_path_factory.mktemp("stripes")
    table = [
        row for split, n in (("train", 24), ("val", 12)) for label in (0, 1) for row in rows(folder, split, label, n, 7)
    ]
    manifest = Manifest(pl.DataFrame(table, schema=SCHEMA), {"src": folder})
    manifest.write(folder / "manifest.parquet")
    return manifest


@pytest.fixture
def recipe() -> Recipe:
    """A network of a thousand values at 32 px from random weights, 6 steps of 8; no time at all on any machine."""
    from unmask.train.recipe import Recipe

    return Recipe.model_validate(
        {
            "name": "tiny",
            "crop": {"size": 32},
            "network": {
                "cnn": {"widths": [4, 8], "batch_norm": True},
                "weights": "none",
                "head": {"input_dropout": 0.1},
            },
            "sampling": {"fake": {"self-blend": 1.0}, "paired": ["stripes"]},
            "schedule": {"samples": 48, "batch": 8, "epoch_samples": 24, "warmup": 0.0, "ema": 0.5, "lr": 5e-3},
        }
    )


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """See :class:`Watch`."""
    return Watch(monkeypatch)
