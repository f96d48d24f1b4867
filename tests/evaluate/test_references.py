"""The command that makes the packaged detector and its model card, run whole on a small set."""
# ruff: noqa: E402 - the packages of an extra are looked for before what needs them is imported

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pl = pytest.importorskip("polars")
pytest.importorskip("torch")
pytest.importorskip("timm")

from support import SIZE, make_graph
from unmask.data.manifest import Manifest
from unmask.model import load_bundle

CARD = Path(__file__).parents[2] / "references" / "default" / "card.py"


@pytest.mark.slow
@pytest.mark.train
def test_from_a_graph_to_a_bundle_and_a_card(manifest: Manifest, tmp_path: Path) -> None:
    # Every third group is for testing, every third for training.
    split = pl.col("group").rank("dense").mod(3).replace_strict({0: "test", 1: "val", 2: "train"})
    table = manifest.table.with_columns(split=split)
    Manifest(table, manifest.roots).write(tmp_path / "manifest.parquet")
    graph, work, out = tmp_path / "network.onnx", tmp_path / "work", tmp_path / "bundle.onnx"
    graph.write_bytes(make_graph().SerializeToString())
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text(
        f"name: tiny\ncrop: {{faces: default, margin: 1.3, size: {SIZE}}}\nnetwork: {{backbone: none, weights: none}}\n"
    )
    (run / "metrics.csv").write_text("samples,seconds,score\n100,60,0.5\n200,120,0.75\n300,180,0.7\n")
    command = [sys.executable, str(CARD), "--graph", str(graph), "--data", str(tmp_path / "manifest.parquet")]
    options = ["--run", str(run), "--faces", "manifest", "--work", str(work), "--out", str(out)]
    small = ["--sample", "10", "--rounds", "2", "--target-fpr", "0.2"]
    done = subprocess.run([*command, *options, *small], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads((work / "figures.json").read_text())
    bundle = load_bundle(out, device="cpu", threads=1)
    assert bundle.sha256 == figures["bundle"]["sha256"]
    assert {level.kind for level in bundle.card.levels} == {"face", "picture", "track", "segment", "clip"}
    assert bundle.card.metrics["splits"] == ["test"]
    assert bundle.card.training[0].real > 0
    assert figures["training"]["chosen"]["samples"] == 200
    test = table.filter(pl.col("split") == "test")
    assert figures["test"]["protocol"]["rows"] == test.height
    text = (work / "model-card.md").read_text()
    assert bundle.sha256 in text
    assert "evidence, not proof" in text
    auc = figures["test"]["face"]["pooled"]["auc"]["value"]
    assert f"{auc:.3f}" in text
    assert str(tmp_path) not in text + json.dumps(figures)
