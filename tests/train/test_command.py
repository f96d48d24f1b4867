"""``unmask train`` as a user calls it: what it leaves, what it prints, how it goes on."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("polars", reason="needs the extra [data]")
pytest.importorskip("lightning", reason="needs the extra [train]")

import polars as pl

from cli_support import environment
from unmask.data.manifest import Manifest

pytestmark = pytest.mark.train

RECIPE = """name: tiny
crop: {size: 32}
network: {weights: none, cnn: {widths: [4, 8], batch_norm: true}, head: {}}
export: fp32
sampling: {paired: [stripes]}
schedule: {samples: 768, batch: 8, epoch_samples: 384, warmup: 0.0, ema: 0.5, lr: 0.01}
"""


@pytest.fixture
def place(data: Manifest, tmp_path: Path) -> Path:
    """A folder with a recipe, a manifest whose val rows are half test rows, and one without test rows."""
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    half = pl.col("group").str.extract(r"(\d+)$").cast(pl.Int32) % 2 == 1
    split = pl.when((pl.col("split") == "val") & half).then(pl.lit("test")).otherwise(pl.col("split")).alias("split")
    Manifest(data.table.with_columns(split), data.roots).write(tmp_path / "m.parquet")
    data.write(tmp_path / "untested.parquet")
    return tmp_path


# So long that the second run can be interrupted also on a fast machine.
LONGER = ("--set", "schedule.samples=9600")


def call(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "unmask", "train", *map(str, arguments), "--draws", "20"]


def train(place: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = call(*arguments)
    return subprocess.run(
        command, cwd=place, capture_output=True, text=True, timeout=900, check=False, env=environment()
    )


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_run_ends_with_its_test_and_its_curves(place: Path) -> None:
    done = train(place, "tiny.yaml", "--data", "m.parquet", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "run/bundle.onnx"
    for words in ("accuracy at likely_fake", "AUC", "F1", "true positives", "6 + 6 files"):
        assert words in done.stdout, words
    assert "\r" not in done.stderr, "plain lines in a pipe"
    assert "\x1b" not in done.stderr
    run = place / "run"
    with Image.open(run / "curves.png") as picture:
        assert picture.format == "PNG"
    figures, summary = read(run / "test" / "metrics.json"), read(run / "summary.json")
    assert figures["detectors"][0]["facts"]["sha256"] == summary["bundle"]["sha256"]
    assert summary["test"]["auc"] == figures["detectors"][0]["file"]["pooled"]["auc"]
    assert summary["validations"] == 2
    assert summary["gap"]["sentence"] in done.stderr
    assert (run / "test" / "report.html").is_file()
    rows = pl.read_parquet(run / "test" / "predictions.parquet")
    assert set(rows["split"]) == {"test"}
    assert rows.height == 12

    # Done already: nothing is measured twice, the table is printed again.
    before = (run / "test" / "metrics.json").stat().st_mtime_ns
    again = train(place, "tiny.yaml", "--data", "m.parquet", "--out", "run")
    assert again.returncode == 1
    assert "holds a run already" in again.stderr
    resumed = train(place, "tiny.yaml", "--data", "m.parquet", "--out", "run", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "true positives" in resumed.stdout
    if read(run / "summary.json")["bundle"] == summary["bundle"]:
        assert (run / "test" / "metrics.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_without_a_test(place: Path) -> None:
    done = train(place, "tiny.yaml", "--data", "m.parquet", "--out", "run", "--no-test", "-q")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "run/bundle.onnx\n"
    assert done.stderr == ""
    assert not (place / "run" / "test").exists()
    assert read(place / "run" / "summary.json")["test"] is None
    none = train(place, "tiny.yaml", "--data", "untested.parquet", "--out", "other")
    assert none.returncode == 0, none.stderr
    assert "no test rows: nothing is tested" in none.stderr
    assert not (place / "other" / "test").exists()


@pytest.mark.slow
def test_seeds_give_mean_and_deviation_and_go_on_after_an_interrupt(place: Path) -> None:
    command = call("tiny.yaml", "--data", "m.parquet", "--out", "runs", "--seeds", 2, *LONGER)
    with subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, text=True, env=environment()) as run:
        deadline = time.monotonic() + 900
        while not (place / "runs/seed-1/test/metrics.json").exists() and time.monotonic() < deadline:
            assert run.poll() is None, run.stderr.read() if run.stderr else ""
            time.sleep(0.05)
        while not (place / "runs/seed-2/recipe.yaml").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(run.pid, signal.SIGINT)
        _, told = run.communicate(timeout=300)
    assert run.returncode == 130, told
    assert "seed 2 (2 of 2)" in told
    assert not (place / "runs/seeds.json").exists()
    first = (place / "runs/seed-1/bundle.onnx").stat().st_mtime_ns
    refused = train(place, "tiny.yaml", "--data", "m.parquet", "--out", "runs", "--seeds", 2, *LONGER)
    assert refused.returncode == 1
    assert "holds runs already" in refused.stderr
    other = train(place, "tiny.yaml", "--data", "m.parquet", "--out", "runs", "--seeds", 2, "--resume")
    assert other.returncode == 1
    assert "was started with another recipe" in other.stderr
    done = train(place, "tiny.yaml", "--data", "m.parquet", "--out", "runs", "--seeds", 2, *LONGER, "--resume")
    assert done.returncode == 0, done.stderr
    assert "seed 1 (1 of 2) is done" in done.stderr
    assert (place / "runs/seed-1/bundle.onnx").stat().st_mtime_ns == first
    result = read(place / "runs/seeds.json")
    assert result["seeds"] == [1, 2]
    values = [read(place / f"runs/seed-{n}/summary.json")["test"]["auc"]["value"] for n in (1, 2)]
    assert result["figures"]["auc"]["values"] == values
    assert result["figures"]["auc"]["mean"] == pytest.approx(sum(values) / 2)
    assert result["figures"]["auc"]["deviation"] == pytest.approx(statistics.stdev(values))
    recipes = [(place / f"runs/seed-{n}/recipe.yaml").read_text() for n in (1, 2)]
    assert recipes[0].replace("seed: 1", "seed: 2") == recipes[1]
    assert done.stdout.splitlines()[-1] == "runs/seeds.json"
    assert "deviation" in done.stdout


def test_reals_alone_are_enough_where_fakes_are_made_of_them(place: Path, data: Manifest) -> None:
    table = data.table
    Manifest(table.filter((table["split"] != "train") | (table["label"] == 0)), data.roots).write(place / "r.parquet")
    given = ("tiny.yaml", "--data", "r.parquet", "--out", "run", "--workers", "0", "--set", "schedule.samples=16")
    refused = train(place, *given)
    assert refused.returncode == 1
    assert "the split 'train' has one class only: all rows are real" in refused.stderr
    assert not (place / "run").exists()
    done = train(place, *given, "--set", "sampling.fake={self-blend: 1}", "--set", "schedule.epoch_samples=16")
    # Two steps may teach too little to be calibrated.
    assert done.returncode == 0 or "do not rise" in done.stderr, done.stderr
    assert (place / "run" / "last.ckpt").is_file()


def test_help_has_examples() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "unmask", "train", "--help"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(COLUMNS="160"),
    )
    assert done.returncode == 0
    for words in ("Examples", "--resume", "--seeds 3", "--set trainer.max_epochs=10", "unmask plot"):
        assert words in done.stdout, words
