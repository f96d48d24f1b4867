"""``predictions.parquet``: every score of a measurement, with what is needed to measure again without the models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from unmask.base.errors import DataError
from unmask.base.files import write_bytes
from unmask.evaluate.predict import SCHEMA
from unmask.evaluate.units import clips_of
from unmask.model import Card

VERSION = 1
_KEY = "unmask"
_FIRST = {"detector": pl.String, "unit": pl.String}


@dataclass(frozen=True)
class Measured:
    """One detector with its scores.

    Attributes:
        name: Unique among those that are measured together.
        card: Its levels and thresholds, by which clips are judged.
        predictions: Columns of :data:`unmask.evaluate.predict.SCHEMA`.
        facts: ``kind`` (``bundle`` or ``detector``), ``faces``, ``input`` and what it costs; plain values for JSON.
    """

    name: str
    card: Card
    predictions: pl.DataFrame
    facts: dict[str, Any] = field(default_factory=dict)


def write_predictions(file: Path, measured: Sequence[Measured], roots: dict[str, Path]) -> None:
    """A row a picture, frame and clip for each detector; whole or not at all.

    Args:
        file: Where to.
        measured: The detectors; their cards and facts go into the metadata of the file.
        roots: Where the pictures lie, so that the worst errors can be shown again.
    """
    table = pl.concat([_with_clips(one) for one in measured])
    detectors = [{"name": one.name, "card": one.card.model_dump(mode="json"), "facts": one.facts} for one in measured]
    places = {name: str(path) for name, path in roots.items()}
    meta = json.dumps({"predictions": VERSION, "detectors": detectors, "roots": places})
    # Through memory: what Polars itself says of a full disk is no error of the system any more.
    content = BytesIO()
    table.write_parquet(content, metadata={_KEY: meta})
    write_bytes(file, content.getvalue())


def _with_clips(one: Measured) -> pl.DataFrame:
    unit = pl.when(pl.col("clip").is_null()).then(pl.lit("picture")).otherwise(pl.lit("frame")).alias("unit")
    rows = one.predictions.with_columns(unit, detector=pl.lit(one.name))
    clips = clips_of(one.predictions, one.card)
    extra = clips.with_columns(clip=pl.col("path"), unit=pl.lit("clip"), detector=pl.lit(one.name))
    # One column order for every detector, whatever its clips leave open.
    names = {**_FIRST, **SCHEMA}
    parts = [
        part.with_columns(pl.lit(None, kind).alias(name) for name, kind in names.items() if name not in part.columns)
        for part in (rows, extra)
    ]
    return pl.concat([part.select(pl.col(name).cast(kind) for name, kind in names.items()) for part in parts])


def read_predictions(file: Path) -> tuple[list[Measured], dict[str, Path]]:
    """What :func:`write_predictions` wrote.

    Returns:
        The detectors, and the roots.

    Raises:
        DataError: Not such a file.
    """
    try:
        table, meta = pl.read_parquet(file), json.loads(pl.read_parquet_metadata(file)[_KEY])
        described = [(one["name"], Card.model_validate(one["card"]), one["facts"]) for one in meta["detectors"]]
        rows = table.filter(pl.col("unit") != "clip").select("detector", *SCHEMA)
        roots = {name: Path(path) for name, path in meta["roots"].items()}
    except (OSError, KeyError, TypeError, ValueError, ValidationError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"is not a file of predictions: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            path=str(file),
            hint="Give a predictions.parquet that unmask evaluate wrote",
        ) from error
    measured = [
        Measured(name, card, rows.filter(pl.col("detector") == name).drop("detector"), facts)
        for name, card, facts in described
    ]
    if any(not one.predictions.height for one in measured):
        raise DataError("a detector has no rows", path=str(file), hint="Measure again")
    return measured, roots
