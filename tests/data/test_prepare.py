from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cli_support import environment
from data_samples import Plant, noise, write_clip
from support import small_files

pytest.importorskip("polars", reason="needs the extra [data]")

import polars as pl

from unmask.base.errors import DataError, UsageError
from unmask.cli import main
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
    faces = manifest.select(with_face=True).table
    # Noise is seldom taken for a face, but what the detector sees in it is not the matter here.
    assert summary.no_face == 21 - len(faces) >= 18
    assert all(file.is_file() for file in manifest.files())
    (face,) = (row for row in faces.iter_rows(named=True) if row["path"] == "real/face.png")
    assert face["face_score"] > 0.8
    assert manifest.about["faces"] == "default"
    assert len(manifest.about["detector"]) == 16


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system refuses such names")
def test_names_that_are_not_utf_8_are_left_out_and_counted(plant: Plant, tmp_path: Path) -> None:
    src = plant("set", *(f"{kind}/{i}.png" for kind in ("real", "fake") for i in range(3)))
    bad = os.fsdecode(b"caf\xe9")
    (src / "fake" / bad).mkdir()
    (src / "other").mkdir()
    for place in (f"real/{bad}.png", f"other/{bad}.png", *(f"fake/{bad}/{i}.png" for i in range(3))):
        shutil.copy(src / "real/0.png", src / place)
    summary = prepare("auto", src, tmp_path / "out", faces="none", near_duplicates=None)
    assert len(summary.manifest) == 6
    assert summary.failed == summary.reasons["its name, or that of a folder, is not UTF-8"] == 4
    with (tmp_path / "out/left_out.csv").open(newline="", encoding="utf-8") as lines:
        paths = {row["path"] for row in csv.DictReader(lines)}
    assert paths == {"real/caf\\udce9.png", "other/caf\\udce9.png", *(f"fake/caf\\udce9/{i}.png" for i in range(3))}


def test_rows_stand_in_a_stable_order(plant: Plant, tmp_path: Path) -> None:
    src = plant("set", *(f"{kind}/{i}.png" for kind in ("real", "fake") for i in range(20)))
    one = prepare("auto", src, tmp_path / "1", faces="none", jobs=1)
    many = prepare("auto", src, tmp_path / "2", faces="none", jobs=4, suffix=".csv")
    assert one.manifest.table.equals(Manifest.read(many.file).table)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_killed_again_and_again_it_comes_to_the_same_end(plant: Plant, tmp_path: Path) -> None:
    src = plant("set", "real/a.png", "fake/b.png")
    for i in range(250):
        os.link(src / "fake/b.png", src / f"fake/b{i}.png")
    write_clip(src / "fake/clip.mp4", [noise(i, 64) for i in range(8)])
    out, journal = tmp_path / "out", tmp_path / "out/faces.jsonl"
    call = [sys.executable, "-m", "unmask", "data", "prepare", "auto", str(src), str(out), "--faces", "none", "-q"]
    lines = 1
    for _ in range(2):
        process = subprocess.Popen([*call, "-j", "1"], env=environment())
        end = time.monotonic() + 60
        while not (journal.is_file() and journal.read_bytes().count(b"\n") > lines + 20):
            assert time.monotonic() < end
            time.sleep(0.002)
        process.kill()
        assert process.wait() != 0
        assert not (out / "manifest.parquet").exists()
        lines = journal.read_bytes().count(b"\n")
    paths = [json.loads(line)["path"] for line in journal.read_text().splitlines()[1:] if line.endswith("}")]
    assert len(paths) == len(set(paths)), "nothing is done twice"
    again = prepare("auto", src, out, faces="none")
    assert again.manifest.table.equals(prepare("auto", src, tmp_path / "whole", faces="none").manifest.table)


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
        "set/fake/3.png,1,train,p3,theirs,gan\nother/9.png,1,train,p3,theirs,gan\nset/fake/5.png,1,train,p5,theirs,gan\n"
        "set/fake/gone.png,1,train,p3,theirs,gan\n"
    )
    # Large sets are linked together from several disks: a file has the name that it has in the set.
    (tmp_path / "disk2").mkdir()
    Image.fromarray(noise(99)).save(tmp_path / "disk2/x.png")
    (src / "fake/5.png").symlink_to(tmp_path / "disk2/x.png")
    summary = prepare("imagefolder", src, tmp_path / "out", splits=file, faces="none")
    rows = {row["path"]: row for row in summary.manifest.table.iter_rows(named=True)}
    assert {path: (row["label"], row["split"], row["group"], row["method"]) for path, row in rows.items()} == {
        "real/1.png": (0, "val", "p1", "none"),
        "real/2.png": (1, "test", "p2", "odd"),
        "fake/3.png": (1, "train", "p3", "gan"),
        "fake/5.png": (1, "train", "p5", "gan"),
    }
    assert set(summary.manifest.table["source"]) == {"theirs"}
    assert {item.path: item.reason for item in summary.left_out} == {
        "fake/4.png": "not named in splits.csv",
        "fake/gone.png": "named in splits.csv, but not there",
    }
    whole = prepare("auto", tmp_path / "home", tmp_path / "out2", faces="none")
    assert whole.layout == "splits"
    assert whole.reasons == {"there is no such file": 2}
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


def test_clips_that_fade_in_are_no_duplicates_of_each_other(plant: Plant, tmp_path: Path) -> None:
    src = plant("set", "real/p.png", "fake/p.png")
    black = [np.zeros((64, 64, 3), np.uint8)] * 3
    for number in range(3):
        write_clip(src / f"real/{number}.mp4", [*black, *(noise(50 + number, 64) for _ in range(5))])
        write_clip(src / f"fake/{number}.mp4", black)
    write_clip(src / "fake/copy.mp4", [*black, *black, *(noise(52, 64) for _ in range(5))])
    summary = prepare("auto", src, tmp_path / "out", faces="none")
    groups = dict(summary.manifest.table.filter(pl.col("clip").is_not_null()).select("clip", "group").iter_rows())
    assert len(groups) == 7
    assert len(set(groups.values())) == 6
    assert groups["fake/copy.mp4"] == groups["real/2.mp4"]


def test_up_to_32_frames_of_a_clip_are_kept(plant: Plant, tmp_path: Path) -> None:
    """The usual protocol measures a clip by so many."""
    src = plant("set", "real/p.png", "fake/p.png")
    write_clip(src / "real/long.mp4", [noise(i, 32) for i in range(70)])
    write_clip(src / "fake/short.mp4", [noise(i, 32) for i in range(9)])
    rows = prepare("auto", src, tmp_path / "out", faces="none").manifest.table
    times = {clip: part["time_s"].sort().to_list() for (clip,), part in rows.group_by("clip") if clip}
    assert len(times["real/long.mp4"]) == 32
    assert times["real/long.mp4"][-1] > 6.6
    assert np.diff(times["real/long.mp4"]).max() <= 0.31, "they are spread evenly"
    assert len(times["fake/short.mp4"]) == 9


def test_frames_that_an_earlier_run_left_do_not_stay(plant: Plant, tmp_path: Path) -> None:
    src = plant("set", "real/p.png", "fake/p.png")
    write_clip(src / "real/clip.mp4", [noise(i, 32) for i in range(9)])
    prepare("auto", src, tmp_path / "out", faces="none", frames=9)
    frames = tmp_path / "out/frames/real/clip.mp4"
    assert len(list(frames.iterdir())) == 9
    (frames / ".00003.0a1b2c3d.png").write_bytes(b"killed here")
    (frames / "notes.png").write_bytes(b"mine")
    prepare("auto", src, tmp_path / "out", faces="none", frames=2)
    assert sorted(file.name for file in frames.iterdir()) == ["00000.png", "00001.png", "notes.png"]


def test_a_full_disk_keeps_what_is_done(plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    src = plant("set", *(f"{kind}/{i}.png" for kind in ("real", "fake") for i in range(20)))
    call = ["data", "prepare", "auto", str(src), str(tmp_path / "out"), "--faces", "none", "-j", "1"]
    with small_files(3000):
        assert main(call) == 1
    message = capsys.readouterr().err
    assert f"{tmp_path}/out/faces.jsonl: cannot be written: " in message
    assert "Make room" in message
    assert "goes on from here" in message
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["faces.jsonl"]
    lines = (tmp_path / "out/faces.jsonl").read_text().splitlines()
    assert 5 < len([json.loads(line) for line in lines]) < 41, "no half line"
    assert main(call) == 0
    assert len(Manifest.read(tmp_path / "out/manifest.parquet")) == 40
    write_clip(src / "real/clip.mp4", [noise(i, 256) for i in range(4)])
    before = (tmp_path / "out/manifest.parquet").read_bytes()
    with small_files(30_000):
        assert main(call) == 1
    assert f"{tmp_path}/out/frames/real/clip.mp4/00000.png: cannot be written: " in capsys.readouterr().err
    assert not [file for file in (tmp_path / "out/frames").rglob("*") if file.is_file()]
    assert (tmp_path / "out/manifest.parquet").read_bytes() == before


def test_a_name_that_no_folder_has_is_refused(plant: Plant, tmp_path: Path) -> None:
    src = plant("set", "camera/1.png", "midjourney/2.png", "real/3.png", "fake/4.png")
    with pytest.raises(DataError, match="no folder of fake pictures is named midjorney") as caught:
        prepare("auto", src, tmp_path / "out", options=ReadOptions(real=("Camera",), fake=("midjorney",)))
    assert "camera, fake, midjourney, real" in caught.value.hint
    options = ReadOptions(real=("Camera",), fake=("midjourney",))
    assert len(prepare("auto", src, tmp_path / "out", faces="none", options=options).manifest) == 4


@pytest.mark.parametrize("layout", ["auto", "imagefolder", "real", "generators"])
def test_an_empty_folder_leaves_nothing_behind(layout: str, tmp_path: Path) -> None:
    (tmp_path / "set/real").mkdir(parents=True)
    (tmp_path / "set/notes.txt").write_text("no picture")
    with pytest.raises(DataError) as caught:
        prepare(layout, tmp_path / "set", tmp_path / "out")
    assert "no pictures and no clips" in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_a_folder_that_may_not_be_read_is_named(plant: Plant, tmp_path: Path) -> None:
    src = plant("set", "real/1.png", "fake/2.png", "fake/deep/3.png")
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    closed = src / "fake/deep"
    closed.chmod(0)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)  # root itself may read everything
        with pytest.raises(DataError, match="cannot be listed: permission denied") as caught:
            prepare("auto", src, tmp_path / "out")
    finally:
        if root:
            os.seteuid(0)
        closed.chmod(0o755)
    assert caught.value.path == str(closed)
    assert caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="names of POSIX")
def test_no_name_in_left_out_is_a_formula(plant: Plant, tmp_path: Path) -> None:
    src = plant("set", "real/1.png", "fake/2.png")
    (src / "=cmd|' !A0.png").write_bytes(b"")
    summary = prepare("auto", src, tmp_path / "out", faces="none")
    assert summary.left_out[0].path.startswith("=")
    with (tmp_path / "out/left_out.csv").open(newline="") as lines:
        assert [row["path"][:3] for row in csv.DictReader(lines)] == ["./="]


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
    assert stills.no_face <= 2
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
