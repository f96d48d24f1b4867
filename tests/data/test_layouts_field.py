"""The field's sets whose files nobody may pass on: their trees, generated, with small pictures and clips."""

from __future__ import annotations

import csv
import json
import unicodedata
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from data_samples import Plant, noise, write_clip
from unmask.base.errors import DataError
from unmask.data.items import Item, LeftOut, ReadOptions
from unmask.data.layouts import layout_named
from unmask.data.lineage import groups_of

CELEB = {
    "Celeb-real/id0_0000.mp4": "train",
    "Celeb-real/id0_0001.mp4": "test",
    "Celeb-real/id1_0000.mp4": "train",
    "Celeb-synthesis/id0_id1_0000.mp4": "train",
    "Celeb-synthesis/id0_id2_0000.mp4": "train",
    "Celeb-synthesis/id0_id1_0001.mp4": None,
    "Celeb-synthesis/id0_id2_0001.mp4": "test",
    "YouTube-real/00170.mp4": "test",
    "YouTube-real/00171.mp4": "train",
}
"""Clip -> split by the test list; None: left out, since it was made of the same original as a test clip."""


def read(folder: Path, name: str = "auto", **options: Any) -> tuple[str, dict[str, Item], dict[str, str]]:
    layout = layout_named(name, folder)
    found = list(layout.read(folder, ReadOptions(**options)))
    items = {one.path: one for one in found if isinstance(one, Item)}
    return layout.name, items, {one.path: one.reason for one in found if isinstance(one, LeftOut)}


def facts(items: dict[str, Item]) -> dict[str, tuple[int, str | None]]:
    return {path: (item.label, item.split) for path, item in items.items()}


def plant_celeb(plant: Plant, folder: str = "Celeb-DF-v2") -> Path:
    home = plant(folder, *CELEB)
    lines = [f"{int('synthesis' not in path)} {path}" for path, split in CELEB.items() if split == "test"]
    (home / "List_of_testing_videos.txt").write_text("\n".join(lines) + "\n\n")
    return home


def test_celeb_df_one_means_real_in_its_list(plant: Plant) -> None:
    name, items, left = read(plant_celeb(plant))
    assert name == "celeb-df"
    wanted = {path: (int("synthesis" in path), split) for path, split in CELEB.items() if split}
    assert facts(items) == wanted
    assert left == {"Celeb-synthesis/id0_id1_0001.mp4": "made of the same original as a clip in test"}
    assert {item.source for item in items.values()} == {"celeb-df-v2"}
    groups = {path: item.group for path, item in items.items()}
    assert groups["Celeb-real/id0_0000.mp4"] == groups["Celeb-synthesis/id0_id2_0000.mp4"]
    assert groups["Celeb-real/id0_0000.mp4"] != groups["Celeb-real/id0_0001.mp4"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("0 YouTube-real/00170.mp4", "line 1 says 0 for a video in YouTube-real: in these lists 1 means real"),
        ("1 Celeb-synthesis/id0_id2_0001.mp4", "line 1 says 1 for a video in Celeb-synthesis"),
        ("YouTube-real/00170.mp4", "is not '0 or 1"),
        ("1 Elsewhere/00170.mp4", "is not '0 or 1"),
    ],
)
def test_celeb_df_lists_the_wrong_way_round_are_refused(plant: Plant, line: str, what: str) -> None:
    folder = plant_celeb(plant)
    (folder / "List_of_testing_videos.txt").write_text(line)
    with pytest.raises(DataError, match=what):
        read(folder)


def test_celeb_df_without_its_list_goes_by_person(plant: Plant) -> None:
    folder = plant("Celeb-DF", *CELEB)
    _, items, left = read(folder)
    assert not left
    assert {item.split for item in items.values()} == {None}
    assert len({item.group for path, item in items.items() if "/id0_" in path}) == 1
    (folder / "List_of_testing_videos.txt").write_text("1 Celeb-real/id9_0009.mp4\n")
    assert read(folder)[2] == {"Celeb-real/id9_0009.mp4": "named in List_of_testing_videos.txt, but not there"}


def test_celeb_df_as_frames(plant: Plant) -> None:
    folder = plant("Celeb-DF-v1", "Celeb-real/frames/id0_0000/000.png", "Celeb-synthesis/frames/id0_id1_0000/000.png")
    (folder / "List_of_testing_videos.txt").write_text("0 Celeb-synthesis/id0_id1_0000.mp4\n")
    _, items, left = read(folder)
    assert facts(items) == {"Celeb-synthesis/frames/id0_id1_0000/000.png": (1, "test")}
    assert list(left.values()) == ["made of the same original as a clip in test"]


def plant_ffpp(plant: Plant, codecs: tuple[str, ...] = ("c23",)) -> Path:
    real, fake = "original_sequences/youtube/{}/videos/{}.mp4", "manipulated_sequences/{}/{}/videos/{}.mp4"
    ids = ("000", "003", "010", "011", "020", "021")
    pairs = ("000_003", "003_000", "010_011", "020_021")
    home = plant(
        "FaceForensics++",
        *(real.format(codec, one) for codec in codecs for one in ids),
        *(fake.format(how, codec, pair) for codec in codecs for how in ("Deepfakes", "Face2Face") for pair in pairs),
        f"original_sequences/actors/{codecs[0]}/videos/01__kitchen_still.mp4",
        f"manipulated_sequences/DeepFakeDetection/{codecs[0]}/videos/01_02__kitchen_still__ABCDEF12.mp4",
        "manipulated_sequences/Deepfakes/masks/videos/000_003.mp4",
    )
    for split, pair in {"train": ["000", "003"], "val": ["010", "011"], "test": ["020", "021"]}.items():
        (home / f"{split}.json").write_text(json.dumps([pair]))
    return home


def test_ffpp_pairs_are_the_split(plant: Plant) -> None:
    name, items, left = read(plant_ffpp(plant))
    assert name == "ffpp"
    sides = defaultdict(set)
    for path, item in items.items():
        sides[item.split].add(Path(path).stem)
    assert sides == {
        "train": {"000", "003", "000_003", "003_000"},
        "val": {"010", "011", "010_011"},
        "test": {"020", "021", "020_021"},
        None: {"01__kitchen_still", "01_02__kitchen_still__ABCDEF12"},
    }
    assert left == {"manipulated_sequences/Deepfakes/masks/videos/000_003.mp4": "a mask, not a picture of a face"}
    assert {item.group for path, item in items.items() if "kitchen" in path} == {"ffpp-actor-01"}
    assert {item.source for item in items.values()} == {"ffpp"}


def test_ffpp_compressions_are_sources_of_their_own_and_share_groups(plant: Plant) -> None:
    _, items, _ = read(plant_ffpp(plant, ("c0", "c23", "c40")))
    copies = [item for path, item in items.items() if path.endswith("/010_011.mp4") and "Face2Face" in path]
    assert {item.source for item in copies} == {"ffpp-c0", "ffpp-c23", "ffpp-c40"}
    assert len({item.group for item in copies}) == 1


def test_ffpp_as_on_kaggle(plant: Plant) -> None:
    folder = plant("FaceForensics++_C23", "original/000.mp4", "Deepfakes/000_003.mp4", "FaceSwap/003_000.mp4")
    name, items, left = read(folder)
    assert (name, left) == ("ffpp", {})
    assert {path: (item.label, item.method, item.group) for path, item in items.items()} == {
        "original/000.mp4": (0, "none", "ffpp-000"),
        "Deepfakes/000_003.mp4": (1, "Deepfakes", "ffpp-000"),
        "FaceSwap/003_000.mp4": (1, "FaceSwap", "ffpp-000"),
    }


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"train": "[[1", "test": "[]"}, "not a list of pairs"),
        ({"train": "5"}, "not a list of pairs"),
        ({"train": '[["000","003"]]', "test": '[["003","010"]]'}, "the video 003 is in train and in test"),
    ],
)
def test_ffpp_broken_pair_files(plant: Plant, files: dict[str, str], what: str) -> None:
    folder = plant_ffpp(plant)
    for split, text in files.items():
        (folder / f"{split}.json").write_text(text)
    with pytest.raises(DataError, match=what):
        read(folder)


def plant_kodf(plant: Plant, *, decomposed: bool = False) -> Path:
    home = plant(
        "kodf",
        "1.Training/원천/20200715_a_1.mp4",
        "1.Training/원천/20200715_b_1.mp4",
        "1.Training/변조/fsgan/a_b_1.mp4",
        "1.Training/변조/fsgan/stray.mp4",
        "2.Validation/원천/20200716_c_1.mp4",
        "2.Validation/변조/c_d_1.mp4",
    )
    real, fake = ["영상ID", "UUID"], ["영상ID", "타겟영상", "변조모델", "소스UUID", "타겟UUID"]
    tables = {
        "원본영상_training": [real, ["20200715_a_1.mp4", "A"], ["20200715_b_1.mp4", "B"], ["gone.mp4", "B"]],
        "변조영상_training": [fake, ["a_b_1.mp4", "20200715_a_1.mp4", "FSGAN", "B", "A"]],
        "원본영상_validation": [real, ["20200716_c_1.mp4", "C"]],
        "변조영상_validation": [fake, ["c_d_1.mp4", "20200716_c_1.mp4", "dfl", "D", "C"]],
    }
    for name, rows in tables.items():
        file = f"{name}_메타데이터.csv"
        file = unicodedata.normalize("NFD", file) if decomposed else file
        with (home / file).open("w", newline="", encoding="utf-8-sig") as lines:
            csv.writer(lines).writerows(rows)
    return home


@pytest.mark.parametrize("decomposed", [False, True])
def test_kodf(plant: Plant, decomposed: bool) -> None:
    name, items, left = read(plant_kodf(plant, decomposed=decomposed))
    assert name == "kodf"
    assert {path: (item.label, item.split, item.group, item.method) for path, item in items.items()} == {
        "1.Training/원천/20200715_a_1.mp4": (0, "train", "kodf-A", "none"),
        "1.Training/원천/20200715_b_1.mp4": (0, "train", "kodf-B", "none"),
        "1.Training/변조/fsgan/a_b_1.mp4": (1, "train", "kodf-A", "fsgan"),
        "2.Validation/원천/20200716_c_1.mp4": (0, "test", "kodf-C", "none"),
        "2.Validation/변조/c_d_1.mp4": (1, "test", "kodf-C", "dfl"),
    }
    assert left == {
        "1.Training/변조/fsgan/stray.mp4": "not named in the metadata",
        "gone.mp4": "named in the metadata, but not there",
    }


def test_kodf_without_its_columns(plant: Plant) -> None:
    folder = plant_kodf(plant)
    (folder / "변조영상_training_메타데이터.csv").write_text("영상ID,변조모델\na.mp4,fo\n", encoding="utf-8")
    with pytest.raises(DataError, match="column missing: 타겟영상"):
        read(folder)


DF40 = {
    "Face-swapping/simswap/ff/frames/000_003/010.png": (1, "simswap", "df40-ff", "ffpp-000"),
    "Face-swapping/simswap/cdf/frames/id0_id1_0000/000.png": (1, "simswap", "df40-cdf", "celeb-df-id0_0000"),
    "EFS/e4e/cdf/Celeb-real/inversions/id0_0000.png": (1, "e4e", "df40-cdf", "celeb-df-id0_0000"),
    "stargan/fake/1.jpg": (1, "stargan", "df40", "df40-stargan/fake/1"),
    "stargan/real/1.jpg": (0, "none", "df40", "df40-stargan/real/1"),
    "heygen/fake/frames/clip7/0.png": (1, "heygen", "df40", "df40-clip7"),
    "FaceForensics++/original_sequences/youtube/c23/frames/003/0.png": (0, "none", "df40", "ffpp-000"),
    "Celeb-DF-v2/Celeb-real/frames/id0_0000/0.png": (0, "none", "df40", "celeb-df-id0_0000"),
}


def test_df40(plant: Plant) -> None:
    folder = plant("DF40", *DF40, "Face-swapping/simswap/ff/masks/000_003/010.png")
    name, items, left = read(folder)
    assert name == "df40"
    assert {path: (item.label, item.method, item.source, item.group) for path, item in items.items()} == DF40
    assert list(left) == ["Face-swapping/simswap/ff/masks/000_003/010.png"]
    assert {item.split for item in items.values()} == {None}


def test_df40_parts_for_training_and_testing(plant: Plant) -> None:
    folder = plant(
        "DF40",
        "train/simswap/ff/frames/000_003/0.png",
        "train/blendface/ff/frames/500_501/0.png",
        "test/simswap/ff/frames/500_501/0.png",
    )
    _, items, left = read(folder)
    assert facts(items) == {
        "train/simswap/ff/frames/000_003/0.png": (1, "train"),
        "test/simswap/ff/frames/500_501/0.png": (1, "test"),
    }
    assert left == {"train/blendface/ff/frames/500_501/0.png": "made of the same original as a clip in test"}


def video(label: str, *frames: str) -> dict[str, Any]:
    return {"label": label, "frames": list(frames)}


def plant_bench(plant: Plant) -> Path:
    base = "original_sequences/youtube/c23/frames"
    frames = {name: f"FaceForensics++/{base}/{name}/000.png" for name in ("000", "003", "010")}
    fake = "FaceForensics++/manipulated_sequences/Deepfakes/c23/frames/000_003/000.png"
    celeb = {name: f"Celeb-DF-v1/Celeb-real/frames/{name}/000.png" for name in ("id0_0000", "id1_0000")}
    uadfv = {"real": "UADFV/real/frames/0000/000.png", "fake": "UADFV/fake/frames/0000_fake/000.png"}
    home = plant("rgb", *frames.values(), fake, *celeb.values(), *uadfv.values())
    (home / "dataset_json").mkdir()

    def real(name: str) -> dict[str, Any]:
        return {name: video("FF-real", "/elsewhere/datasets/rgb/" + frames[name])}

    gone = {"009": video("FF-real", f"/elsewhere/datasets/rgb/FaceForensics++/{base}/009/000.png")}
    windows = fake.replace("/", "\\")
    ff = {
        "FF-real": {
            "train": {"c23": real("000") | real("003")},
            "val": {"c23": gone},
            "test": {"c23": real("010")},
        },
        "FF-DF": {"train": {"c23": {"000_003": video("FF-DF", f".\\datasets\\{windows}")}}, "val": {}, "test": {}},
    }
    everyone = {name: video("CelebDFv1_real", f"./datasets/{path}") for name, path in celeb.items()}
    tested = {"id1_0000": everyone["id1_0000"]}
    both = {
        f"UADFV_{kind}": {
            split: {Path(path).parent.name: video(f"UADFV_{kind}", path)} for split in ("train", "val", "test")
        }
        for kind, path in uadfv.items()
    }
    tables = {
        "FF-DF": {"FF-DF": ff},
        "Celeb-DF-v1": {"Celeb-DF-v1": {"CelebDFv1_real": {"train": everyone, "val": tested, "test": tested}}},
        "UADFV": {"UADFV": both},
    }
    for name, table in tables.items():
        (home / f"dataset_json/{name}.json").write_text(json.dumps(table))
    return home


def test_deepfakebench(plant: Plant) -> None:
    name, items, left = read(plant_bench(plant))
    assert name == "deepfakebench"
    seen = {Path(path).parent.name: item for path, item in items.items()}
    assert {video: (item.label, item.split, item.method, item.group) for video, item in seen.items()} == {
        "000": (0, "train", "none", "ffpp-000"),
        "003": (0, "train", "none", "ffpp-000"),
        "010": (0, "test", "none", "ffpp-010"),
        "000_003": (1, "train", "Deepfakes", "ffpp-000"),
        # Its training part holds all videos, and val is a copy of test.
        "id0_0000": (0, "train", "none", "celeb-df-id0_0000"),
        "id1_0000": (0, "test", "none", "celeb-df-id1_0000"),
        # All three parts are the same videos there: no split.
        "0000": (0, None, "none", "bench-0000"),
        "0000_fake": (1, None, "UADFV", "bench-0000"),
    }
    assert {item.source for item in items.values()} == {"FF-DF", "Celeb-DF-v1", "UADFV"}
    assert list(left.values()) == ["named in the JSON, but not there"]


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ({"S": {"S_real": {"train": {"v": {"frames": ["a/v/0.png"]}}}}}, "KeyError"),
        ({"S": ["train"]}, "does not have the benchmark's form"),
        (
            {
                "S": {
                    "S_real": {"train": {"v": video("S_real", "a/v/0.png")}},
                    "S_fake": {"train": {"v": video("S_fake", "a/v/0.png")}},
                }
            },
            "real in one of its JSON files and fake in another",
        ),
    ],
)
def test_deepfakebench_of_another_form(plant: Plant, table: dict[str, Any], what: str) -> None:
    folder = plant("rgb", "a/v/0.png")
    (folder / "S.json").write_text(json.dumps(table))
    with pytest.raises(DataError, match=what):
        read(folder, "deepfakebench")


@pytest.mark.parametrize("spaces", [None, 4])
def test_deepfakebench_is_known_however_its_json_is_written(plant: Plant, spaces: int | None) -> None:
    folder = plant("rgb", "a/v/0.png")
    table = {"S": {"S_real": {"val": {"v": video("S_real", "a/v/0.png")}}}}
    (folder / "S.json").write_text(json.dumps(table, indent=spaces))
    assert read(folder)[0] == "deepfakebench"


def test_other_json_is_not_taken_for_deepfakebench(plant: Plant) -> None:
    parts = plant("dfdc", "a.mp4", "b.mp4")
    facts = {"a.mp4": {"label": "FAKE", "split": "train", "original": "b.mp4"}, "b.mp4": {"label": "REAL"}}
    # As it is published: without a space.
    (parts / "metadata.json").write_text(json.dumps(facts, separators=(",", ":")))
    name, items, _ = read(parts)
    assert (name, {path: item.label for path, item in items.items()}) == ("dfdc", {"a.mp4": 1, "b.mp4": 0})
    classes = plant("classes", "real/1.jpg", "fake/2.jpg")
    for table in ({"sizes": {"train": {"real": 1}}}, {"train": 2}):
        (classes / "info.json").write_text(json.dumps(table))
        assert read(classes)[0] == "imagefolder"
    with pytest.raises(DataError, match=r"info.json: does not have the benchmark's form"):
        read(classes, "deepfakebench")
    with pytest.raises(DataError, match="holds no JSON of DeepfakeBench"):
        read(plant("none", "a/v/0.png"), "deepfakebench")


def test_deepfakebench_never_leaves_the_folder_and_names_unknown_labels(plant: Plant, tmp_path: Path) -> None:
    folder = plant("rgb", "a/v/0.png")
    plant("secret", "0.png")
    frames = video("S_real", "../secret/0.png", str(tmp_path / "secret/0.png"), "a/v/0.png")
    odd = {"w": video("S_odd", "a/v/0.png")}
    (folder / "S.json").write_text(json.dumps({"S": {"S_real": {"train": {"v": frames}}, "S_odd": {"train": odd}}}))
    _, items, left = read(folder)
    assert list(items) == ["a/v/0.png"]
    assert sorted(left.values()) == ["named in the JSON, but not there"] * 2 + ["unknown label S_odd"]


def test_kaggle_190k(plant: Plant) -> None:
    parts = [f"Dataset/{split}/{label}" for split in ("Train", "Validation", "Test") for label in ("Real", "Fake")]
    folder = plant("set", *(f"{part}/{part.rpartition('/')[2].lower()}_0.jpg" for part in parts))
    name, items, left = read(folder)
    assert (name, left) == ("deepfake-and-real", {})
    assert sorted(facts(items).values()) == sorted((label, s) for label in (0, 1) for s in ("train", "val", "test"))
    assert {item.method for item in items.values() if item.label} == {"openforensics"}
    assert len({item.group for item in items.values()}) == 6


def test_lineage_is_the_same_for_every_layout() -> None:
    names = ["000", "003", "000_003", "id0_id3_0007", "id0_0007", "01_02__talk__X", "01__talk", "0000", "12"]
    groups = groups_of(names, "set")
    assert groups["000"] == groups["003"] == groups["000_003"] == "ffpp-000"
    assert groups["id0_id3_0007"] == groups["id0_0007"]
    assert groups["01_02__talk__X"] == groups["01__talk"] == "ffpp-actor-01"
    assert (groups["0000"], groups["12"]) == ("set-0000", "set-12")


def test_each_of_them_becomes_a_manifest(plant: Plant, tmp_path: Path) -> None:
    pytest.importorskip("polars", reason="needs the extra [data]")
    from unmask.data.prepare import prepare

    trees = [plant_celeb(plant), plant_ffpp(plant), plant_kodf(plant), plant("DF40", *DF40), plant_bench(plant)]
    seed = 0
    for folder in trees:
        for clip in folder.rglob("*.mp4"):
            write_clip(clip, [noise(seed := seed + 1, 32) for _ in range(2)])
        out = tmp_path / "out" / folder.name
        summary = prepare("auto", folder, out, faces="none", frames=2)
        assert summary.failed == 0
        expected = {path for path, item in read(folder)[1].items() if item}
        rows = summary.manifest.table
        assert set(rows["clip"].drop_nulls()) | set(rows.filter(rows["root"] == "src")["path"]) == expected
        assert set(rows["label"]) == {0, 1}
