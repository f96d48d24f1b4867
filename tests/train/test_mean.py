"""references/default/mean.py: the mean of several checkpoints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch
import yaml

from unmask.train.export import run_onnx
from unmask.train.network import build
from unmask.train.recipe import Recipe

pytestmark = pytest.mark.train

SCRIPT = Path(__file__).parents[2] / "references" / "default" / "mean.py"


def mean(*arguments: str | Path) -> None:
    done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_weights_halfway_and_the_graph_of_them(tmp_path: Path) -> None:
    recipe = Recipe.model_validate({"name": "small", "network": {"weights": "none"}, "crop": {"size": 64}})
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(build(recipe.network, 64).state_dict())
    averaged = {f"ema.{name}": value for name, value in states[0].items()}
    torch.save({"state_dict": {**states[1], **averaged}}, tmp_path / "best.pt")
    torch.save(states[1], tmp_path / "head.pt")
    mean(tmp_path / "half.pt", tmp_path / "best.pt", tmp_path / "head.pt")
    half = torch.load(tmp_path / "half.pt", weights_only=True)
    assert half.keys() == states[0].keys()
    for name, value in half.items():
        if value.dtype.is_floating_point:
            torch.testing.assert_close(value, (states[0][name] + states[1][name]) / 2)
    mean(tmp_path / "half.onnx", tmp_path / "best.pt", tmp_path / "head.pt")
    network = build(recipe.network, 64).eval()
    network.load_state_dict(half)
    crops = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64), dtype=np.uint8)
    with torch.no_grad():
        logit, _ = network(torch.from_numpy(crops))
    np.testing.assert_allclose(run_onnx(tmp_path / "half.onnx", crops)[0], logit.numpy(), atol=1e-4)
