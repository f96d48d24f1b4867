from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from data_samples import Plant, noise, write_clip

pytest.importorskip("polars", reason="needs the extra [data]")

import polars as pl

from unmask.base.errors import DataError, UsageError
from unmask.data.items import ReadOptions
from unmask.data.manifest import Manifest
from unmask.data.prepare import prepare


def state(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_folder_becomes_a_manifest(plant: Plant, tmp_path: Path, astronaut: NDArray[np.uint8]) -> None:
    src = plant("set", *(f"{kind}/{i}.jpg" for kind in ("real", "fake") for i in range(10)))
    Image.fromarray(astronaut).save(src / "real/face.png")
    (src / "fake/broken.jpg").write_bytes(b"no picture")
    (src / "notes.txt").write_text("not a picture")
    before = state(src)
    steps: list[tuple[int, int]] = []
    summary = prepare("auto", src, tmp_path / "out", on_progress=lambda done, total: steps.append((done, total)))
    assert state(src) == before
    assert steps == [(i, 22) for i in range(1, 23)]
    assert summary.layout == "imagefolder"
    assert summary.failed == 1
    assert [item.path for item in summary.left_out] == ["fake/broken.jpg"]
    with (tmp_path / "out/left_out.csv").open(newline="") as lines:
        assert [row["path"] for row in csv.DictReader(lines)] == ["fake/broken.jpg"]
    manifest = Manifest.read(tmp_path / "out/manifest.parquet")
    assert len(manifest) == 21
    assert summary.no_face == 20
    assert all(file.is_file() for file in manifest.files())
    face = manifest.select(with_face=True).table.row(0, named=True)
    assert face["path"] == "real/face.png"
    assert face["face_score"] > 0.8
    assert manifest.about["faces"] == "default"
    assert len(manifest.about["detector"]) == 16


def test_rows_stand_in_a_stable_order(plant: Plant, tmp_path: Path) -> None:
    src = plant("set", *(f"{kind}/{i}.png" for kind in ("real", "fake") for i in range(20)))
    one = prepare("auto", src, tmp_path / "1", faces="none", jobs=1)
    many = prepare("auto", src, tmp_path / "2", faces="none", jobs=4, suffix=".csv")
    assert one.manifest.table.equals(Manifest.read(many.file).table)


def test_an_interrupted_run_goes_on(plant: Plant, tmp_path: Path) -> None:
    src = plant("set", *(f"{kind}/{i}.png" for kind in ("real", "fake") for i in range(6)))
    write_clip(src / "fake/clip.mp4", [noise(i, 64) for i in range(8)])
    out = tmp_path / "out"

    def stop(done: int, total: int) -> None:
        if (done, total) == (5, 13):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare("auto", src, out, faces="none", jobs=1, on_progress=stop)
    assert not (out / "manifest.parquet").exists()
    journal = out / "faces.jsonl"
    assert 5 <= len(journal.read_text().splitlines()) - 1 <= 8
    # Killed in the middle of a line, as kill -9 or a full disk leaves it.
    journal.write_text(journal.read_text() + '{"path": "real/5.png", "stamp": [1')
    whole = prepare("auto", src, tmp_path / "other", faces="none")
    resumed = prepare("auto", src, out, faces="none")
    assert resumed.manifest.table.equals(whole.manifest.table)
    # What is there is not looked at again; what has changed or lost its frames is.
    shutil.rmtree(out / "frames")
    Image.fromarray(noise(77, 32)).save(src / "real/0.png")
    lines = len(journal.read_text().splitlines())
    again = prepare("auto", src, out, faces="none")
    new = [json.loads(line)["path"] for line in journal.read_text().splitlines()[lines:] if line]
    assert sorted(new) == ["fake/clip.mp4", "real/0.png"]
    assert again.manifest.table.filter(pl.col("path") == "real/0.png")["width"].to_list() == [32]
    assert all(file.is_file() for file in again.manifest.files())


def test_other_settings_begin_anew(plant: Plant, tmp_path: Path) -> None:
    src = plant("set", "real/1.png", "fake/2.png")
    prepare("auto", src, tmp_path / "out", faces="none")
    summary = prepare("auto", src, tmp_path / "out", faces="default")
    assert summary.no_face == 2


def test_the_splits_file_wins(plant: Plant, tmp_path: Path) -> None:
    src = plant("home/set", "real/1.png", "real/2.png", "fake/3.png", "fake/4.png")
    file = tmp_path / "home/splits.csv"
    file.write_text(
        "path,label,split,group,source,method\nset/real/1.png,0,val,p1,theirs,none\nset/real/2.png,1,test,p2,theirs,odd\n"
        "set/fake/3.png,1,train,p3,theirs,gan\nother/9.png,1,train,p3,theirs,gan\n"
    )
    summary = prepare("imagefolder", src, tmp_path / "out", splits=file, faces="none")
    rows = {row["path"]: row for row in summary.manifest.table.iter_rows(named=True)}
    assert {path: (row["label"], row["split"], row["group"], row["method"]) for path, row in rows.items()} == {
        "real/1.png": (0, "val", "p1", "none"),
        "real/2.png": (1, "test", "p2", "odd"),
        "fake/3.png": (1, "train", "p3", "gan"),
    }
    assert summary.reasons == {"not named in splits.csv": 1}
    whole = prepare("auto", tmp_path / "home", tmp_path / "out2", faces="none")
    assert whole.layout == "splits"
    assert whole.reasons == {"there is no such file": 1}
    elsewhere = plant("elsewhere", "real/1.png")
    with pytest.raises(DataError, match="names no file of this data set"):
        prepare("imagefolder", elsewhere, tmp_path / "out3", splits=file, faces="none")


def test_near_duplicates_share_a_group(plant: Plant, tmp_path: Path) -> None:
    src = plant("set", *(f"real/{i}.png" for i in range(6)), "fake/6.png")
    Image.open(src / "real/0.png").save(src / "fake/copy.jpg", quality=80)
    plain = prepare("auto", src, tmp_path / "out", faces="none", near_duplicates=None)
    merged = prepare("auto", src, tmp_path / "out", faces="none", near_duplicates=2)

    def groups(manifest: Manifest) -> set[str]:
        return set(manifest.table.filter(pl.col("path").is_in(["real/0.png", "fake/copy.jpg"]))["group"])

    assert len(groups(plain.manifest)) == 2
    assert len(groups(merged.manifest)) == 1


def test_a_training_picture_that_is_also_in_test_is_left_out_and_named(plant: Plant, tmp_path: Path) -> None:
    src = plant(
        "set",
        *(f"{split}/{kind}/{i}.png" for split in ("train", "test") for kind in ("real", "fake") for i in range(3)),
    )
    Image.open(src / "test/real/0.png").save(src / "train/real/copy.jpg", quality=80)
    summary = prepare("auto", src, tmp_path / "out", faces="none")
    assert summary.reasons == {"near-duplicate of a picture in test": 1}
    with (tmp_path / "out/left_out.csv").open(newline="") as lines:
        assert list(csv.DictReader(lines)) == [
            {
                "path": "train/real/copy.jpg",
                "reason": "near-duplicate of a picture in test",
                "twin": "test/real/0.png",
            }
        ]
    assert "test/real/0.png" in set(summary.manifest.table["path"])


def test_tables_that_lie_are_refused_before_faces_are_looked_for(plant: Plant, tmp_path: Path) -> None:
    src = plant("set", "a.png", "b.png")
    rows = "path,label,split,group,source,method\na.png,0,train,g,s,none\nb.png,1,test,g,s,gan\n"
    (src / "splits.csv").write_text(rows)
    with pytest.raises(DataError, match="'g' is on two sides"):
        prepare("auto", src, tmp_path / "out")
    parts = plant("dfdc", "part/a.mp4", "other.mp4")
    (parts / "part/metadata.json").write_text(
        json.dumps({"a.mp4": {"label": "REAL"}, "../other.mp4": {"label": "FAKE"}})
    )
    with pytest.raises(DataError, match="nothing in it could be used") as caught:
        prepare("dfdc", parts, tmp_path / "out", faces="none")
    assert "lies outside the folder" in caught.value.hint
    (parts / "metadata.json").write_text(json.dumps({"part/a.mp4": {"label": "FAKE"}}))
    with pytest.raises(DataError, match="is called real and fake"):
        prepare("dfdc", parts, tmp_path / "out", faces="none")
    assert not (tmp_path / "out/manifest.parquet").exists()


def test_what_cannot_work_is_refused_before_anything_is_written(plant: Plant, tmp_path: Path) -> None:
    src = plant("set", "real/1.png", "fake/2.png")
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="lies inside SRC"):
        prepare("auto", src, src / "out")
    with pytest.raises(DataError, match="not a folder"):
        prepare("auto", src / "real/1.png", out)
    with pytest.raises(UsageError, match="must be positive"):
        prepare("auto", src, out, fps=0)
    with pytest.raises(UsageError, match="fraction"):
        prepare("auto", src, out, fraction=0.9)
    with pytest.raises(UsageError, match="unknown face backend"):
        prepare("auto", src, out, faces="cascade")
    with pytest.raises(DataError, match="means real or fake"):
        prepare("imagefolder", src / "real", out, options=ReadOptions())
    assert not out.exists()


def test_nothing_usable_says_why(plant: Plant, tmp_path: Path) -> None:
    src = plant("set", "real/1.png", "fake/2.png")
    for file in src.rglob("*.png"):
        file.write_bytes(b"broken")
    with pytest.raises(DataError, match="nothing in it could be used") as caught:
        prepare("auto", src, tmp_path / "out", faces="none")
    assert "2 files" in caught.value.hint


@pytest.mark.data
def test_real_pictures_and_clips(real_data: Path, tmp_path: Path) -> None:
    clips = prepare("auto", real_data / "ffpp-clips", tmp_path / "clips", frames=4, splits=real_data / "splits.csv")
    assert len(clips.manifest) == 20
    assert clips.no_face == 0
    assert set(clips.manifest.table["group"]) == {"ffpp-004", "ffpp-183", "ffpp-469", "ffpp-720"}
    stills = prepare("auto", real_data / "ai-portraits", tmp_path / "stills", fraction=0.2)
    assert len(stills.manifest) == 74
    assert stills.no_face <= 1
    stills.manifest.require(("train", "val", "test"))


@pytest.mark.data
def test_time_stamps_that_stand_still_do_not_matter(real_data: Path, tmp_path: Path) -> None:
    src = tmp_path / "src/real"
    src.mkdir(parents=True)
    shutil.copy(next((real_data / "talking-clips/real").glob("*.mp4")), src / "clip.mp4")
    summary = prepare("imagefolder", src.parent, tmp_path / "out", frames=8)
    times = summary.manifest.table["time_s"].to_list()
    assert len(times) == len(set(times)) == 8
    assert summary.no_face == 0
