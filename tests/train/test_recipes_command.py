"""``unmask recipes`` and ``unmask data augment-preview``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from train_support import OURS

pytest.importorskip("torch", reason="needs the extra [train]")

import yaml

from unmask.cli import main
from unmask.cli.fetching import fetched_data
from unmask.train.recipe import load_recipe, packaged_recipes

if TYPE_CHECKING:
    from unmask.data.manifest import Manifest

pytestmark = pytest.mark.train


def test_the_list_says_what_each_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in packaged_recipes():
        line = next(line for line in lines if line.split()[:1] == [name])
        assert len(line.split()) > 4, line
    titles = {tuple(line.split()[1:]) for line in lines if line.split() and line.split()[0] in packaged_recipes()}
    assert len(titles) == len(packaged_recipes()), "each says what sets it apart"


@pytest.mark.parametrize("name", packaged_recipes())
def test_show_gives_a_file_that_is_the_recipe(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["recipes", "show", name]) == 0
    text = capsys.readouterr().out
    assert text.startswith("#")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    assert load_recipe(str(tmp_path / "mine.yaml")) == load_recipe(name)
    # What a run folder holds is a recipe too.
    resolved = yaml.safe_dump(load_recipe(name).model_dump(mode="json"))
    (tmp_path / "resolved.yaml").write_text(resolved, encoding="utf-8")
    assert load_recipe(str(tmp_path / "resolved.yaml")) == load_recipe(name)


@pytest.mark.parametrize("name", packaged_recipes())
def test_show_has_a_comment_on_each_choice(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On its line or right above it; what is varied, and what is not, may be told together."""
    main(["recipes", "show", name])
    lines = capsys.readouterr().out.splitlines()
    section, above, told, bare, seen = "", "", False, [], set()
    for line in lines:
        if re.match(r"\w+:", line):
            section, told = line.partition(":")[0], False
            seen.add(section)
        is_key = section in {"network", "sampling", "augment", "schedule"} and bool(re.match(r"  \w+:", line))
        told = above.strip().startswith("#") or (told and section == "augment")
        if is_key and "#" not in line and not told:
            bare.append(f"{section}.{line.strip()}")
        above = line
    assert {"network", "sampling", "schedule"} <= seen
    assert bare == []


def test_the_examples_of_the_guide_are_recipes(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        (tmp_path / "r.yaml").write_text(block, encoding="utf-8")
        recipe = load_recipe(str(tmp_path / "r.yaml"))
        assert recipe.name.startswith("mine")
    assert recipe.network.module == "mypackage.net:Build"


def test_tutorials_name_the_figure_they_answer_to(capsys: pytest.CaptureFixture[str]) -> None:
    for name in set(packaged_recipes()) - OURS:
        main(["recipes", "show", name])
        text = capsys.readouterr().out
        told = next(line for line in text.splitlines() if line.startswith("# Published: "))
        assert "Those figures" not in text or any(letter.isdigit() for letter in told), name


def test_no_such_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "show", "vgg17"]) == 2
    assert "vgg16-last5" in capsys.readouterr().err
    for call in (["recipes", "summary", "vgg17"], ["train", "vgg17", "--data", "m.parquet", "--out", "run"]):
        assert main(call) == 2
        assert "vgg16-last5" in capsys.readouterr().err
    assert main(["train", "vgg16-last5", "--data", "m.parquet", "--out", "run", "--set", "schedule.lrr=1"]) == 2
    assert "schedule.lr" in capsys.readouterr().err


def test_summary_tells_frozen_from_trained(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["recipes", "summary", "vgg16-last5", "--set", "crop.size=64"]) == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.startswith(("backbone.", "head."))}
    assert rows["backbone.net.features.17"] == ["backbone.net.features.17", "Conv2d", "512×8×8", "1,180,160", "frozen"]
    assert rows["backbone.net.features.19"][-1] == "trained"
    assert rows["head.dense.1"] == ["head.dense.1", "Linear", "1", "513", "trained"]
    # 5 convolutions of 512×512×3×3 and the head; the rest of the 14.7 million of the base.
    trained = 5 * (512 * 512 * 9 + 512) + (512 * 512 + 512) + 513
    assert f"{trained:,} parameters trained, {14_714_688 - 5 * (512 * 512 * 9 + 512):,} frozen" in out
    assert main(["recipes", "summary", "vgg16-last5", "--set", "crop.size=64", "--stage", "2"]) == 2


def test_summary_says_what_it_does_and_which_weights_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("UNMASK_HOME", str(tmp_path / "home"))
    (tmp_path / "mine.pth").write_bytes(b"")
    for given, missing in (
        ("imagenet", True),
        ("none", False),
        (tmp_path / "mine.pth", False),
        (tmp_path / "gone.pth", True),
    ):
        call = ["recipes", "summary", "vgg16-last5", "--set", "crop.size=64", "--set", f"network.weights={given}"]
        assert main(call) == 0
        told = capsys.readouterr().err
        assert told.startswith("unmask: making the network of vgg16-last5")
        assert ("not at hand" in told) == missing, given
    stored = tmp_path / "home" / "weights" / "timm" / "vgg16.tv_in1k" / "model.safetensors"
    stored.parent.mkdir(parents=True)
    stored.write_bytes(b"")
    assert main(["recipes", "summary", "vgg16-last5", "--set", "crop.size=64"]) == 0
    assert "not at hand" not in capsys.readouterr().err


def test_augment_preview(data: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "sheet.png"
    manifest = data.roots["src"] / "manifest.parquet"
    assert main(["data", "augment-preview", "inceptionv3-dense", str(manifest), "--sheet", str(sheet)]) == 0
    assert str(sheet) in capsys.readouterr().out
    image = np.asarray(Image.open(sheet).convert("RGB")).astype(int)
    cells = [image[22:150, 110 + 132 * place : 110 + 132 * place + 128] for place in range(8)]
    # The varied crops differ from the crop as it is judged, and from one another.
    assert all(np.abs(cell - cells[0]).mean() > 1 for cell in cells[1:])
    assert np.abs(cells[1] - cells[2]).mean() > 1
    assert main(["data", "augment-preview", "default", str(manifest), "--sheet", str(sheet)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_preview_stays_beside_its_manifest(
    data: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the recipe calls itself."""
    data.write(tmp_path / "m.parquet")
    (tmp_path / "r.yaml").write_text("name: ../teams/mine v2\nnetwork: {weights: none}\n", encoding="utf-8")
    given = [str(tmp_path / "r.yaml"), str(tmp_path / "m.parquet"), "--faces", "1", "--variants", "1"]
    assert main(["data", "augment-preview", *given]) == 0
    sheet = tmp_path / "m.parquet...-teams-mine-v2.png"
    assert sheet.is_file()
    assert str(sheet) in capsys.readouterr().out


def test_training_without_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "vgg16-last5", "--out", str(tmp_path / "run")]) == 2
    assert "--data is missing" in capsys.readouterr().err
    assert load_recipe("cnn-scratch").data == "kaggle:manjilkarki/deepfake-and-real-images"


def test_a_recipe_that_names_a_set_gets_it(
    data: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As from Kaggle, but out of an archive that was downloaded by hand."""
    monkeypatch.setenv("UNMASK_HOME", str(tmp_path / "home"))
    with ZipFile(tmp_path / "set.zip", "w") as archive:
        for row in data.table.iter_rows(named=True):
            split = {"train": "Train", "val": "Validation"}[row["split"]]
            label = "Fake" if row["label"] else "Real"
            archive.write(data.file(row), f"Dataset/{split}/{label}/{row['path']}")
    for _ in range(2):
        file = fetched_data(str(tmp_path / "set.zip"), "none")
        assert file.is_relative_to(tmp_path / "home")
        # The validation pictures of this little set stand among those of training too, and are taken out there.
        splits = type(data).read(file).table["split"].to_list()
        assert (splits.count("train"), splits.count("val")) == (24, 24)
    assert "which the recipe names" in capsys.readouterr().err


def test_weights_of_the_command_line(data: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = str(data.roots["src"] / "manifest.parquet")
    (tmp_path / "w.h5").write_bytes(b"no HDF5")
    given = ["train", "resnet50-transfer", "--data", manifest, "--out", str(tmp_path / "run"), "--set", "crop.size=64"]
    assert main([*given, "--weights", str(tmp_path / "w.h5")]) == 1
    assert "VGG16 and VGG19 only" in capsys.readouterr().err
