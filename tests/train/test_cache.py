"""Decoded faces on the disk: whose they are, and what is not to be remembered."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("polars", reason="needs the extra [data]")
pytest.importorskip("torch", reason="needs the extra [train]")

from unmask.base.errors import DataError
from unmask.data.manifest import Manifest
from unmask.faces.types import CropSpec
from unmask.train import cache
from unmask.train.cache import build_cache, build_crops, cut_region, largest_face, others, read_rgb

pytestmark = pytest.mark.train


@pytest.fixture
def few(data: Manifest, tmp_path: Path) -> Manifest:
    """Six training pictures of their own folder."""
    rows = data.table.filter(data.table["split"] == "train").head(6)
    (tmp_path / "data").mkdir()
    for name in rows["path"]:
        shutil.copy(data.roots["src"] / name, tmp_path / "data" / name)
    return Manifest(rows, {"src": tmp_path / "data"})


def spec(size: int, margin: float = 1.3) -> CropSpec:
    return CropSpec.model_validate({"size": size, "margin": margin})


def test_runs_that_share_a_cache_keep_their_own_pixels(few: Manifest, tmp_path: Path) -> None:
    """Another crop, fewer rows, another limit: what was opened before goes on being what it was."""
    first = build_crops(few, spec(32), tmp_path / "val")
    before = np.array(first.crops)
    regions = build_cache(few, tmp_path / "train")
    pixels = [np.array(regions[place].pixels) for place in range(6)]
    wider = build_crops(few, spec(32, 1.0), tmp_path / "val")
    assert (np.array(wider.crops) != before).any()
    assert build_crops(few, spec(48), tmp_path / "val").crops.shape == (6, 48, 48, 3)
    fewer = Manifest(few.table[3:], few.roots)
    assert len(build_cache(fewer, tmp_path / "train")) == 3
    small = build_cache(few, tmp_path / "train", largest=20)
    assert max(small[0].pixels.shape) < 60 < max(pixels[0].shape)
    assert (np.array(first.crops) == before).all()
    assert all((regions[place].pixels == pixels[place]).all() for place in range(6))
    again = build_crops(few, spec(32), tmp_path / "val")
    assert again.folder == first.folder
    assert (np.array(again.crops) == before).all()


def test_what_is_there_is_not_read_again(few: Manifest, tmp_path: Path) -> None:
    def times(folder: Path) -> dict[str, int]:
        return {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}

    first = build_cache(few, tmp_path / "c")
    before = times(first.folder)
    assert build_cache(few, tmp_path / "c").folder == first.folder
    assert times(first.folder) == before
    assert others(tmp_path / "c", first.folder) == 0
    second = build_cache(few, tmp_path / "c", largest=20)
    wanted = sum(file.stat().st_size for file in second.folder.iterdir())
    assert others(tmp_path / "c", first.folder) == wanted > 1000


def test_what_a_killed_run_left_makes_room(few: Manifest, tmp_path: Path) -> None:
    place = build_cache(few, tmp_path / "c").folder
    (place / "complete.txt").unlink()
    (place / ".regions.0a1b2c3d.bin").write_bytes(b"half")
    (place / "kept.json").unlink()
    assert len(build_cache(few, tmp_path / "c")) == 6
    assert {file.name for file in place.iterdir()} == {".lock", "complete.txt", "index.npz", "kept.json", "regions.bin"}


def test_a_picture_that_was_mended_is_read_again(few: Manifest, tmp_path: Path) -> None:
    """Same name, same size: its time tells."""
    file = few.files()[2]
    whole, time = file.read_bytes(), file.stat().st_mtime_ns
    file.write_bytes(bytes(len(whole)))
    os.utime(file, ns=(time, time))
    assert build_cache(few, tmp_path / "c").kept == [0, 1, 3, 4, 5]
    file.write_bytes(whole)
    os.utime(file, ns=(time + 1000, time + 1000))
    mended = build_cache(few, tmp_path / "c")
    assert mended.kept == [0, 1, 2, 3, 4, 5]
    assert mended.skipped == []


@pytest.fixture
def unreadable(few: Manifest) -> Path:
    """A picture at which the system itself fails: of a process's memory it gives nothing at the place 0."""
    file = few.files()[2]
    file.rename(file.with_suffix(".kept"))
    try:
        Path("/proc/self/mem").read_bytes()
    except OSError:
        file.symlink_to("/proc/self/mem")
        return file
    pytest.skip("no file here that cannot be read")


def test_an_error_of_the_disk_is_no_damage(
    few: Manifest, tmp_path: Path, unreadable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_PAUSES", (0.01, 0.01))
    for build in (lambda: build_cache(few, tmp_path / "c"), lambda: build_crops(few, spec(32), tmp_path / "v")):
        with pytest.raises(DataError, match=r"cannot be had: input/output error.*no damage of the picture") as caught:
            build()
        assert caught.value.path == str(unreadable)
    assert not list(tmp_path.glob("[cv]/*/complete.txt")), "nothing of it is remembered"


def test_an_error_that_passes_is_waited_for(few: Manifest, tmp_path: Path, unreadable: Path) -> None:
    def mend() -> None:
        unreadable.with_suffix(".kept").replace(unreadable)

    later = threading.Timer(0.1, mend)
    later.start()
    regions = build_cache(few, tmp_path / "c")
    later.join()
    assert (regions.kept, regions.skipped) == ([0, 1, 2, 3, 4, 5], [])
    assert (regions[2].pixels == build_cache(few, tmp_path / "d")[2].pixels).all()


@pytest.mark.parametrize(("size", "wanted"), [(64, 320), (224, 320), (256, 366), (448, 640)])
def test_large_crops_are_cut_from_large_faces(size: int, wanted: int, tmp_path: Path) -> None:
    assert largest_face(size) == wanted
    rng = np.random.default_rng(0)
    file = tmp_path / "large.png"
    Image.fromarray(rng.integers(0, 256, (900, 900, 3), dtype=np.uint8)).save(file)
    region = cut_region(read_rgb(file), (50.0, 50.0, 850.0, 850.0), None, largest_face(size))
    face = region.box[2] - region.box[0]
    assert face == pytest.approx(wanted, abs=2)
    assert face > size, "a crop of the face alone is reduced, not enlarged"
