"""Heads that tell kinds of faces apart: which row is of which kind, and what the loss makes of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from train_support import Watch, changed

pytest.importorskip("lightning", reason="needs the extra [train]")

import polars as pl
import torch
import torch.nn.functional as F  # noqa: N812
import yaml
from pydantic import ValidationError
from torch.nn.modules.batchnorm import _NormBase

from unmask.base.errors import DataError
from unmask.data.manifest import SCHEMA, Manifest
from unmask.train.cache import build_cache
from unmask.train.dataset import TrainingSet, kinds_of, sampler_of
from unmask.train.metrics import ValidationRows
from unmask.train.module import DetectorModule
from unmask.train.network import build
from unmask.train.network_recipe import HeadRecipe
from unmask.train.recipe import Recipe

pytestmark = pytest.mark.train

NOBODY = ValidationRows([0, 1], ["a", "a"], ["none", "swap"], ["1", "2"])
STRIPES = ("real/stripes", "fake/stripes/striped", "fake/self-blend")


def with_kinds(recipe: Recipe, *kinds: str) -> Recipe:
    return changed(recipe, "network", head={"kinds": kinds})


def test_a_row_is_of_the_kind_of_its_method_before_that_of_its_source(recipe: Recipe) -> None:
    rows = [(0, "a", "none"), (1, "a", "x"), (1, "a", "y"), (1, "b", "x"), (0, "b", "none")]
    table = pl.DataFrame(
        [dict.fromkeys(SCHEMA) | dict(zip(("label", "source", "method"), row, strict=True)) for row in rows],
        schema=SCHEMA,
    )
    manifest = Manifest(table, {})
    told = with_kinds(recipe, "fake/a", "real/a", "fake/a/y", "fake/self-blend")
    assert kinds_of(manifest, told) == [1, 0, 2, -1, -1]
    assert kinds_of(manifest, recipe) == [-1] * 5
    with pytest.raises(DataError, match="no training face is real/c, fake/a/z, fake/cross-blend"):
        kinds_of(manifest, with_kinds(recipe, "fake/a", "real/a", "real/c", "fake/a/z", "fake/cross-blend"))


@pytest.mark.parametrize(
    "kinds", [("real/a",), ("fake/a", "fake/b"), ("real/a", "fake"), ("real/a", "fake/a", "fake/a")]
)
def test_kinds_of_one_label_or_named_twice_are_refused(kinds: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        HeadRecipe(kinds=kinds)


def test_the_loss_has_both_and_leaves_out_rows_of_no_kind(recipe: Recipe) -> None:
    told = changed(with_kinds(recipe, *STRIPES), smoothing=0.0)
    torch.manual_seed(0)
    network = build(told.network, told.crop.size)
    torch.nn.init.normal_(network.head.dense[-1].weight, std=2.0)
    module = DetectorModule(network, told, NOBODY, lambda *_: None, epoch=48).train()
    module.log = lambda *_, **__: None  # type: ignore[method-assign, assignment]
    crops = torch.randint(0, 256, (6, 32, 32, 3), dtype=torch.uint8)
    labels, kinds = torch.tensor([0.0, 1, 1, 0, 1, 1]), torch.tensor([0, 1, 2, -1, -1, 1])
    loss = module.training_step((crops, labels, kinds), 0).item()
    logit, scores = module.network(crops.permute(0, 3, 1, 2).float())
    odds = scores.softmax(1)
    assert torch.allclose(logit.sigmoid(), odds[:, 1] + odds[:, 2], atol=1e-5)
    known = kinds >= 0
    wanted = F.binary_cross_entropy_with_logits(logit, labels) + F.cross_entropy(
        scores[known], kinds[known], reduction="sum"
    ) / len(kinds)
    assert loss == pytest.approx(wanted.item(), rel=1e-5)


def test_each_sample_has_the_kind_of_its_row_or_of_what_is_made_of_it(
    recipe: Recipe, data: Manifest, tmp_path: Path
) -> None:
    told = with_kinds(recipe, *STRIPES)
    told = changed(told, "sampling", fake={"self-blend": 0.4, "stripes/striped": 0.3, "cross-blend": 0.3})
    training = data.select("train", with_face=True)
    sampler = sampler_of(training, told)
    samples = TrainingSet(build_cache(training, tmp_path), sampler, told, kinds_of(training, told))
    wanted = {("as-is", 0): 0, ("as-is", 1): 1, ("self-blend", 1): 2, ("cross-blend", 1): -1}
    seen = set()
    for step in range(4):
        for place, pick in enumerate(sampler.batch(step, told.schedule.batch)):
            _, label, kind = samples[(step, place, 32)]
            assert (label, kind) == (pick.label, wanted[pick.make, pick.label])
            seen.add((pick.make, pick.label))
    assert seen == set(wanted)


def test_norms_of_a_new_head_are_not_frozen(recipe: Recipe) -> None:
    """They know nothing yet; with the weights of a whole network in a file they do."""
    told = changed(recipe, "network", head={"pool": "covariance", "dense": [4], "batch_norm": True})
    told = changed(told, freeze_norms=True)
    network = build(told.network, 32)
    DetectorModule(network, told, NOBODY, lambda *_: None, epoch=48)
    norms = {name for name, module in network.named_modules() if isinstance(module, _NormBase)}
    assert network.frozen_norms == {name for name in norms if name.startswith("backbone.")} < norms
    known = changed(told, "network", weights="head.pt")
    DetectorModule(network, known, NOBODY, lambda *_: None, epoch=48)
    assert network.frozen_norms == norms


def test_head_py_trains_what_a_run_starts_from(recipe: Recipe, data: Manifest, tmp_path: Path) -> None:
    head = {"pool": "covariance", "dense": [4], "batch_norm": True, "kinds": STRIPES[:2]}
    told = changed(changed(recipe, "network", head=head), "sampling", fake={"stripes/striped": 1.0})
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(told.model_dump(mode="json")))
    data.write(tmp_path / "manifest.parquet")
    script = Path(__file__).parents[2] / "references" / "default" / "head.py"
    given = ["head.pt", "tiny.yaml", "--data", "manifest.parquet", "--cache", "cache", "--samples", "256"]
    command = [sys.executable, str(script), *given, "--epochs", "400"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    losses = [float(line.rpartition(" ")[2]) for line in done.stdout.splitlines() if line.startswith("pass")]
    assert len(losses) == 400
    assert losses[-1] < 0.8 * losses[0]
    file = str(tmp_path / "head.pt")
    state = torch.load(file, weights_only=True)
    assert (state["head.pool.norm.running_mean"] != 0).any()
    network = build(told.network.model_copy(update={"weights": file}), 32)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_a_run_learns_its_kinds(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    told = changed(with_kinds(recipe, *STRIPES), samples=320, lr=0.02)
    told = changed(told, "sampling", fake={"self-blend": 0.1, "stripes/striped": 0.9})
    values = list(watch(told, data, tmp_path / "run").values())
    assert sum(values[-8:]) / 8 < 0.8 * sum(values[:4]) / 4
