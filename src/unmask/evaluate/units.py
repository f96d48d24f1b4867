"""What is counted as one: a face (every picture and frame), a clip, a file (a picture or a clip)."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from unmask.analysis.clip import TrackLog
from unmask.analysis.judge import judge_clip, judge_track
from unmask.data.manifest import BOX
from unmask.evaluate.metrics import Scores
from unmask.model import Card, p_fake
from unmask.report import Report

SCORED: dict[str, Any] = {
    "path": pl.String,
    "source": pl.String,
    "method": pl.String,
    "group": pl.String,
    "label": pl.Int8,
    "split": pl.String,
    "frames": pl.Int32,
    "frames_with_face": pl.Int32,
    "logit": pl.Float64,
    "p_fake": pl.Float64,
    "verdict": pl.String,
}
"""Columns of a table of units; ``logit`` and ``p_fake`` are null where no face was found."""


def faces_of(predictions: pl.DataFrame) -> pl.DataFrame:
    """A row a picture and a frame: its one face."""
    return predictions.select(
        *(pl.col(name) for name in ("path", "source", "method", "group", "label", "split")),
        pl.lit(1, pl.Int32).alias("frames"),
        pl.col("logit").is_not_null().cast(pl.Int32).alias("frames_with_face"),
        *(pl.col(name) for name in ("logit", "p_fake", "verdict")),
    )


def clips_of(predictions: pl.DataFrame, card: Card) -> pl.DataFrame:
    """A row a clip: the mean logit over its frames with a face, judged as ``unmask analyze`` judges one track.

    The manifest follows one person a clip, so there is one track.
    """
    frames = predictions.filter(pl.col("clip").is_not_null()).sort("clip", "time_s")
    rows = [_clip(part, card) for part in frames.partition_by("root", "clip", maintain_order=True)]
    return pl.DataFrame(rows, schema=SCORED)


def files_of(predictions: pl.DataFrame, card: Card) -> pl.DataFrame:
    """A row a file, as a user meets it: pictures by the highest of their faces, clips by :func:`clips_of`."""
    stills = predictions.filter(pl.col("clip").is_null())
    whole = stills.with_columns(
        **{name: pl.col(f"picture_{name}") for name in ("logit", "p_fake", "verdict")},
    )
    return pl.concat([faces_of(whole), clips_of(predictions, card)])


def _clip(frames: pl.DataFrame, card: Card) -> dict[str, Any]:
    first = frames.row(0, named=True)
    unit = {name: first[name] for name in ("source", "method", "group", "label", "split")}
    seen = frames.filter(pl.col("logit").is_not_null())
    unit |= {"path": first["clip"], "frames": frames.height, "frames_with_face": seen.height}
    if not seen.height:
        return unit | {"logit": None, "p_fake": None, "verdict": "no_face"}
    # A detector that is handed whole pictures has scores without boxes; sizes do not count for it.
    boxes = [tuple(box) for box in seen.select(BOX).fill_null(0.0).iter_rows()]
    log = TrackLog(
        times=seen["time_s"].fill_null(0.0).to_list(),
        boxes=boxes,
        logits=seen["logit"].to_list(),
        qualities=[(min(x1 - x0, y1 - y0), 0.0, 1.0) for x0, y0, x1, y1 in boxes],
    )
    track, mean = judge_track(card, 0, log), log.mean_logit
    report = Report(path=first["clip"], verdict="error")
    judge_clip(card, [track], [mean], report)
    return unit | {"logit": mean, "p_fake": p_fake(card.level("clip"), mean), "verdict": report.verdict}


def scores_of(units: pl.DataFrame) -> Scores:
    """The columns that metrics need."""
    verdict = units["verdict"]
    return Scores(
        fake=(units["label"] == 1).to_numpy().astype(np.bool_),
        logit=units["logit"].fill_null(float("nan")).to_numpy().astype(np.float64),
        p=units["p_fake"].fill_null(float("nan")).to_numpy().astype(np.float64),
        called_fake=(verdict == "likely_fake").to_numpy().astype(np.bool_),
        called_real=(verdict == "likely_real").to_numpy().astype(np.bool_),
    )
