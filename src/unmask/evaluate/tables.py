"""Tables of metrics: pooled, by source, by method."""

from __future__ import annotations

from typing import Any

import polars as pl

from unmask.evaluate.intervals import estimates
from unmask.evaluate.units import scores_of

OWN, ALL = "own source", "all of the split"

_SOURCE = ("coverage_real", "coverage_fake", "found", "false_positives", "missed", "cleared")
_INCONCLUSIVE = ("inconclusive_real", "inconclusive_fake")
_METHOD = ("coverage_fake", "found", "missed", "inconclusive_fake", "auc", "tpr_at_fpr_1", "tpr_at_fpr_5", "eer")

VERDICTS = ("likely_fake", "inconclusive", "likely_real", "no_face", "error")
CLASS_METRICS = ("precision", "recall", "f1")

Row = dict[str, Any]


def pooled(units: pl.DataFrame, *, draws: int = 1000, seed: int = 0) -> Row:
    """All units together, every metric with its interval."""
    return _counts(units) | estimates(scores_of(units), units["group"].to_list(), draws=draws, seed=seed)


def by_source(units: pl.DataFrame, *, draws: int = 1000, seed: int = 0, full: bool = False) -> list[Row]:
    """A row a source: coverage, verdicts of its reals and fakes; AUC where it has both; ``full``: every metric."""
    rows = []
    for part in units.sort("source").partition_by("source", maintain_order=True):
        both = part["label"].n_unique() == 2
        wanted = () if full else (*_SOURCE, *_INCONCLUSIVE, *(("auc",) if both else ()))
        found = estimates(scores_of(part), part["group"].to_list(), by=wanted, draws=draws, seed=seed)
        rows.append({"source": part["source"][0]} | _counts(part) | found)
    return rows


def by_method(units: pl.DataFrame, *, draws: int = 1000, seed: int = 0, full: bool = False) -> list[Row]:
    """A row a method of a source: its fakes against the reals of that source, or, where it has none, against all reals.

    ``against`` says which; reals of the same making leave only the trace of the method, all reals leave also the
    difference between the sources, which makes such an AUC look better than it is. ``full``: every metric, not only
    those that the tables for people show.
    """
    reals = units.filter(pl.col("label") == 0)
    fakes = units.filter(pl.col("label") == 1)
    wanted = () if full else _METHOD
    rows = []
    for part in fakes.sort("method", "source").partition_by("method", "source", maintain_order=True):
        source = part["source"][0]
        own = reals.filter(pl.col("source") == source)
        both = pl.concat([part, own if own.height else reals])
        found = estimates(scores_of(both), both["group"].to_list(), by=wanted, draws=draws, seed=seed)
        names = {"method": part["method"][0], "source": source, "against": OWN if own.height else ALL}
        rows.append(names | _counts(both) | found)
    return rows


def _counts(units: pl.DataFrame) -> Row:
    label = units["label"]
    return {"real": int((label == 0).sum()), "fake": int((label == 1).sum()), "groups": units["group"].n_unique()}


def confusion(units: pl.DataFrame) -> Row:
    """Counts of truth against verdict, and what they mean at the threshold of ``likely_fake``, in words.

    Returns:
        ``verdicts``: label -> verdict -> count. ``true_positives``, ``false_positives``, ``true_negatives``,
        ``false_negatives``, and ``left_out``: reals without a face, which no figure counts. The four agree with
        accuracy, precision, recall and F1: a fake without a face is a false negative.
    """
    verdicts = {
        name: {
            verdict: units.filter((pl.col("label") == label) & (pl.col("verdict") == verdict)).height
            for verdict in VERDICTS
        }
        for name, label in (("fake", 1), ("real", 0))
    }
    fake, real = verdicts["fake"], verdicts["real"]
    unseen = real["no_face"] + real["error"]
    return {
        "verdicts": verdicts,
        "true_positives": fake["likely_fake"],
        "false_negatives": sum(fake.values()) - fake["likely_fake"],
        "false_positives": real["likely_fake"],
        "true_negatives": sum(real.values()) - real["likely_fake"] - unseen,
        "left_out": unseen,
    }


def class_report(pooled: Row, counts: Row) -> list[Row]:
    """A row a class, then their mean and their mean weighted by support: precision, recall, F1, support.

    Args:
        pooled: Of :func:`pooled`; the intervals of the classes are its own.
        counts: Of :func:`confusion` over the same units.
    """
    support = {
        "fake": counts["true_positives"] + counts["false_negatives"],
        "real": counts["true_negatives"] + counts["false_positives"],
    }
    total = sum(support.values())
    columns = {
        "fake": (support["fake"], ("precision", "found", "f1")),
        "real": (support["real"], ("precision_real", "recall_real", "f1_real")),
        "mean": (total, ("precision_mean", "recall_mean", "f1_mean")),
        "weighted mean": (total, ("precision_weighted", "recall_weighted", "f1_weighted")),
    }
    return [
        {"class": name, "support": count}
        | {metric: pooled[key] for metric, key in zip(CLASS_METRICS, keys, strict=True)}
        for name, (count, keys) in columns.items()
    ]
