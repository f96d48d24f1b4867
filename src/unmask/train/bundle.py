"""From a trained graph to a bundle: calibration and thresholds from the validation rows, and the card."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

import unmask
from unmask.base.files import replacing
from unmask.data.manifest import Manifest
from unmask.evaluate.calibrate import calibrate, with_calibration
from unmask.evaluate.predict import predict
from unmask.model import Card, TrainingSet, load_bundle, pack
from unmask.train.recipe import Recipe

TERMS_UNKNOWN = "not stated; see the data set"


def make_bundle(graph: Path, manifest: Manifest, recipe: Recipe, out: Path) -> str:
    """Calibrate a graph on the validation rows and pack it with its card.

    Args:
        graph: Of :func:`unmask.train.export.export_onnx`.
        manifest: The run's data; test rows are not touched.
        recipe: The run's recipe.
        out: The bundle.

    Returns:
        SHA-256 of the bundle.

    Raises:
        DataError: The scores do not rise from real to fake on the validation rows: nothing has been learnt.
    """
    placeholder = {"kind": "face", "thresholds": {"likely_real": 0.5, "likely_fake": 0.5}, "fitted_on": "nothing"}
    card = Card.model_validate(
        {
            "name": recipe.name,
            "version": "1",
            "architecture": architecture(recipe),
            "crop": recipe.crop,
            "levels": [placeholder],
            "training": training_sets(manifest),
            "code_version": unmask.__version__,
            "machine": platform.machine(),
            "created": datetime.now(UTC).date().isoformat(),
        }
    )
    with replacing(out) as provisional:
        pack(graph, card, provisional)
        found = calibrate(predict(load_bundle(provisional, device="cpu"), manifest, "val"))
        sources = ", ".join(sorted(set(manifest.select("val").table["source"].to_list())))
        return pack(graph, with_calibration(card, found, domain=f"faces like those of {sources}"), provisional)


def architecture(recipe: Recipe) -> str:
    """The network in words, for the card."""
    return f"{recipe.network.backbone}; evidence maps at stride 16 and 32, added; logit = mean of the map + bias"


def training_sets(manifest: Manifest) -> list[TrainingSet]:
    """The sources of the training rows, with their numbers of faces."""
    rows = manifest.select("train", with_face=True).table
    counts = rows.group_by("source").agg(
        (pl.col("label") == 0).sum().alias("real"), pl.col("label").sum().alias("fake")
    )
    return [
        TrainingSet(name=source, real=real, fake=fake, terms=TERMS_UNKNOWN)
        for source, real, fake in counts.sort("source").iter_rows()
    ]
