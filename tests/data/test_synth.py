from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("polars", reason="needs the extra [data]")

from unmask.base.errors import DataError, UsageError
from unmask.cli import main
from unmask.data import PORTRAIT
from unmask.data.manifest import Manifest
from unmask.data.synth import make_pair, synth
from unmask.data.views import portrait, view
from unmask.faces import load_backend


def pictures(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.jpg"))}


def test_the_portrait_comes_with_the_package() -> None:
    assert PORTRAIT.is_file()
    assert portrait().size == (512, 512)


def test_a_set_that_can_be_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    assert main(["data", "synth", str(out), "--pairs", "12"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out / "manifest.parquet")
    manifest = Manifest.read(out / "manifest.parquet")
    assert len(manifest) == 24
    manifest.require(("train", "val", "test"))
    assert manifest.table["x0"].null_count() == 0
    assert manifest.table["landmarks"].null_count() == 0
    pairs = manifest.table.group_by("group").agg("label", "split").rows(named=True)
    assert all(sorted(pair["label"]) == [0, 1] and len(set(pair["split"])) == 1 for pair in pairs)
    # Its folder can be moved as a whole.
    out.rename(tmp_path / "moved")
    assert all(file.is_file() for file in Manifest.read(tmp_path / "moved/manifest.parquet").files())


def test_the_same_seed_gives_the_same_set(tmp_path: Path) -> None:
    one, two, other = (synth(tmp_path / n, pairs=6, seed=s, faces="none") for n, s in (("1", 3), ("2", 3), ("3", 4)))
    first = pictures(one.file.parent)
    assert len(first) == 12
    assert first == pictures(two.file.parent)
    assert first != pictures(other.file.parent)
    assert one.manifest.table.equals(two.manifest.table)


def test_points_lie_where_the_face_is() -> None:
    """The points that the views compute against those that the face detector finds."""
    backend = load_backend("default")
    source, off = portrait(), []
    for seed in range(12):
        pixels, points = view(source, np.random.default_rng(seed))
        face = backend.find(pixels)[0]
        assert face.landmarks is not None
        off.append(np.abs(face.landmarks - points).max() / face.size)
    assert np.median(off) < 0.1


def test_views_and_fakes_differ() -> None:
    source = portrait()
    small = [
        np.asarray(Image.fromarray(view(source, np.random.default_rng(seed))[0]).resize((32, 32)), np.int16)
        for seed in range(8)
    ]
    assert min(np.abs(a - b).mean() for i, a in enumerate(small) for b in small[:i]) > 5
    changed = 0
    for seed in range(12):
        # The same chance up to the blend: with the same background the fake is the real with another face.
        real, fake = make_pair(source, np.random.default_rng(seed))
        changed += real.shape != fake.shape or bool((real != fake).any())
    assert changed == 12


def test_nothing_is_overwritten_and_a_broken_run_goes_on(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="is not empty"):
        synth(mine, pairs=6)
    assert [path.name for path in mine.iterdir()] == ["notes.txt"]

    def stop(done: int, _: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        synth(out, pairs=6, faces="none", on_progress=stop)
    assert not (out / "manifest.parquet").exists()
    with pytest.raises(DataError, match="other settings"):
        synth(out, pairs=7, faces="none")
    assert len(synth(out, pairs=6, faces="none").manifest) == 12
    with pytest.raises(UsageError, match="5 pairs"):
        synth(tmp_path / "few", pairs=5)
