"""references/default/ensemble.py: several looks at one crop in one graph."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.train

REFERENCES = Path(__file__).parents[2] / "references" / "default"
LARGE, SMALL = 96, 64


@pytest.fixture(scope="module", autouse=True)
def references() -> Iterator[None]:
    sys.path.insert(0, str(REFERENCES))
    yield
    sys.path.remove(str(REFERENCES))


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """One network with random weights for crops of two sides, maps of 6 and 4 cells."""
    import torch

    from unmask.train.export import export_onnx
    from unmask.train.network import build
    from unmask.train.network_recipe import NetworkRecipe

    folder = tmp_path_factory.mktemp("looks")
    torch.manual_seed(1)
    network = build(NetworkRecipe(weights="none"), LARGE).eval()
    for head in (network.fine_logit, network.coarse_logit):
        torch.nn.init.normal_(head.weight, std=0.2)
    out = {}
    for side in (LARGE, SMALL):
        network.size = side
        out[side] = folder / f"{side}.onnx"
        export_onnx(network, out[side], side)
    return out


def run(model: Any, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import onnx
    import onnxruntime

    model = onnx.load(model) if isinstance(model, Path) else model
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    logit, evidence = session.run(["logit", "map"], {"crops": crops})
    return logit, evidence


def textured(count: int = 4) -> np.ndarray:
    """Crops of 96 px with grain that is lost where they are reduced carelessly."""
    import torch

    coarse = torch.rand(count, 3, 48, 48, generator=torch.Generator().manual_seed(3)) * 255
    large = torch.nn.functional.interpolate(coarse, size=(LARGE, LARGE), mode="bicubic")
    return large.clamp(0, 255).to(torch.uint8).numpy()


def reduced(crops: np.ndarray) -> np.ndarray:
    import torch

    floats = torch.from_numpy(crops).float()
    small = torch.nn.functional.interpolate(floats, size=(SMALL, SMALL), mode="bilinear", antialias=True)
    return small.round().to(torch.uint8).numpy()


@pytest.mark.parametrize("mirrored", [False, True])
def test_logit_and_map_are_the_weighted_sums(graphs: dict[int, Path], mirrored: bool) -> None:
    import onnx
    from ensemble import Look, _spread, ensemble

    crops = textured()
    model = ensemble([Look(onnx.load(graphs[LARGE]), 0.7), Look(onnx.load(graphs[SMALL]), 0.4, mirrored)])
    logit, evidence = run(model, crops)
    first = run(graphs[LARGE], crops)
    small = np.ascontiguousarray(reduced(crops)[..., ::-1]) if mirrored else reduced(crops)
    second = run(graphs[SMALL], small)
    spread = _spread(4, 6)
    laid = spread @ (second[1][..., ::-1] if mirrored else second[1]) @ spread.T
    # Crops are rounded once more in `reduced` than in the graph; a look laid wrongly is off by much more than that.
    off = float(np.abs(evidence - 0.7 * first[1] - 0.4 * laid).max())
    assert off < 0.1 * np.abs(laid - laid[..., ::-1]).max()
    assert logit == pytest.approx(0.7 * first[0] + 0.4 * second[0], abs=off)
    rest = logit - evidence.mean((1, 2))
    assert rest == pytest.approx(np.full(4, rest[0]), abs=1e-4)


def test_looks_of_one_network_share_its_weights_and_survive_being_halved(
    graphs: dict[int, Path], tmp_path: Path
) -> None:
    import onnx

    from unmask.train.storage import to_half

    out, one = tmp_path / "looks.onnx", graphs[LARGE].stat().st_size
    looks = [f"{graphs[LARGE]}=0.6", f"{graphs[SMALL]}=0.4:mirrored"]
    command = [sys.executable, str(REFERENCES / "ensemble.py"), str(out), *looks]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert one < out.stat().st_size < 1.05 * one
    crops = textured()
    half = to_half(onnx.load(out))
    assert len(half.SerializeToString()) < 0.6 * one
    assert run(half, crops)[0] == pytest.approx(run(out, crops)[0], abs=2e-2)


@pytest.mark.parametrize("text", ["nowhere.onnx=1", "{graph}", "{graph}=much", "{graph}=1:upside-down"])
def test_what_is_no_look_is_named(graphs: dict[int, Path], tmp_path: Path, text: str) -> None:
    given = text.format(graph=graphs[SMALL])
    command = [sys.executable, str(REFERENCES / "ensemble.py"), str(tmp_path / "out.onnx"), given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "GRAPH=WEIGHT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("own", "grid"), [(4, 6), (12, 14), (8, 14), (10, 14), (7, 14), (1, 5)])
def test_laying_a_map_on_a_finer_grid_keeps_its_mean(own: int, grid: int) -> None:
    from ensemble import _spread

    spread = _spread(own, grid)
    assert spread.sum(axis=1) == pytest.approx(np.ones(grid), abs=1e-6)
    values = np.random.default_rng(own).normal(size=(own, own))
    assert (spread @ values @ spread.T).mean() == pytest.approx(values.mean(), abs=1e-6)


def test_the_larger_crops_must_come_first(graphs: dict[int, Path]) -> None:
    import onnx
    from ensemble import Look, ensemble

    with pytest.raises(ValueError, match="put it first"):
        ensemble([Look(onnx.load(graphs[SMALL]), 1.0), Look(onnx.load(graphs[LARGE]), 1.0)])
