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

Row = dict[str, Any]


def pooled(units: pl.DataFrame, *, draws: int = 1000, seed: int = 0) -> Row:
    """All units together, every metric with its interval."""
    return _counts(units) | estimates(scores_of(units), units["group"].to_list(), draws=draws, seed=seed)


def by_source(units: pl.DataFrame, *, draws: int = 1000, seed: int = 0) -> list[Row]:
    """A row a source: coverage, verdicts of its reals and fakes; AUC where it has both."""
    rows = []
    for part in units.sort("source").partition_by("source", maintain_order=True):
        both = part["label"].n_unique() == 2
        wanted = (*_SOURCE, *_INCONCLUSIVE, *(("auc",) if both else ()))
        found = estimates(scores_of(part), part["group"].to_list(), by=wanted, draws=draws, seed=seed)
        rows.append({"source": part["source"][0]} | _counts(part) | found)
    return rows


def by_method(units: pl.DataFrame, *, draws: int = 1000, seed: int = 0) -> list[Row]:
    """A row a method of a source: its fakes against the reals of that source, or, where it has none, against all reals.

    ``against`` says which; reals of the same making leave only the trace of the method, all reals leave also the
    difference between the sources, which makes such an AUC look better than it is.
    """
    reals = units.filter(pl.col("label") == 0)
    fakes = units.filter(pl.col("label") == 1)
    rows = []
    for part in fakes.sort("method", "source").partition_by("method", "source", maintain_order=True):
        source = part["source"][0]
        own = reals.filter(pl.col("source") == source)
        both = pl.concat([part, own if own.height else reals])
        found = estimates(scores_of(both), both["group"].to_list(), by=_METHOD, draws=draws, seed=seed)
        names = {"method": part["method"][0], "source": source, "against": OWN if own.height else ALL}
        rows.append(names | _counts(both) | found)
    return rows


def _counts(units: pl.DataFrame) -> Row:
    label = units["label"]
    return {"real": int((label == 0).sum()), "fake": int((label == 1).sum()), "groups": units["group"].n_unique()}
