"""One measurement: predictions and what they are worth, as plain values for ``metrics.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from unmask.evaluate import tables
from unmask.evaluate.intervals import MIN_GROUPS
from unmask.evaluate.units import clips_of, faces_of, files_of
from unmask.model import Card

LEVELS = ("file", "face", "clip")
"""``file``: pictures and clips as a user meets them; ``face``: every picture and frame, its one face; ``clip``."""


def summarize(
    predictions: pl.DataFrame, card: Card, *, draws: int = 1000, seed: int = 0, full: bool = False
) -> dict[str, Any]:
    """All tables of a table of predictions.

    Args:
        predictions: Of :func:`unmask.evaluate.predict.predict`.
        card: Of the bundle.
        draws: Bootstrap resamples.
        seed: Of the bootstrap.
        full: Every metric by source and by method, not only those that the tables show.

    Returns:
        ``protocol`` in words and numbers, and for each of :data:`LEVELS` that has rows ``pooled``, ``confusion``,
        ``classes`` (the classification report), ``by_source`` and ``by_method``.
    """
    units = {"file": files_of(predictions, card), "face": faces_of(predictions), "clip": clips_of(predictions, card)}
    result: dict[str, Any] = {"protocol": protocol(predictions, card, draws)}
    for name in LEVELS:
        table = units[name]
        if table.height:
            pooled, counts = tables.pooled(table, draws=draws, seed=seed), tables.confusion(table)
            result[name] = {
                "pooled": pooled,
                "confusion": counts,
                "classes": tables.class_report(pooled, counts),
                "by_source": tables.by_source(table, draws=draws, seed=seed, full=full),
                "by_method": tables.by_method(table, draws=draws, seed=seed, full=full),
            }
    return result


def protocol(predictions: pl.DataFrame, card: Card, draws: int) -> dict[str, Any]:
    """What stands beside every table: what was counted, how it was cut, how frames became a clip."""
    frames = predictions.filter(pl.col("clip").is_not_null()).group_by("root", "clip").len()["len"]
    broken = predictions.filter(pl.col("verdict") == "error")
    return {
        "rows": predictions.height,
        "splits": sorted(predictions["split"].unique()),
        "unreadable": broken.height,
        "unreadable_first": broken["path"].head(3).to_list(),
        "frames_a_clip": [min(frames.to_list()), max(frames.to_list())] if len(frames) else None,
        "crop": card.crop.model_dump(),
        "compression": "as the data are; nothing is encoded again",
        "clip": "mean logit over the frames with a face",
        "picture": "highest logit of its faces",
        "no_face": "a fake without a face counts as not found; AUC, AP and EER know only rows with a face",
        "false_positives": "reals with a face that are called likely_fake",
        "balance": "log loss, Brier score and ECE give both classes the same weight",
        "interval": f"95 %, {draws} bootstrap resamples by group; none with fewer than {MIN_GROUPS} groups of a class",
        "thresholds": _thresholds(predictions, card),
    }


def _thresholds(predictions: pl.DataFrame, card: Card) -> list[dict[str, Any]]:
    """Those by which the rows were judged, each with what it judges: clips and groups of people have their own."""
    judged = [("single faces", card.level("face"))]
    stills = predictions.filter(pl.col("clip").is_null() & (pl.col("picture_faces") > 0))
    counts: dict[int, list[int]] = {}
    for count in sorted(stills["picture_faces"].unique()):
        counts.setdefault(card.level("picture", count).faces, []).append(count)
    for few, *more in counts.values():
        span = f"{few} to {more[-1]}" if more else f"{few}"
        judged.append((f"pictures of {span} face{'' if span == '1' else 's'}", card.level("picture", few)))
    if predictions["clip"].is_not_null().any():
        judged.append(("clips", card.level("clip")))
    same: dict[tuple[float, float], list[str]] = {}
    for name, level in judged:
        edges = level.thresholds
        same.setdefault((edges.likely_fake, edges.likely_real), []).append(name)
    return [{"of": ", ".join(names), "likely_fake": f, "likely_real": r} for (f, r), names in same.items()]


def protocol_words(protocol: dict[str, Any]) -> str:
    """What stands beside every table: rows, frames a clip, aggregation, crop, faces, compression, thresholds."""
    return "; ".join(_parts(protocol)) + "."


def shared_words(protocols: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """The same for several detectors: what holds for all, then what is each one's own."""
    parts = [(name, _parts(protocol)) for name, protocol in protocols]
    common = [part for part in parts[0][1] if all(part in other for _, other in parts)]
    own = [(name, [part for part in mine if part not in common]) for name, mine in parts]
    sentences = ["; ".join(common), *(f"{name}: {'; '.join(mine)}" for name, mine in own if mine)]
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def _parts(protocol: dict[str, Any]) -> list[str]:
    frames = protocol["frames_a_clip"]
    crop = protocol["crop"]
    span = f"{frames[0]}" if frames and frames[0] == frames[1] else f"{frames[0]} to {frames[1]}" if frames else ""
    cut = protocol.get("input") or f"crop {crop['size']} px, margin {crop['margin']}"
    faces = f"faces: {protocol['faces']}" if protocol.get("faces") else ""
    parts = [
        f"{', '.join(protocol['splits'])}, {protocol['rows']:,} rows ({protocol['unreadable']} failed)",
        f"{span} frames a clip, clip = {protocol['clip']}" if frames else "no clips",
        f"picture = {protocol['picture']}",
        cut,
        faces,
        f"compression {protocol['compression']}",
        *(
            f"{one['of']}: likely_fake from {one['likely_fake']:.3f}, likely_real up to {one['likely_real']:.3f}"
            for one in protocol["thresholds"]
        ),
        f"intervals {protocol['interval']}",
    ]
    return [part for part in parts if part]
