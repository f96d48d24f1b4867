"""Whole runs on a tiny data set: real training, real checkpoints, a real bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from train_support import Watch, changed, table_of

pytest.importorskip("lightning", reason="needs the extra [train]")

import torch
import yaml

from unmask.base.errors import DataError, DeviceError
from unmask.data.manifest import Manifest
from unmask.model import load_bundle
from unmask.train import run as running
from unmask.train.recipe import Recipe

pytestmark = pytest.mark.train


def test_a_run_learns_and_leaves_a_usable_bundle(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    longer = changed(recipe, samples=768, epoch_samples=384, lr=2e-2)
    losses = watch(longer, data, tmp_path / "run")
    values = list(losses.values())
    assert values[0] == pytest.approx(np.log(2), abs=0.1)
    assert np.mean(values[-20:]) < values[0] - 0.1
    bundle = load_bundle(tmp_path / "run" / "bundle.onnx")
    assert bundle.card.crop == recipe.crop
    assert [(one.name, one.real, one.fake) for one in bundle.card.training] == [("stripes", 24, 24)]
    table = table_of(tmp_path / "run")
    assert [row["samples"] for row in table] == [384, 768]
    assert [row["epoch"] for row in table] == [8, 16], "passes over 48 rows"
    assert "auc stripes/striped" in table[0]
    kept = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert Recipe.model_validate(kept) == longer
    environment = (tmp_path / "run" / "environment.json").read_text()
    assert torch.__version__ in environment


def test_the_table_says_what_the_weights_say(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    """Loss and accuracy of the table are those of the exported graph on the validation crops, worked out by hand."""
    from unmask.faces.crop import crop_face
    from unmask.train.cache import read_rgb
    from unmask.train.export import run_onnx

    plain = changed(changed(recipe, ema=0.0, smoothing=0.0), "network", head={"input_dropout": 0.0})
    losses = watch(plain, data, tmp_path / "run")
    rows = table_of(tmp_path / "run")
    assert rows[0]["train_loss"] == pytest.approx(np.mean([losses[step] for step in (1, 2, 3)]), abs=1e-4)
    assert rows[1]["train_loss"] == pytest.approx(np.mean([losses[step] for step in (4, 5, 6)]), abs=1e-4)
    best = max(rows, key=lambda row: row["score"])
    val = data.select("val")
    boxes = val.table.select("x0", "y0", "x1", "y1").rows()
    crops = [crop_face(read_rgb(file), box, plain.crop) for file, box in zip(val.files(), boxes, strict=True)]
    logits, _ = run_onnx(tmp_path / "run" / "network.onnx", np.stack(crops).transpose(0, 3, 1, 2))
    labels = val.table["label"].to_numpy()
    p_true = np.where(labels == 1, 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(logits)))
    assert best["val_loss"] == pytest.approx(-np.log(p_true).mean(), abs=2e-3)
    assert best["val_accuracy"] == pytest.approx((p_true > 0.5).mean(), abs=1e-6)
    assert 0 <= rows[0]["train_accuracy"] <= 1


def test_the_logs_for_tensorboard_hold_the_same_figures(
    recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    watch(recipe, data, tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run" / "logs"))
    events.Reload()
    for tag, column in (("loss/train", "train_loss"), ("loss/val", "val_loss"), ("accuracy/val", "val_accuracy")):
        logged = [(one.step, one.value) for one in events.Scalars(tag)]
        assert logged == [(row["step"], pytest.approx(row[column], abs=1e-5)) for row in table_of(tmp_path / "run")]


def test_a_folder_with_a_run_is_not_written_over(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    watch(recipe, data, tmp_path / "run")
    with pytest.raises(DataError, match="holds a run already"):
        running.train(recipe, data, tmp_path / "run")
    with pytest.raises(DataError, match="another recipe"):
        running.train(changed(recipe, lr=0.1), data, tmp_path / "run", resume=True, say=watch.said.append)


def test_nothing_to_resume_is_said(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    assert len(watch(recipe, data, tmp_path / "run", resume=True)) == 6
    assert any("there is no checkpoint in" in line and "starts anew" in line for line in watch.said)
    watch.said.clear()
    watch(recipe, data, tmp_path / "run", resume=True)
    assert not any("starts anew" in line for line in watch.said)


def test_a_shared_cache_says_what_a_run_does_not_use(
    recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_WORTH_A_WORD", 0)
    watch(recipe, data, tmp_path / "a", cache=tmp_path / "cache")
    assert not any("does not use" in line for line in watch.said)
    other = Recipe.model_validate({**recipe.model_dump(), "crop": {"size": 32, "margin": 1.0}})
    watch(other, data, tmp_path / "b", cache=tmp_path / "cache")
    assert any("also holds 0.0 GB of faces that this run does not use" in line for line in watch.said)


def test_large_crops_get_large_faces(recipe: Recipe, data: Manifest, tmp_path: Path) -> None:
    """The limit follows from the largest crops of the run."""
    import numpy as np
    from PIL import Image

    (tmp_path / "data").mkdir()
    for name in data.table["path"]:
        whole = Image.open(data.roots["src"] / name)
        whole.resize((960, 960)).save(tmp_path / "data" / name, compress_level=1)
    scaled = data.table.with_columns(*(data.table[name] * 10 for name in ("x0", "y0", "x1", "y1")))
    large = changed(changed(recipe, sizes=[[0.5, 256]]), "crop", size=320)
    read = running._read(
        Manifest(scaled, {"src": tmp_path / "data"}), large, tmp_path / "c", running.place_of(large), str
    )
    face = np.diff(np.array(read.regions[0].box).reshape(2, 2), axis=0).max()
    assert face == pytest.approx(320 * 10 / 7, abs=2)


@pytest.mark.parametrize("processes", [3, 4])
def test_more_processes_than_validation_faces(recipe: Recipe, data: Manifest, tmp_path: Path, processes: int) -> None:
    """One without any would never come to where the others wait for it."""
    few = data.table.filter((data.table["split"] != "val") | data.table["group"].is_in(["val-0"]))
    shared = changed(recipe, processes=processes, batch=24, accelerator="cpu")
    with pytest.raises(DataError, match=f"2 validation faces cannot be shared by {processes} processes"):
        running.train(shared, Manifest(few, data.roots), tmp_path / "run", say=str)
    assert not (tmp_path / "run").exists()


def test_a_time_limit_ends_the_schedule(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    losses = watch(changed(recipe, samples=100_000, minutes=0.02), data, tmp_path / "run")
    assert 0 < len(losses) < 12_500
    assert (tmp_path / "run" / "last.ckpt").is_file()


def test_data_that_cannot_be_used_are_refused(recipe: Recipe, data: Manifest, tmp_path: Path) -> None:
    table = data.table
    one_class = Manifest(table.filter((table["split"] != "val") | (table["label"] == 1)), data.roots)
    with pytest.raises(DataError, match=r"'val' has one class only.*Prepare a set with real pictures"):
        running.train(recipe, one_class, tmp_path / "a")
    with pytest.raises(DataError, match=r"'train' has no rows.*unmask data show"):
        running.train(recipe, Manifest(table.filter(table["split"] == "val"), data.roots), tmp_path / "b")
    with pytest.raises(DataError, match=r"is not there; of 48 files of the manifest 48 are missing.*--root"):
        running.train(recipe, Manifest(table, {"src": tmp_path}), tmp_path / "c", say=str)
    assert not (tmp_path / "a").exists()


def test_real_faces_alone_teach_by_blending(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    table = data.table
    real_only = Manifest(table.filter((table["split"] != "train") | (table["label"] == 0)), data.roots)
    assert len(watch(recipe, real_only, tmp_path / "run")) == 6
    with pytest.raises(DataError, match="'train' has one class only"):
        running.train(changed(recipe, "sampling", fake={}), real_only, tmp_path / "b")


@pytest.mark.parametrize("kept", [1, 2])
def test_a_few_rows_and_clips_are_enough(
    recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch, kept: int
) -> None:
    """A validation of one or two clips of each label, every one of several frames."""
    import polars as pl

    number = pl.col("group").str.extract(r"(\d+)$").cast(pl.Int32)
    clip = pl.format("{}/{}", "method", number % kept)
    few = data.table.with_columns(
        clip=pl.when(pl.col("split") == "val").then(clip), time_s=pl.when(pl.col("split") == "val").then(number * 0.5)
    ).filter((pl.col("split") == "val") & (number < 5) | (number < 2))
    assert len(watch(recipe, Manifest(few, data.roots), tmp_path / "run")) == 6
    rows = table_of(tmp_path / "run")
    assert all(np.isfinite(list(row.values())).all() for row in rows)


def test_gpus_that_are_not_there_are_an_error(recipe: Recipe, data: Manifest, tmp_path: Path) -> None:
    many = torch.cuda.device_count() + 1
    with pytest.raises(DeviceError, match=f"but there are {many - 1} GPUs"):
        running.train(changed(recipe, accelerator="gpu", devices=many, batch=2 * many), data, tmp_path / "run")
