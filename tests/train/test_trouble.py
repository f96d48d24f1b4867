"""What goes wrong in a training: numbers that are none, a full disk, damaged pictures. All of it for real."""

from __future__ import annotations

import csv
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from train_support import Watch, changed, table_of

pytest.importorskip("lightning", reason="needs the extra [train]")

import torch
import yaml

from unmask.base.errors import DataError, OutputError, TrainingError
from unmask.data.manifest import Manifest
from unmask.model import load_bundle
from unmask.train import run as running
from unmask.train.recipe import Recipe

pytestmark = pytest.mark.train


def test_a_loss_that_is_no_number_ends_the_run(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    absurd = changed(recipe, optimizer="sgd", lr=1e38)
    with pytest.raises(TrainingError, match=r"no finite number at step [2-6] .*lower schedule\.lr \(it is 1e\+38\)"):
        watch(absurd, data, tmp_path / "run")
    assert not (tmp_path / "run" / "bundle.onnx").exists(), "there was no validation yet"


def test_the_best_weights_before_it_become_a_bundle(
    recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch
) -> None:
    """A good run, then its last steps at a rate that ruins the weights."""
    good = changed(recipe, samples=384, epoch_samples=192, lr=2e-2)
    watch(good, data, tmp_path / "run", break_at=30)
    before = torch.load(tmp_path / "run" / "best.pt", weights_only=True)
    ruined = changed(good, optimizer="adamw", lr=1e38)
    (tmp_path / "run" / "recipe.yaml").write_text(yaml.safe_dump(ruined.model_dump(mode="json")))
    with pytest.raises(TrainingError, match=r"The best weights so far are in .*bundle\.onnx"):
        watch(ruined, data, tmp_path / "run", resume=True)
    after = torch.load(tmp_path / "run" / "best.pt", weights_only=True)
    assert after["step"] == before["step"] == 24
    assert all(torch.equal(value, before["state_dict"][key]) for key, value in after["state_dict"].items())
    kept = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(bool(torch.isfinite(value).all()) for value in kept.values())
    assert load_bundle(tmp_path / "run" / "bundle.onnx").card.name == "tiny"


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may become larger: what the system says is what it says of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def leftovers(out: Path) -> list[str]:
    return [str(path.relative_to(out)) for path in out.rglob(".*") if path.is_file() and path.name != ".lock"]


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(
    recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch
) -> None:
    often = changed(recipe, checkpoint_minutes=1e-6)
    watch(often, data, tmp_path / "run", break_at=2)
    before = (tmp_path / "run" / "last.ckpt").read_bytes()
    with (
        largest_file(len(before) // 2),
        pytest.raises(OutputError, match=r"last\.ckpt: cannot be written: file too large.*--resume"),
    ):
        watch(often, data, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == before
    assert leftovers(tmp_path / "run") == []
    assert max(watch(often, data, tmp_path / "run", resume=True)) == 6


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Any]:
    """Makes file systems of a few hundred kilobytes, where the user may."""
    mounted: list[Path] = []

    def make(kilobytes: int) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        mount = shutil.which("mount")
        words = ["-t", "tmpfs", "-o", f"size={kilobytes}k", "unmask-test", str(place)]
        if os.geteuid() != 0 or not mount or subprocess.run([mount, *words], check=False).returncode:
            pytest.skip("only root can mount a small disk")
        mounted.append(place)
        return place

    yield make
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("free", [8, 16, 28, 40, 52, 64])
def test_a_full_disk(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch, small_disk: Any, free: int) -> None:
    """However much room there is: all files whole, one clear error, and the run goes on where there is room."""
    often = changed(recipe, checkpoint_minutes=1e-6)
    disk = small_disk(free)
    with pytest.raises(OutputError, match=r"no space left on device.*--resume"):
        watch(often, data, disk / "run", cache=tmp_path / "cache")
    out = tmp_path / "moved"
    shutil.copytree(disk / "run", out) if (disk / "run").exists() else out.mkdir()
    assert leftovers(out) == []
    for file in out.glob("*.ckpt"):
        torch.load(file, weights_only=True)
    if (out / "metrics.csv").exists():
        assert all(row["val_loss"] > 0 for row in table_of(out))
    assert max(watch(often, data, out, resume=True, cache=tmp_path / "cache")) == 6


def damaged(data: Manifest, folder: Path, names: dict[str, bytes | int]) -> Manifest:
    """A copy of the data with other contents, or only so many first bytes, of some files."""
    shutil.copytree(data.roots["src"], folder)
    for name, content in names.items():
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:content] if isinstance(content, int) else content)
    return Manifest(data.table, {"src": folder})


def test_damaged_pictures_are_left_out_and_named(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    bad = {"train-0-3.png": b"", "train-1-5.png": 700, "val-0-2.png": b"GIF89a no picture", "val-1-0.png": 60}
    broken = damaged(data, tmp_path / "data", dict(bad))
    assert len(watch(recipe, broken, tmp_path / "run")) == 6
    with (tmp_path / "run" / "skipped.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["split"], Path(row["file"]).name) for row in rows} == {(name.split("-")[0], name) for name in bad}
    assert all(row["reason"] for row in rows)
    assert "4 pictures cannot be read" in watch.said[-1]
    assert "46 training faces, 22 validation faces" in " ".join(watch.said)
    again = watch(recipe, broken, tmp_path / "other", cache=tmp_path / "run" / "cache")
    assert len(again) == 6
    assert (tmp_path / "other" / "skipped.csv").read_bytes() == (tmp_path / "run" / "skipped.csv").read_bytes()


def test_the_other_rows_stay_what_they_are(data: Manifest, tmp_path: Path) -> None:
    """Labels and pictures do not slip against each other where one is left out."""
    from unmask.train.cache import build_cache

    broken = damaged(data, tmp_path / "data", {"train-0-3.png": b"", "train-0-7.png": b""})
    everything = data.select("train")
    whole, part = build_cache(everything, tmp_path / "a"), build_cache(broken.select("train"), tmp_path / "b")
    assert [i for i in range(48) if i not in part.kept] == [3, 7]
    for place, row in enumerate(part.kept):
        assert (part[place].pixels == whole[row].pixels).all()


def test_damage_among_reals_alone(recipe: Recipe, data: Manifest, tmp_path: Path, watch: Watch) -> None:
    """Where blends are the fakes, a picture that is left out does not ask for others."""
    broken = damaged(data, tmp_path / "data", {"train-0-3.png": b""})
    table = broken.table
    real_only = Manifest(table.filter((table["split"] != "train") | (table["label"] == 0)), broken.roots)
    assert len(watch(recipe, real_only, tmp_path / "run")) == 6


def test_when_nothing_is_left_it_is_said(recipe: Recipe, data: Manifest, tmp_path: Path) -> None:
    all_reals = {f"val-0-{number}.png": b"" for number in range(12)}
    with pytest.raises(DataError, match="'val' has one class only"):
        running.train(recipe, damaged(data, tmp_path / "one", dict(all_reals)), tmp_path / "run", say=str)
    everything = {name.name: b"" for name in data.roots["src"].glob("train-*")}
    with pytest.raises(DataError, match="none of 48 pictures can be read"):
        running.train(recipe, damaged(data, tmp_path / "all", dict(everything)), tmp_path / "run2", say=str)
