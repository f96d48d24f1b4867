from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path

import pytest

from data_samples import Plant
from unmask.base.errors import DataError, UsageError
from unmask.data.items import Item, LeftOut, ReadOptions
from unmask.data.layouts import layout_named, layouts
from unmask.data.layouts.splits import read_splits


def read(name: str, folder: Path, **options: object) -> dict[str, Item]:
    found = layout_named(name, folder).read(folder, ReadOptions(**options))  # type: ignore[arg-type]
    return {item.path: item for item in found if isinstance(item, Item)}


def left(name: str, folder: Path) -> dict[str, str]:
    found = layout_named(name, folder).read(folder, ReadOptions())
    return {item.path: item.reason for item in found if isinstance(item, LeftOut)}


def test_every_file_of_the_folder_is_a_layout() -> None:
    modules = {path.stem for path in Path(layouts.__wrapped__.__code__.co_filename).parent.glob("*.py")} - {"__init__"}
    assert len(layouts()) == len(modules)


def test_unknown_layout_and_unknown_folder(plant: Plant) -> None:
    folder = plant("set", "cats/1.jpg", "dogs/2.jpg")
    with pytest.raises(UsageError, match="unknown layout 'nope'"):
        layout_named("nope", folder)
    with pytest.raises(DataError, match="no known layout fits"):
        layout_named("auto", folder)


def test_imagefolder_goes_by_names_not_by_their_order(plant: Plant) -> None:
    folder = plant("set", "Train/Real/a.jpg", "Train/Fake/b.jpg", "Validation/Fake/c.png", "Test/Real/d.jpg", "x/e.jpg")
    assert layout_named("auto", folder).name == "imagefolder"
    items = read("imagefolder", folder)
    assert {path: (item.label, item.split) for path, item in items.items()} == {
        "Train/Real/a.jpg": (0, "train"),
        "Train/Fake/b.jpg": (1, "train"),
        "Validation/Fake/c.png": (1, "val"),
        "Test/Real/d.jpg": (0, "test"),
    }
    assert left("imagefolder", folder) == {
        "x/e.jpg": "no folder above it means real or fake: say which does with --real or --fake"
    }
    assert items["Train/Real/a.jpg"].method == "none"


def test_imagefolder_with_names_of_ones_own(plant: Plant) -> None:
    folder = plant("set", "camera/1.jpg", "midjourney/v6/2.jpg", "midjourney/v5/3.jpg")
    with pytest.raises(DataError, match="means real or fake"):
        read("imagefolder", folder)
    assert layout_named("auto", folder, ReadOptions(real=("camera",))).name == "imagefolder"
    items = read("imagefolder", folder, real=("Camera",), fake=("midjourney",), source="mine")
    assert {path: (item.label, item.method) for path, item in items.items()} == {
        "camera/1.jpg": (0, "none"),
        "midjourney/v6/2.jpg": (1, "v6"),
        "midjourney/v5/3.jpg": (1, "v5"),
    }
    assert {item.source for item in items.values()} == {"mine"}


def test_names_the_user_gives_win_over_the_usual_ones(plant: Plant) -> None:
    folder = plant("set", "original/1.jpg", "real/2.jpg")
    items = read("imagefolder", folder, fake=("original",))
    assert [items[path].label for path in ("original/1.jpg", "real/2.jpg")] == [1, 0]


def test_hidden_files_are_passed_over(plant: Plant) -> None:
    folder = plant("set", "real/1.jpg", "real/.cache/2.jpg", "real/._3.jpg", "fake/4.jpg")
    assert set(read("imagefolder", folder)) == {"real/1.jpg", "fake/4.jpg"}


def test_linked_folders_are_followed_and_circles_are_not(plant: Plant) -> None:
    folder, other = plant("set", "real/1.jpg"), plant("other", "2.jpg")
    (folder / "fake").symlink_to(other)
    (other / "circle").symlink_to(folder)
    assert set(read("auto", folder)) == {"real/1.jpg", "fake/2.jpg"}


def test_deepfake_faces(plant: Plant) -> None:
    folder = plant("set", "faces_224/aa.jpg", "faces_224/bb.jpg", "faces_224/cc.jpg")
    (folder / "metadata.csv").write_text(
        "videoname,original_width,original_height,label,original\n"
        "aa.mp4,1,1,REAL,\nbb.mp4,1,1,FAKE,aa.mp4\ncc.mp4,1,1,ODD,\ndd.mp4,1,1,FAKE,aa.mp4\n"
    )
    assert layout_named("auto", folder).name == "deepfake-faces"
    items = read("auto", folder)
    assert {item.path: (item.label, item.group) for item in items.values()} == {
        "faces_224/aa.jpg": (0, "dfdc-aa"),
        "faces_224/bb.jpg": (1, "dfdc-aa"),
    }
    assert set(left("auto", folder)) == {"faces_224/cc.jpg", "faces_224/dd.jpg"}


def test_dfdc_parts(plant: Plant) -> None:
    folder = plant("set", "part_0/a.mp4", "part_0/b.mp4", "part_1/c.mp4", "part_1/stray.mp4")
    facts = {"a.mp4": {"label": "REAL", "split": "train"}, "b.mp4": {"label": "FAKE", "original": "a.mp4"}}
    (folder / "part_0/metadata.json").write_text(json.dumps(facts))
    (folder / "part_1/metadata.json").write_text(json.dumps({"c.mp4": {"label": "FAKE", "original": "a.mp4"}}))
    items = read("auto", folder)
    assert {item.path: (item.label, item.group, item.split) for item in items.values()} == {
        "part_0/a.mp4": (0, "dfdc-a", None),
        "part_0/b.mp4": (1, "dfdc-a", None),
        "part_1/c.mp4": (1, "dfdc-a", None),
    }
    assert left("auto", folder) == {"part_1/stray.mp4": "not named in metadata.json"}
    (folder / "part_1/metadata.json").write_text("{")
    with pytest.raises(DataError, match="is not JSON"):
        read("auto", folder)


@pytest.mark.parametrize("text", ["[]", '{"a.mp4": "FAKE"}', "{"])
def test_dfdc_facts_of_another_form(plant: Plant, text: str) -> None:
    folder = plant("set", "a.mp4")
    (folder / "metadata.json").write_text(text)
    with pytest.raises(DataError, match=r"metadata.json: (is not JSON|does not give facts by clip)"):
        read("auto", folder)


def test_deepfake_faces_without_its_columns(plant: Plant) -> None:
    folder = plant("set", "faces_224/aa.jpg")
    (folder / "metadata.csv").write_text("name,label\naa.mp4,REAL\n")
    with pytest.raises(DataError, match="column missing: videoname"):
        read("auto", folder)


def test_140k_keeps_ffhq_numbers(plant: Plant) -> None:
    inner = "real_vs_fake/real-vs-fake"
    folder = plant("set", f"{inner}/train/real/00017.jpg", f"{inner}/valid/fake/0AB.jpg")
    items = read("auto", folder)
    assert [(item.group, item.split, item.method) for item in items.values()] == [
        ("ffhq-17", "train", "none"),
        ("140k-0AB", "val", "stylegan"),
    ]


def test_ciplab(plant: Plant) -> None:
    folder = plant("set", "training_real/1.jpg", "training_fake/2.jpg")
    assert {item.path: (item.label, item.method) for item in read("auto", folder).values()} == {
        "training_real/1.jpg": (0, "none"),
        "training_fake/2.jpg": (1, "photoshop"),
    }


def test_generators_and_pairs(plant: Plant) -> None:
    folder = plant("set", "gan/fake/1_2.jpg", "swap/real/7_a.jpg", "swap/fake/7_a_0.jpg", "swap/fake/7_a_1.jpg")
    assert layout_named("auto", folder).name == "generators"
    items = read("auto", folder)
    assert {item.method for item in items.values()} == {"gan", "swap", "none"}
    pair = {items[path].group for path in ("swap/real/7_a.jpg", "swap/fake/7_a_0.jpg", "swap/fake/7_a_1.jpg")}
    assert len(pair) == 1
    assert items["gan/fake/1_2.jpg"].group not in pair


def test_uadfv_pairs(plant: Plant) -> None:
    folder = plant("set", "real/0001.mp4", "fake/0001_fake.mp4", "real/0002.mp4")
    assert [(item.path, item.group) for item in read("auto", folder).values()] == [
        ("fake/0001_fake.mp4", "uadfv-0001"),
        ("real/0001.mp4", "uadfv-0001"),
        ("real/0002.mp4", "uadfv-0002"),
    ]


@pytest.mark.parametrize("below", ["", "frames/"])
def test_uadfv_as_frames(plant: Plant, below: str) -> None:
    real, fake = (f"real/{below}000{{}}/{{:03}}.png", f"fake/{below}000{{}}_fake/{{:03}}.png")
    folder = plant("set", *(name.format(video, frame) for name in (real, fake) for video in (1, 2) for frame in (0, 9)))
    assert layout_named("auto", folder).name == "uadfv"
    items = read("auto", folder)
    groups = defaultdict(set)
    for path, item in items.items():
        groups[item.group].add(Path(path).parent.name)
        assert item.method == ("uadfv" if item.label else "none")
    assert groups == {"uadfv-0001": {"0001", "0001_fake"}, "uadfv-0002": {"0002", "0002_fake"}}
    assert len(items) == 8


@pytest.mark.parametrize(
    ("real", "fake"),
    [
        ("real/{}/{}.jpg", "fake/{}/{}.jpg"),
        ("train/real/frames/{}/frame_{}.png", "train/fake/deepfakes/frames/{}_fake/frame_{}.png"),
        ("real/{}/images/{}.jpg", "fake/swap/{}/images/{}.jpg"),
        ("c23/real/{}/{}.jpg", "c23/fake/{}_x/{}.jpg"),
    ],
)
@pytest.mark.parametrize("videos", [["id0_0001", "id1_0002", "000_003"], ["ann", "bob"], list("abcdefghijkl")])
def test_frames_of_a_video_are_one_group_and_no_method(plant: Plant, real: str, fake: str, videos: list[str]) -> None:
    if "_x/" in fake and len(videos) == 2:
        videos = ["v001", "v002"]  # two folders of other names can as well be generators
    folder = plant("set", *(name.format(video, f"{i:04}") for name in (real, fake) for video in videos for i in (0, 7)))
    items = read("imagefolder", folder)
    groups = defaultdict(list)
    for path, item in items.items():
        groups[item.group].append(path)
    assert len(groups) == 2 * len(videos)
    assert all(len(paths) == 2 for paths in groups.values())
    method = next((name for name in ("deepfakes", "swap", "c23") if name in fake), "set")
    assert {item.method for item in items.values()} == {"none", method}


def test_a_folder_a_generator_is_no_video(plant: Plant) -> None:
    numbers = ("000", "001")
    fakes = [f"fake/{name}/{i}.png" for name in ("stylegan2-1024", "sd-256") for i in numbers]
    folder = plant("set", *(f"real/ffhq/{i}.png" for i in numbers), *fakes)
    items = read("imagefolder", folder)
    assert {item.method for item in items.values()} == {"none", "stylegan2-1024", "sd-256"}
    assert len({item.group for item in items.values()}) == len(items)


def test_pictures_with_names_are_no_frames(plant: Plant) -> None:
    folder = plant("set", "real/2024/beach.jpg", "real/2025/hill.jpg", "fake/2024/beach.jpg", "fake/2025/hill.jpg")
    assert len({item.group for item in read("imagefolder", folder).values()}) == 4


def test_generators_with_folders_of_frames(plant: Plant) -> None:
    paths = [
        f"gan/{kind}/{video}/{i:03}.jpg" for kind in ("real", "fake") for video in ("0001", "0002") for i in (0, 1)
    ]
    folder = plant("set", *paths, "swap/fake/1.jpg")
    assert layout_named("auto", folder).name == "generators"
    items = read("auto", folder)
    assert {item.group for item in items.values()} == {"set-gan/0001", "set-gan/0002", "set-swap/1"}
    assert {item.method for item in items.values()} == {"gan", "swap", "none"}


def test_ffpp_ties_target_and_donor(plant: Plant) -> None:
    real, fake = "original_sequences/youtube/c23/videos", "manipulated_sequences/{}/c23/videos"
    folder = plant(
        "set",
        *(f"{real}/{number}.mp4" for number in ("000", "003", "004", "010")),
        f"{fake.format('Deepfakes')}/000_003.mp4",
        f"{fake.format('Face2Face')}/003_000.mp4",
        f"{fake.format('Face2Face')}/004_982.mp4",
        "manipulated_sequences/Face2Face/masks/videos/004_982.mp4",
    )
    items = read("auto", folder)
    groups = defaultdict(set)
    for item in items.values():
        groups[item.group].add(Path(item.path).name)
    assert dict(groups) == {
        "ffpp-000": {"000.mp4", "003.mp4", "000_003.mp4", "003_000.mp4"},
        "ffpp-004": {"004.mp4", "004_982.mp4"},
        "ffpp-010": {"010.mp4"},
    }
    assert {item.method for item in items.values()} == {"none", "Deepfakes", "Face2Face"}
    assert len(left("auto", folder)) == 1


def test_real_only_is_never_guessed(plant: Plant) -> None:
    folder = plant("set", "people/ann/1.jpg", "people/ann/2.jpg", "people/bob/3.jpg", "ffhq/4.jpg", "5.mp4")
    with pytest.raises(DataError):
        layout_named("auto", folder)
    items = read("real", folder)
    assert {item.label for item in items.values()} == {0}
    assert items["people/ann/1.jpg"].group == items["people/ann/2.jpg"].group != items["people/bob/3.jpg"].group
    assert [items[path].source for path in ("people/ann/1.jpg", "ffhq/4.jpg", "5.mp4")] == ["people", "ffhq", "set"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("path,label\n", "column missing: split, group, source, method"),
        ("path,label,split,group,source,method\na.jpg,real,train,g,s,none\n", "line 2: unknown label 'real'"),
        ("path,label,split,group,source,method\na.jpg,1,dev,g,s,none\n", "line 2: unknown split 'dev'"),
        ("path,label,split,group,source,method\n../a.jpg,1,val,g,s,none\n", "not below the file's folder"),
        ("path,label,split,group,source,method\na.jpg,1,val,,s,none\n", "must not be empty"),
        ("path,label,split,group,source,method\na.jpg,1\n", "line 2"),
        ("path,label,split,group,source,method\n" + "a.jpg,1,val,g,s,m\n" * 2, "a second time"),
    ],
)
def test_bad_splits_files(text: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "splits.csv").write_text(text)
    with pytest.raises(DataError, match=what):
        read_splits(tmp_path / "splits.csv")


REAL = {
    "dfdc-faces": "deepfake-faces",
    "140k-faces": "140k",
    "photoshop-faces": "ciplab",
    "synthetic-faces": "generators",
    "swap-faces": "generators",
    "ai-portraits": "imagefolder",
    "talking-clips": "imagefolder",
    "hardfakevsreal": "imagefolder",
    "ffpp-clips": "ffpp",
    "dfdc-clips": "dfdc",
    "uadfv-clips": "uadfv",
}
REAL_ONLY = ("real-faces", "real-photos", "real-clips")


@pytest.mark.data
@pytest.mark.parametrize("name", [*REAL, *REAL_ONLY])
def test_real_layouts_agree_with_the_splits_file(name: str, real_data: Path) -> None:
    layout = layout_named("real" if name in REAL_ONLY else "auto", real_data / name)
    assert layout.name == REAL.get(name, "real")
    items = read(layout.name, real_data / name)
    with (real_data / "splits.csv").open(newline="") as lines:
        rows = {
            row["path"].removeprefix(f"{name}/"): row
            for row in csv.DictReader(lines)
            if row["path"].startswith(f"{name}/")
        }
    assert set(items) == set(rows)
    assert {path: item.label for path, item in items.items()} == {path: int(row["label"]) for path, row in rows.items()}
    if name == "140k-faces":
        assert all(items[path].split == row["split"] for path, row in rows.items())
    # Whatever the file keeps together inside one set, the reader keeps together (persons and pairs, not duplicates).
    together = defaultdict(set)
    for path, row in rows.items():
        together[row["group"]].add(items[path].group)
    torn = [group for group, names in together.items() if len(names) > 1]
    assert not torn, torn[:5]
