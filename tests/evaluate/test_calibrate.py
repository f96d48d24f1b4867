"""Calibration of a whole card, from predictions to a bundle that keeps its promise on fresh data."""
# ruff: noqa: E402 - the packages of an extra are looked for before what needs them is imported

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pl = pytest.importorskip("polars")
pytest.importorskip("scipy")

from support import make_card
from unmask.base.errors import DataError
from unmask.evaluate.calibrate import (
    MIN_CLIPS,
    calibrate,
    highest_second,
    order_statistics,
    samples,
    with_calibration,
)
from unmask.evaluate.platt import fit_shift
from unmask.evaluate.predict import SCHEMA
from unmask.evaluate.thresholds import Limits
from unmask.model import Card, Level, decide, p_fake


def make_predictions(
    seed: int, stills: int = 1200, clips: int = 20, frames: int = 8, shift: float = 2.5, bad: float = 0.0
) -> Any:
    """Normal logits: reals at 0, fakes at ``shift``; a clip has a level of its own and frames around it.

    The source ``b`` has every twelfth picture; its reals lie ``bad`` higher.
    """
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for i in range(stills):
        label = i % 2
        source = "b" if i % 24 < 2 else "a"
        logit = float(rng.normal(shift * label + (bad if source == "b" and not label else 0), 1))
        rows.append(
            {"path": f"{i}.jpg", "source": source, "label": label, "logit": logit, "clip": None, "time_s": None}
        )
    for i in range(clips):
        centre = rng.normal(shift * (i % 2), 0.8)
        rows += [
            {
                "path": f"{i}/{k}.png",
                "source": "clips",
                "label": i % 2,
                "logit": float(rng.normal(centre, 0.4)),
                "clip": f"{i}.mp4",
                "time_s": k / 4,
            }
            for k in range(frames)
        ]
    facts = {"root": "src", "split": "val", "faces": 1, "x0": 0.0, "y0": 0.0, "x1": 50.0, "y1": 50.0}
    full = [row | facts | {"method": "m" if row["label"] else "none", "group": row["path"]} for row in rows]
    return pl.DataFrame(full, schema=SCHEMA)


def level(levels: list[Level], kind: str, faces: int = 1) -> Level:
    return next(one for one in levels if one.kind == kind and one.faces == faces)


def test_levels_of_a_card_are_complete_and_rise_with_the_faces() -> None:
    levels = calibrate(make_predictions(0)).levels
    names = {(one.kind, one.faces) for one in levels}
    assert {("face", 1), ("track", 1), ("segment", 1)} <= names
    assert {("picture", n) for n in (1, 2, 3, 5, 10, 20)} <= names
    assert {("clip", n) for n in (1, 2, 3, 5)} <= names
    assert level(levels, "picture", 1).thresholds == level(levels, "face").thresholds

    def logit_at(one: Level) -> float:
        edge = one.thresholds.likely_fake
        return (math.log(edge / (1 - edge)) - one.shift) / one.scale

    cuts = [logit_at(level(levels, "picture", n)) for n in (1, 2, 3, 5, 10, 20)]
    assert cuts == sorted(cuts)
    assert all(one.ece is not None and one.ece < 0.1 for one in levels)


def test_the_promise_holds_on_fresh_data() -> None:
    face = level(calibrate(make_predictions(1, stills=4000)).levels, "face")
    fresh = make_predictions(2, stills=20_000, clips=0)
    p = np.array([p_fake(face, z) for z in fresh["logit"]])
    fake = (fresh["label"] == 1).to_numpy()
    called = np.array([decide(face, value) for value in p])
    assert (called[~fake] == "likely_fake").mean() < 0.03
    assert (called[fake] == "likely_real").mean() < 0.06
    for low in (0.2, 0.5, 0.8):
        inside = (p >= low - 0.05) & (p < low + 0.05)
        assert fake[inside].mean() == pytest.approx(low, abs=0.06)


def test_the_highest_of_five_faces_is_judged_by_its_own_level() -> None:
    levels = calibrate(make_predictions(3, stills=4000)).levels
    rng = np.random.default_rng(4)
    highest = rng.normal(size=(20_000, 5)).max(axis=1)

    def alarms(one: Level) -> float:
        return float(np.mean([decide(one, p_fake(one, z)) == "likely_fake" for z in highest]))

    assert alarms(level(levels, "picture", 5)) < 0.03
    assert alarms(level(levels, "face")) > 0.05


def test_order_statistics_agree_with_drawing() -> None:
    reals, fakes = samples(make_predictions(5, stills=600, clips=0))
    z, real, fake = order_statistics(reals, fakes, 4)
    assert real.sum() == pytest.approx(300 / 4)
    assert fake.sum() == pytest.approx(300)
    rng = np.random.default_rng(0)
    drawn = rng.choice(reals.logit, (50_000, 4)).max(axis=1)
    mixed = np.maximum(rng.choice(fakes.logit, 50_000), rng.choice(reals.logit, (50_000, 3)).max(axis=1))
    assert (z * real).sum() / real.sum() == pytest.approx(drawn.mean(), abs=0.02)
    assert (z * fake).sum() / fake.sum() == pytest.approx(mixed.mean(), abs=0.02)


def test_frames_of_a_clip_weigh_as_one_file() -> None:
    reals, fakes = samples(make_predictions(6, stills=100, clips=10, frames=16))
    assert reals.files == pytest.approx(55)
    assert fakes.files == pytest.approx(55)
    assert fakes.kinds() == ["m (a)", "m (b)", "m (clips)"]


def test_few_clips_are_said_to_be_few_and_many_fit_their_own_level() -> None:
    few = calibrate(make_predictions(7, clips=20)).levels
    assert "10 real and 10 fake validation clips, too few" in level(few, "track").fitted_on
    assert level(few, "track").thresholds.likely_fake > level(few, "face").thresholds.likely_fake
    assert level(few, "track").thresholds.likely_real < level(few, "face").thresholds.likely_real
    many = calibrate(make_predictions(8, clips=4 * MIN_CLIPS)).levels
    assert level(many, "track").fitted_on.startswith("200 real and 200 fake validation clips")
    # Frames of a clip averaged are steadier than one: the same false positives at a lower threshold.
    assert level(many, "segment").thresholds.likely_fake >= level(many, "track").thresholds.likely_fake


def test_a_real_clip_above_raises_the_threshold_of_clips() -> None:
    table = make_predictions(9)
    high = table.with_columns(logit=pl.when(pl.col("clip") == "0.mp4").then(6.0).otherwise("logit"))
    raised = level(calibrate(high).levels, "track")
    assert decide(raised, p_fake(raised, 6.0)) != "likely_fake"
    assert "bound by: the real clips" in raised.fitted_on


def test_the_worst_source_is_seen() -> None:
    calibration = calibrate(make_predictions(10, bad=2.0))
    rates = {row["kind"]: row["called_fake"] for row in calibration.report["reals"]["by_source"]}
    assert rates["b"] <= 0.10
    loose = calibrate(make_predictions(10, bad=2.0), Limits(source_limit=1.0, fpr_limit=1.0, target_fpr=0.03))
    assert {row["kind"]: row["called_fake"] for row in loose.report["reals"]["by_source"]}["b"] > rates["b"]


def test_separated_classes_leave_an_empty_band_and_say_so() -> None:
    face = level(calibrate(make_predictions(11, shift=12)).levels, "face")
    assert face.thresholds.likely_real == face.thresholds.likely_fake
    assert "crossed" in face.fitted_on


def test_reversed_scores_and_one_class_are_refused() -> None:
    with pytest.raises(DataError, match="do not rise"):
        calibrate(make_predictions(12, shift=-2))
    with pytest.raises(DataError, match="no fake row"):
        calibrate(make_predictions(12).filter(pl.col("label") == 0))


def test_rows_without_a_face_are_left_out() -> None:
    table = make_predictions(13)
    blind = pl.concat([table, table.head(50).with_columns(logit=pl.lit(None, pl.Float64))])
    assert calibrate(blind).levels == calibrate(table).levels


def test_highest_second() -> None:
    times, z = np.arange(10) / 4, np.zeros(10)
    z[4:8] = [1, 3, 3, 1]
    assert highest_second(times, z) == pytest.approx(2)
    assert highest_second(np.array([0.0, 5.0]), np.array([1.0, 3.0])) == pytest.approx(2)
    assert highest_second(np.array([0.0]), np.array([1.5])) == 1.5


def test_a_card_takes_the_levels_and_drops_old_figures() -> None:
    old: Card = make_card().model_copy(update={"metrics": {"auc": 1.0}})
    calibration = calibrate(make_predictions(14), Limits(target_fpr=0.01))
    card = with_calibration(old, calibration, domain="somewhere")
    assert card.levels == calibration.levels
    assert (card.domain, card.target_fpr, card.metrics, card.crop) == ("somewhere", 0.01, {}, old.crop)
    assert Card.model_validate_json(card.model_dump_json()) == card


def test_command_line(bundle_file: Path, manifest: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from unmask.cli import main

    manifest.write(tmp_path / "manifest.parquet")
    data = ["--data", str(tmp_path / "manifest.parquet"), "--split", "val"]
    new = tmp_path / "new.onnx"
    assert main(["calibrate", str(bundle_file), *data, "--out", str(new), "--target-fpr", "0.2"]) == 0
    assert "likely_fake bound by: " in " ".join(capsys.readouterr().out.split())
    assert main(["calibrate", str(bundle_file), *data, "--out", str(new)]) == 2
    assert "exists already" in capsys.readouterr().err
    out = tmp_path / "figures"
    assert main(["evaluate", str(new), *data, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "AUC" in printed
    assert "coverage of fakes" in printed
    assert pl.read_parquet(out / "predictions.parquet").height == 60 + 16 + 4  # pictures, frames, clips
    assert (out / "metrics.json").is_file()
    assert main(["evaluate", str(new), *data, "--out", str(out)]) == 2
    assert main(["evaluate", str(new), "--data", str(tmp_path / "none.parquet"), "--out", str(tmp_path / "x")]) == 1
    assert not (tmp_path / "x").exists()


def test_a_few_rows_whose_highest_is_a_real_still_make_a_card() -> None:
    """As of a first run on a small folder: the worst false alarms lie above every fake."""
    rows = [(0, z) for z in (-1.2, -0.8, -0.5, -0.3, -0.2, 0.1, 2.0, 2.5)] + [
        (1, z) for z in (-0.4, 0.0, 0.2, 0.4, 0.6, 0.9, 1.1, 1.4)
    ]
    facts = {"root": "src", "split": "val", "faces": 1, "x0": 0.0, "y0": 0.0, "x1": 50.0, "y1": 50.0, "source": "a"}
    full = [
        facts | {"path": f"{i}.jpg", "group": f"{i}", "label": label, "logit": z, "method": "m" if label else "none"}
        for i, (label, z) in enumerate(rows)
    ]
    levels = calibrate(pl.DataFrame(full, schema=SCHEMA)).levels
    single, many = level(levels, "picture"), level(levels, "picture", 20)
    assert many.scale > 0
    assert many.scale == pytest.approx(single.scale), "no scale of its own rises"
    # The highest of twenty lies higher by chance alone, so the same logit says less.
    assert many.shift < single.shift
    for one in levels:
        assert 0 < one.thresholds.likely_real <= one.thresholds.likely_fake < 1


def test_a_shift_alone_brings_the_mean_to_the_target() -> None:
    rng = np.random.default_rng(0)
    fake = rng.random(60) < 0.5
    logit, weights = rng.normal(size=60) * 3, rng.random(60)
    scale, shift = fit_shift(fake, logit, weights, 0.7)
    assert scale == 0.7
    share = np.where(fake, 0.5 / weights[fake].sum(), 0.5 / weights[~fake].sum()) * weights
    sizes = weights[fake].sum(), weights[~fake].sum()
    target = 0.5 * (sizes[0] + 1) / (sizes[0] + 2) + 0.5 / (sizes[1] + 2)
    assert share @ (1 / (1 + np.exp(-(scale * logit + shift)))) == pytest.approx(target, abs=1e-9)
