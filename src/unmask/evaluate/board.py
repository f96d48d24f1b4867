"""Everything that is said about detectors measured on the same rows, as plain values: what ``metrics.json`` holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from unmask.base.errors import DataError
from unmask.data.manifest import Manifest
from unmask.evaluate.compare import COMPARED, differences
from unmask.evaluate.measure import LEVELS, summarize
from unmask.evaluate.store import Measured
from unmask.evaluate.units import clips_of, faces_of, files_of, scores_of

VERSION = 1
FRAMES = 32
"""Frames a clip that are measured where nothing else is said; a manifest may hold fewer."""


def thin(manifest: Manifest, frames: int) -> Manifest:
    """At most so many frames of every clip, evenly spread; pictures stay.

    Args:
        manifest: Any.
        frames: At least 1.
    """
    clip = ["root", "clip"]
    place, count = pl.col("time_s").rank("ordinal").over(clip) - 1, pl.len().over(clip)
    # Of n frames those stay at which place * frames / n reaches a new whole number: evenly, the first included.
    step = (place.cast(pl.Int64) * frames) // count
    before = ((place.cast(pl.Int64) - 1) * frames) // count
    kept = (step != before) | (count <= frames) | pl.col("clip").is_null() | pl.col("time_s").is_null()
    return Manifest(manifest.table.filter(kept), manifest.roots, manifest.about)


def units_of(one: Measured) -> dict[str, pl.DataFrame]:
    """Files, faces and clips of one detector."""
    rows, card = one.predictions, one.card
    return {"file": files_of(rows, card), "face": faces_of(rows), "clip": clips_of(rows, card)}


def board(measured: Sequence[Measured], *, draws: int = 1000, seed: int = 0) -> dict[str, Any]:
    """All figures.

    Args:
        measured: Detectors on the same rows.
        draws: Bootstrap resamples.
        seed: Of the bootstrap.

    Returns:
        ``detectors``: for each what :func:`unmask.evaluate.measure.summarize` gives, with ``name``, ``facts``;
        ``differences``: for each level a row a detector after the first, its figures minus those of the first.

    Raises:
        DataError: They were measured on different rows.
    """
    _same_rows(measured)
    detectors = []
    for one in measured:
        summary = summarize(one.predictions, one.card, draws=draws, seed=seed, full=True)
        summary["protocol"] |= {name: one.facts[name] for name in ("faces", "input") if name in one.facts}
        detectors.append({"name": one.name, "facts": one.facts, **summary})
    return {
        "format": VERSION,
        "detectors": detectors,
        "differences": _differences(measured, draws, seed) if len(measured) > 1 else {},
    }


def _same_rows(measured: Sequence[Measured]) -> None:
    rows = [one.predictions.select("root", "path", "label", "group") for one in measured]
    if any(not rows[0].equals(other) for other in rows[1:]):
        raise DataError(
            "the detectors were not measured on the same rows", hint="Measure them in one call of unmask evaluate"
        )


def _differences(measured: Sequence[Measured], draws: int, seed: int) -> dict[str, list[dict[str, Any]]]:
    units = [units_of(one) for one in measured]
    first = units[0]
    result: dict[str, list[dict[str, Any]]] = {}
    for level in LEVELS:
        if not first[level].height:
            continue
        groups = first[level]["group"].to_list()
        mine = scores_of(first[level])
        result[level] = [
            {"name": one.name, "against": measured[0].name}
            | differences(mine, scores_of(other[level]), groups, by=COMPARED, draws=draws, seed=seed)
            for one, other in zip(measured[1:], units[1:], strict=True)
        ]
    return result
