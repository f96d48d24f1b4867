"""What the files of a run folder are called; no torch here, so that whoever only looks at runs is quick."""

from __future__ import annotations

LAST, BEST = "last.ckpt", "best.pt"
GRAPH, BUNDLE = "network.onnx", "bundle.onnx"
RECIPE, ENVIRONMENT, SKIPPED, LOGS = "recipe.yaml", "environment.json", "skipped.csv", "logs"
METRICS, CURVES, SUMMARY, TEST = "metrics.csv", "curves.png", "summary.json", "test"
LOCK = ".lock"
