"""Predictions, what is counted as one, and the tables made of them."""
# ruff: noqa: E402 - the packages of an extra are looked for before what needs them is imported

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pl = pytest.importorskip("polars")

from unmask.analysis import Detector
from unmask.base.errors import DataError
from unmask.data.manifest import Manifest
from unmask.evaluate.intervals import MIN_GROUPS
from unmask.evaluate.measure import protocol_words, summarize
from unmask.evaluate.predict import SCHEMA, predict, read_picture
from unmask.evaluate.tables import ALL, OWN, by_method
from unmask.evaluate.units import clips_of, faces_of, files_of, scores_of
from unmask.faces.crop import crop_face
from unmask.model import Bundle, Level, p_fake


def test_a_row_a_row_in_order(bundle: Bundle, manifest: Manifest) -> None:
    table = predict(bundle, manifest, "val", jobs=3)
    assert table.schema == pl.Schema(SCHEMA)
    assert table["path"].to_list() == manifest.table["path"].to_list()
    no_face = table.row(1, named=True)
    assert no_face["verdict"] == no_face["picture_verdict"] == "no_face"
    assert no_face["logit"] is no_face["p_fake"] is no_face["picture_p_fake"] is None
    assert table["logit"].null_count() == 1


def test_scores_are_those_of_the_one_crop_function(bundle: Bundle, manifest: Manifest) -> None:
    table = predict(bundle, manifest, "val")
    for i in (0, 7, 70):
        row = table.row(i, named=True)
        image = read_picture(str(manifest.file(manifest.table.row(i, named=True))))
        crop = crop_face(image, (row["x0"], row["y0"], row["x1"], row["y1"]), bundle.card.crop)
        logit = float(bundle.score(crop[None])[0][0])
        assert row["logit"] == pytest.approx(logit, abs=1e-6)
        assert row["p_fake"] == pytest.approx(p_fake(bundle.card.level("face"), logit), abs=1e-6)


def test_finding_faces_anew_gives_what_analyze_gives(bundle: Bundle, bundle_file: Path, manifest: Manifest) -> None:
    table = predict(bundle, manifest, "val", faces="none")
    detector = Detector(bundle_file, faces="none", device="cpu", threads=1)
    for i in (0, 1, 7, 30):
        report = detector.analyze(manifest.files()[i])
        row = table.row(i, named=True)
        assert row["picture_p_fake"] == pytest.approx(report.p_fake, abs=1e-3)
        assert row["picture_verdict"] == report.verdict


def test_unreadable_pictures_are_rows_and_are_named(bundle: Bundle, manifest: Manifest) -> None:
    broken = manifest.files()[4]
    broken.write_bytes(b"not a picture")
    manifest.files()[6].unlink()
    table = predict(bundle, manifest, "val")
    assert table["verdict"][4] == table["verdict"][6] == "error"
    assert table["error"][4]
    summary = summarize(table, bundle.card, draws=20)
    assert summary["protocol"]["unreadable"] == 2
    assert summary["protocol"]["unreadable_first"][0] == "stills/04.png"
    assert summary["face"]["pooled"]["coverage_real"]["value"] < 1


def test_all_unreadable_is_an_error(bundle: Bundle, manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the 76 pictures can be read"):
        predict(bundle, Manifest(manifest.table, {"src": tmp_path / "moved"}), "val")


def test_an_empty_split_is_an_error(bundle: Bundle, manifest: Manifest) -> None:
    with pytest.raises(DataError, match="'test' has no rows"):
        predict(bundle, manifest, "test")


def test_progress_ends_at_all(bundle: Bundle, manifest: Manifest) -> None:
    seen: list[tuple[int, int]] = []
    predict(bundle, manifest, "val", on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (76, 76)
    assert seen == sorted(seen)


def test_a_clip_is_the_mean_of_its_frames(bundle: Bundle, manifest: Manifest) -> None:
    table = predict(bundle, manifest, "val")
    clips = clips_of(table, bundle.card)
    assert clips["path"].to_list() == ["0.mp4", "1.mp4", "2.mp4", "3.mp4"]
    mean = table.filter(pl.col("clip") == "2.mp4")["logit"].mean()
    assert clips["logit"][2] == pytest.approx(mean)
    assert clips["frames"].to_list() == clips["frames_with_face"].to_list() == [4, 4, 4, 4]
    files = files_of(table, bundle.card)
    assert files.height == 64
    assert faces_of(table).height == 76
    assert scores_of(files).face.sum() == 63


def test_methods_are_held_against_their_own_reals(bundle: Bundle, manifest: Manifest) -> None:
    lonely = manifest.table.with_columns(
        source=pl.when((pl.col("label") == 1) & (pl.col("source") == "a")).then(pl.lit("lonely")).otherwise("source")
    )
    units = faces_of(predict(bundle, Manifest(lonely, manifest.roots), "val"))
    rows = {row["source"]: row for row in by_method(units, draws=20)}
    assert rows["b"]["against"] == OWN
    assert rows["b"]["real"] == units.filter((pl.col("source") == "b") & (pl.col("label") == 0)).height
    assert rows["lonely"]["against"] == ALL
    assert rows["lonely"]["real"] == units.filter(pl.col("label") == 0).height


def test_summary_is_plain_json_and_tells_the_protocol(bundle: Bundle, manifest: Manifest) -> None:
    summary = summarize(predict(bundle, manifest, "val"), bundle.card, draws=50)
    again = json.loads(json.dumps(summary, allow_nan=False))
    assert again["protocol"]["frames_a_clip"] == [4, 4]
    assert again["file"]["pooled"]["auc"]["value"] > 0.9
    assert set(again) == {"protocol", "file", "face", "clip"}
    clips = next(row for row in again["file"]["by_source"] if row["source"] == "clips")
    assert clips["groups"] < MIN_GROUPS
    assert clips["auc"]["low"] is None


def test_the_protocol_names_the_thresholds_that_judged(bundle: Bundle, manifest: Manifest) -> None:
    predictions = predict(bundle, manifest, "val")
    (same,) = summarize(predictions, bundle.card, draws=20)["protocol"]["thresholds"]
    assert same == {"of": "single faces, pictures of 1 face, clips", "likely_fake": 0.8, "likely_real": 0.2}
    face = bundle.card.level("face")

    def level(kind: str, faces: int, high: float) -> Level:
        edges = face.thresholds.model_copy(update={"likely_fake": high})
        return face.model_copy(update={"kind": kind, "faces": faces, "thresholds": edges})

    levels = [face, level("picture", 1, 0.8), level("picture", 5, 0.9), level("clip", 1, 0.7)]
    crowd = predictions.with_columns(
        pl.when(pl.col("path") == "stills/00.png")
        .then(4)
        .when(pl.col("path") == "stills/02.png")
        .then(2)
        .otherwise("picture_faces")
        .cast(pl.Int32)
        .alias("picture_faces")
    )
    protocol = summarize(crowd, bundle.card.model_copy(update={"levels": levels}), draws=20)["protocol"]
    assert [(one["of"], one["likely_fake"]) for one in protocol["thresholds"]] == [
        ("single faces, pictures of 1 face", 0.8),
        ("pictures of 2 to 4 faces", 0.9),
        ("clips", 0.7),
    ]
    assert "clips: likely_fake from 0.700, likely_real up to 0.200" in protocol_words(protocol)


def test_a_change_is_applied_before_the_crop(bundle: Bundle, manifest: Manifest) -> None:
    dark = predict(bundle, manifest, "val", change=lambda image, _: np.zeros_like(image))
    assert dark["logit"].drop_nulls().to_list() == pytest.approx([-0.5] * 75)
