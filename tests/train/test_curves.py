"""What is read out of a run's table of metrics; no torch is needed for it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib", reason="needs the extra [data]")

from cli_support import environment
from unmask.base.errors import DataError
from unmask.train.curves import draw, gap, read_run, summary
from unmask.train.curves import tested as figures_of

COLUMNS = ("step", "epoch", "samples", "seconds", "train_loss", "train_accuracy", "val_loss", "val_accuracy")


def write_run(folder: Path, rows: Sequence[tuple[float, float, float, float]], best: int | None = None) -> Path:
    """A run folder of (train loss, train accuracy, val loss, val accuracy) rows; number ``best`` improved last."""
    folder.mkdir(parents=True)
    lines = [",".join((*COLUMNS, "improved", "score", "pooled"))]
    for place, (loss, right, val_loss, val_right) in enumerate(rows):
        n = place + 1
        improved = best is None or n <= best
        known = (10 * n, n, 80 * n, 6.0 * n, loss, right, val_loss, val_right, float(improved), val_right, val_right)
        lines.append(",".join(map(str, known)))
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    return folder


FINE = [(0.69, 0.52, 0.69, 0.5), (0.4, 0.82, 0.42, 0.8), (0.3, 0.88, 0.33, 0.86), (0.3, 0.88, 0.33, 0.86)]
BY_HEART = [(0.6, 0.7, 0.6, 0.7), (0.4, 0.82, 0.5, 0.78), (0.2, 0.93, 0.6, 0.78), (0.05, 0.99, 0.9, 0.77)]
NOTHING = [(0.7, 0.5, 0.69, 0.5), (0.69, 0.5, 0.69, 0.5), (0.69, 0.51, 0.69, 0.5), (0.69, 0.5, 0.69, 0.49)]
FALLING = [(0.7 - 0.05 * n, 0.66 + 0.02 * n, 0.7 - 0.05 * n, 0.66 + 0.02 * n) for n in range(6)]
APART = [(0.6, 0.7, 0.6, 0.65), (0.3, 0.9, 0.5, 0.7), (0.1, 0.97, 0.49, 0.74), (0.1, 0.97, 0.49, 0.74)]


@pytest.mark.parametrize(
    ("rows", "best", "verdict", "words"),
    [
        (FINE, 3, "fine", "accuracy 88.0 % and 86.0 %"),
        (BY_HEART, 2, "overfitting", "since epoch 2 the validation loss has risen from 0.500 to 0.900"),
        (APART, 3, "overfitting", "23 points apart"),
        (NOTHING, 1, "underfitting", "little better than guessing"),
        (FALLING, 6, "unfinished", "both losses were still falling"),
        (FINE[:1], 1, "unknown", "Too little was noted"),
    ],
)
def test_the_gap_is_named(tmp_path: Path, rows: list[tuple[float, ...]], best: int, verdict: str, words: str) -> None:
    run = read_run(write_run(tmp_path / "run", rows, best))
    found = gap(run.epochs, run.best)
    assert found.verdict == verdict
    assert words in found.sentence
    assert run.best.epoch == best
    told = json.loads(json.dumps(summary(run), allow_nan=False))
    assert told["gap"] == {"verdict": verdict, "sentence": found.sentence}
    assert told["best"]["val_loss"] == rows[best - 1][2]
    assert told["validations"] == len(rows)


def test_a_table_of_an_older_run_is_read(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(
        "step,samples,seconds,loss,score,pooled\n3,24,1,0.6,0.4,0.7\n6,48,2,0.5,0.3,0.8\n"
    )
    run = read_run(tmp_path)
    assert [one.train_loss for one in run.epochs] == [0.6, 0.5]
    assert [one.epoch for one in run.epochs] == [1, 2]
    assert math.isnan(run.best.val_loss)
    assert run.best.auc == 0.7, "the highest score counts where no row says what was best"
    assert gap(run.epochs, run.best).verdict == "unknown"


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "holds no metrics.csv"), ("step,samples\n", "no validation yet"), ("step,samples\n1,x\n", "is damaged")],
)
def test_what_is_no_run_is_refused(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_run(tmp_path)


def test_a_picture_of_one_and_of_two_runs(tmp_path: Path) -> None:
    one, two = (read_run(write_run(tmp_path / n, rows)) for n, rows in (("a", FINE), ("b", BY_HEART)))
    for name, runs in (("one", [one]), ("two", [one, two]), ("changed", [one, one])):
        draw(runs, tmp_path / f"{name}.png", title="t")
    pictures = {
        name: np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")) for name in ("one", "two", "changed")
    }
    assert all(picture.shape[1] > 2 * picture.shape[0] for picture in pictures.values()), "three panels side by side"
    assert (pictures["two"] != pictures["changed"]).any(), "the second run is drawn"
    draw([one, two], tmp_path / "minutes.png", by="minutes", title="t")
    assert (tmp_path / "minutes.png").read_bytes() != (tmp_path / "two.png").read_bytes()


def test_figures_of_the_test_are_read_where_there_are_any(tmp_path: Path) -> None:
    assert figures_of(tmp_path) is None
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "metrics.json").write_text("[]")
    assert figures_of(tmp_path) is None
    pooled = {name: {"value": value} for name, value in (("auc", 0.9), ("accuracy", 0.8), ("f1", None))}
    (tmp_path / "test" / "metrics.json").write_text(json.dumps({"detectors": [{"file": {"pooled": pooled}}]}))
    assert figures_of(tmp_path) == {"auc": 0.9, "accuracy": 0.8, "f1": None}


def plot(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "unmask", "plot", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment(), timeout=120)


def test_the_command_overlays_runs_and_stands_for_seeds(tmp_path: Path) -> None:
    write_run(tmp_path / "x" / "run", FINE, 3)
    write_run(tmp_path / "y" / "run", BY_HEART, 2)
    for seed in (10, 9):
        write_run(tmp_path / "seeds" / f"seed-{seed}", FINE)
    done = plot("x/run", "y/run", "seeds", "-o", "all.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "all.png"
    rows = [line.split() for line in done.stdout.splitlines() if "of 4" in line or " 4 of" in line or "of" in line]
    names = [row[0] for row in rows if "/" in row[0] and row[1:2] and row[1].isdigit()]
    assert names == ["x/run", "y/run", "seeds/seed-9", "seeds/seed-10"]
    assert "y/run: Overfitting" in done.stdout
    with Image.open(tmp_path / "all.png") as picture:
        assert picture.format == "PNG"
    before = (tmp_path / "all.png").stat().st_mtime_ns
    again = plot("x/run", "-o", "all.png", cwd=tmp_path)
    assert again.returncode == 2
    assert "exists already" in again.stderr
    assert (tmp_path / "all.png").stat().st_mtime_ns == before
    for arguments, code, words in (
        (["nowhere"], 1, "holds no metrics.csv"),
        (["x/run", "-o", "a.svg"], 2, "is a PNG"),
        (["x/run", "--by", "moon", "-o", "b.png"], 2, "--by moon"),
    ):
        wrong = plot(*arguments, cwd=tmp_path)
        assert (wrong.returncode, words in wrong.stderr) == (code, True), wrong.stderr
    assert {entry.name for entry in tmp_path.iterdir()} == {"x", "y", "seeds", "all.png"}
