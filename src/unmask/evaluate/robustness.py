"""How a detector holds when pictures are degraded: the same pictures and boxes at every level."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from unmask.data.manifest import Manifest
from unmask.evaluate.degrade import LEVELS, reduce
from unmask.evaluate.intervals import estimates
from unmask.evaluate.predict import Change, predict
from unmask.evaluate.units import faces_of, scores_of
from unmask.faces import Face
from unmask.model import Bundle


def small_face(image: NDArray[np.uint8], face: Face, px: float) -> NDArray[np.uint8]:
    """Reduce a picture until the shorter side of the face has ``px`` pixels, and enlarge it again."""
    return reduce(image, min(1.0, px / face.size))


def _of_picture(change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> Change:
    return lambda image, _: change(image)


WEAR: dict[str, Change] = {
    **{name: _of_picture(change) for name, change in LEVELS.items()},
    **{f"face of {px} px": partial(small_face, px=px) for px in (128, 96, 64, 48, 32, 24)},
}
"""Name -> what is done to a picture: the levels of :mod:`unmask.evaluate.degrade`, and faces of a size."""

_METRICS = ("auc", "found", "false_positives", "missed", "cleared")


def choose(manifest: Manifest, split: str, size: int, seed: int = 0) -> Manifest:
    """About ``size`` still pictures with a face, half real and half fake, sources and methods as evenly as they allow.

    Rounds are made over the kinds: each round takes one random picture of each source (or method) that has one left.
    """
    table = manifest.select(split, with_face=True, where=pl.col("clip").is_null()).table
    # Shuffled rows numbered within their kind: ordering by that number takes one of each kind, then the next.
    shuffled = table.sample(fraction=1.0, shuffle=True, seed=seed).with_columns(
        pl.int_range(pl.len()).over("label", "source", "method").alias("round")
    )
    halves = [shuffled.filter(pl.col("label") == label).sort("round", maintain_order=True) for label in (0, 1)]
    picked = pl.concat([half.head(size // 2) for half in halves])
    return Manifest(picked.drop("round"), manifest.roots)


def robustness(
    bundle: Bundle,
    manifest: Manifest,
    *,
    split: str,
    size: int = 200,
    seed: int = 0,
    levels: Mapping[str, Change] = WEAR,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Metrics at every level, the clean pictures first.

    Boxes are those of the clean picture: what is measured is the network, not the face detector.

    Returns:
        A row a level: ``level``, AUC and rates with intervals, and ``shift_real``, ``shift_fake``: by how much the
        mean logit moved against the clean picture.
    """
    sample = choose(manifest, split, size, seed)
    rows: list[dict[str, Any]] = []
    clean: dict[int, float] = {}
    every: list[tuple[str, Change | None]] = [("as given", None), *levels.items()]
    for done, (name, change) in enumerate(every):
        units = faces_of(predict(bundle, sample, None, change=change))
        means = {label: float(np.mean(units.filter(pl.col("label") == label)["logit"].to_numpy())) for label in (0, 1)}
        clean = clean or means
        rows.append(
            {"level": name, "real": int((units["label"] == 0).sum()), "fake": int((units["label"] == 1).sum())}
            | estimates(scores_of(units), units["group"].to_list(), by=_METRICS)
            | {"shift_real": means[0] - clean[0], "shift_fake": means[1] - clean[1]}
        )
        if on_progress:
            on_progress(done + 1, len(every))
    return rows
