"""The table of degradations."""
# ruff: noqa: E402 - the packages of an extra are looked for before what needs them is imported

from __future__ import annotations

import numpy as np
import pytest

pl = pytest.importorskip("polars")

from unmask.data.manifest import Manifest
from unmask.evaluate.robustness import WEAR, choose, robustness, small_face
from unmask.faces import Face
from unmask.model import Bundle


def test_the_sample_is_even_and_repeats(manifest: Manifest) -> None:
    sample = choose(manifest, "val", 20, seed=1)
    assert sample.table["label"].sum() == 10
    counts = dict(sample.table.filter(pl.col("label") == 0).group_by("source").len().iter_rows())
    assert counts == {"a": 5, "b": 5}
    assert sample.table["clip"].null_count() == 20
    assert sample.table["x0"].null_count() == 0
    assert choose(manifest, "val", 20, seed=1).table.equals(sample.table)
    assert not choose(manifest, "val", 20, seed=2).table.equals(sample.table)


def test_what_takes_the_trace_away_takes_the_auc(bundle: Bundle, manifest: Manifest) -> None:
    levels = {"same": lambda image, _: image, "grey": lambda image, _: np.full_like(image, 128)}
    rows = robustness(bundle, manifest, split="val", size=40, levels=levels)
    clean, same, grey = rows
    assert clean["level"] == "as given"
    assert clean["auc"] == same["auc"]
    assert clean["auc"]["value"] > 0.9
    assert same["shift_real"] == same["shift_fake"] == 0
    assert grey["auc"]["value"] == 0.5
    assert grey["shift_fake"] < 0 < grey["shift_real"]


def test_a_face_is_made_small_and_not_large() -> None:
    image = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    face = Face((10.0, 10.0, 50.0, 60.0), 1.0)
    same = small_face(image, face, 64)
    assert np.abs(same.astype(int) - image).max() <= 1
    # 40 px to 10 px: what is left of white noise is the mean over blocks of 4 by 4, a quarter of the spread or less.
    assert small_face(image, face, 10).astype(float).std() < 0.4 * image.astype(float).std()
    assert all(change(image, face).shape == image.shape for change in WEAR.values())
