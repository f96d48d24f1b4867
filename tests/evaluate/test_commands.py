"""The commands, as a user calls them, in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("polars")
pytest.importorskip("matplotlib")

from PIL import Image

from cli_support import environment
from unmask.data.manifest import Manifest
from unmask.model import load_bundle

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def unmask(tmp_path: Path, manifest: Manifest) -> Command:
    manifest.write(tmp_path / "m.parquet")

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "unmask", *map(str, arguments)]
        return subprocess.run(
            command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=180, env=environment()
        )

    return run


def test_evaluate_and_again_from_its_predictions(unmask: Command, bundle_file: Path, tmp_path: Path) -> None:
    (tmp_path / "d.py").write_text("def half(path): return 0.5\n")
    call = ["--data", "m.parquet", "--split", "val", "--draws", "20", "--rounds", "2", "--detector", "d.py:half"]
    done = unmask("evaluate", bundle_file, *call, "--detector-python", sys.executable, "--out", "one")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(".png")
    for words in ("Side by side", "d:half", "true positives", "4 frames a clip"):
        assert words in done.stdout
    again = unmask("evaluate", "--from", "one/predictions.parquet", "--draws", "20", "--out", "two", "-q")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "one/metrics.json").read_bytes() == (tmp_path / "two/metrics.json").read_bytes()
    assert {file.name for file in (tmp_path / "two").iterdir()} == {"report.html", "metrics.json", "plots", "errors"}
    refused = unmask("evaluate", "--from", "one/predictions.parquet", "--out", "one")
    assert refused.returncode == 2
    assert "exists already" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "x"], "nothing to measure"),
        (["tiny.onnx", "--out", "x"], "--data is missing"),
        (["tiny.onnx", "--from", "p.parquet", "--out", "x"], "--from goes without models"),
        (["--data", "m.parquet", "--detector", "d.py", "--out", "x"], "is not FILE.py:FUNCTION"),
    ],
)
def test_wrong_calls_leave_nothing(unmask: Command, tmp_path: Path, arguments: list[str], words: str) -> None:
    done = unmask("evaluate", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert not (tmp_path / "x").exists()


def test_sample(unmask: Command, bundle_file: Path, tmp_path: Path) -> None:
    call = ["sample", bundle_file, "--data", "m.parquet", "--split", "val", "-n", "7", "--seed", "1"]
    done = unmask(*call, "--out", "a.png")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.strip().startswith(("real", "fake"))]
    assert len(lines) == 7
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
    again = unmask(*call, "--out", "b.png")
    assert again.stdout.replace("b.png", "a.png") == done.stdout
    assert unmask(*call, "--out", "a.png").returncode == 2
    (tmp_path / "sample.png").write_bytes(b"a picture of the user's")
    for name in ("sample-2.png", "sample-3.png"):
        default = unmask(*call)
        assert default.stdout.splitlines()[-1] == name
        assert f"the faces as the network gets them are in {name}" in default.stderr
        assert (tmp_path / name).read_bytes() == (tmp_path / "a.png").read_bytes()
    assert (tmp_path / "sample.png").read_bytes() == b"a picture of the user's"
    unknown = unmask(*call, "--source", "nowhere", "--out", "c.png")
    assert unknown.returncode == 2
    assert "There are a, b, clips" in unknown.stderr


def test_calibrate_records_the_domain(unmask: Command, bundle_file: Path, tmp_path: Path) -> None:
    done = unmask("calibrate", bundle_file, "--data", "m.parquet", "--out", "new.onnx", "-q")
    assert done.returncode == 0, done.stderr
    old, new = (load_bundle(file, device="cpu", threads=1) for file in (bundle_file, tmp_path / "new.onnx"))
    assert new.card.domain == "val rows of a, b, clips"
    assert new.card.level("face") != old.card.level("face")
    assert new.sha256 in done.stdout
    assert json.loads(new.card.model_dump_json())["target_fpr"] == 0.02
