from __future__ import annotations

import json
import ntpath
import posixpath
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("polars", reason="needs the extra [data]")

import polars as pl

from support import small_files
from unmask.base.errors import DataError
from unmask.data.items import stays_below
from unmask.data.manifest import LEAVES_ROOT, SCHEMA, Manifest, join

WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from('",\n #'), min_size=1, max_size=12)
NUMBERS = st.floats(-1e4, 1e4, width=32)


def row(**changes: Any) -> dict[str, Any]:
    """A real picture with a face."""
    base = {"root": "src", "path": "a.jpg", "label": 0, "split": "train", "group": "a", "source": "s", "method": "none"}
    face = {"x0": 10.0, "y0": 12.0, "x1": 50.5, "y1": 60.25, "face_score": 0.9, "landmarks": [1.5] * 10}
    return dict.fromkeys(SCHEMA) | base | face | {"width": 64, "height": 64} | changes


def manifest(*rows: dict[str, Any], roots: dict[str, Path] | None = None) -> Manifest:
    return Manifest(pl.DataFrame(list(rows), schema=SCHEMA), roots or {"src": Path("/pictures")})


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    paths = draw(st.lists(WORDS.filter(lambda word: word.strip(". ") != ""), min_size=1, max_size=6, unique=True))
    rows = []
    for number, path in enumerate(paths):
        x0, y0 = draw(NUMBERS), draw(NUMBERS)
        face = {"x0": x0, "y0": y0, "x1": x0 + draw(st.floats(1, 500)), "y1": y0 + 40}
        points = draw(st.none() | st.lists(NUMBERS, min_size=10, max_size=10))
        found = draw(st.booleans())
        empty = dict.fromkeys((*face, "face_score", "landmarks"))
        rows.append(
            row(
                path=f"d/{path}",
                label=draw(st.integers(0, 1)),
                split=draw(st.sampled_from(["train", "val", "test"])),
                group=f"{number} {draw(WORDS)}",
                source=draw(WORDS),
                clip=draw(st.none() | WORDS),
                time_s=draw(st.none() | st.floats(0, 1e5)),
                **(face | {"landmarks": points} if found else empty),
            )
        )
    return rows


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@settings(deadline=None)
@given(rows=tables())
def test_what_is_written_is_read(
    rows: list[dict[str, Any]], suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("m")
    written = manifest(*rows, roots={"src": Path("/pictures"), "out": folder})
    written.write(folder / f"m{suffix}")
    read = Manifest.read(folder / f"m{suffix}")
    assert read.table.equals(written.table)
    assert read.table.schema == pl.Schema(SCHEMA)
    assert read.roots == {"src": Path("/pictures"), "out": folder.resolve()}


def test_a_manifest_moves_with_its_frames(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    manifest(row(root="out"), roots={"out": here}).write(here / "m.parquet")
    here.rename(there)
    assert Manifest.read(there / "m.parquet").files() == [there.resolve() / "a.jpg"]


def test_roots_can_be_named_anew(tmp_path: Path) -> None:
    manifest(row()).write(tmp_path / "m.csv")
    read = Manifest.read(tmp_path / "m.csv", {"src": tmp_path / "moved"})
    assert read.file(read.table.row(0, named=True)) == tmp_path / "moved" / "a.jpg"
    with pytest.raises(DataError, match="no root named pics"):
        Manifest.read(tmp_path / "m.csv", {"pics": tmp_path})


def test_a_table_by_hand_needs_few_columns(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(
        "root,path,label,split,group,source,method\nsrc,1.jpg,0,train,007,mine,none\nsrc,2.jpg,1,train,008,mine,gan\n"
    )
    read = Manifest.read(tmp_path / "m.csv")
    assert read.table["group"].to_list() == ["007", "008"]
    assert read.table["x0"].null_count() == 2
    assert read.files()[0] == tmp_path.resolve() / "1.jpg"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"label": 2}, "unknown label"),
        ({"label": None}, "unknown label"),
        ({"split": "dev"}, "unknown split"),
        ({"root": "elsewhere"}, "unknown root"),
        ({"path": "../secret.jpg"}, "leaves its root"),
        ({"path": "a/../../b.jpg"}, "leaves its root"),
        ({"path": "a\\..\\b.jpg"}, "leaves its root"),
        ({"path": "/etc/passwd"}, "leaves its root"),
        ({"path": "C:/b.jpg"}, "leaves its root"),
        ({"path": ""}, "empty path"),
        ({"group": ""}, "empty group"),
        ({"source": None}, "empty source"),
        ({"x1": None}, "missing corners"),
        ({"x1": 10.0}, "an empty box"),
        ({"y1": float("nan")}, "an empty box"),
        ({"x0": float("-inf")}, "an empty box"),
        ({"landmarks": [1.0] * 9}, "not five points"),
    ],
)
def test_bad_rows_are_named(changes: dict[str, Any], what: str, tmp_path: Path) -> None:
    bad = manifest(row(path="fine.jpg", group="b"), row(**changes))
    with pytest.raises(DataError, match=what) as caught:
        bad.write(tmp_path / "m.parquet")
    assert caught.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["m.parquet", "m.csv"])
def test_a_full_disk_leaves_the_older_manifest(name: str, tmp_path: Path) -> None:
    manifest(row()).write(tmp_path / name)
    before = (tmp_path / name).read_bytes()
    large = manifest(*(row(path=f"{i}.jpg", group=f"{i}") for i in range(500)))
    with small_files(2000), pytest.raises(OSError, match="large") as caught:
        large.write(tmp_path / name)
    assert caught.value.filename == str(tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_names_that_only_look_like_ways_out_are_fine() -> None:
    manifest(row(path="a..b/..c/d...jpg"), row(path="x/.hidden.jpg")).check()


PARTS = st.sampled_from(["..", ".", "", "a", "...", "..a", "a..", "C:", "c:x", "~", " ", "con", "\n", "..\n", "é"])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.tuples(PARTS, st.sampled_from("/\\")), min_size=1, max_size=5), min_size=1, max_size=20))
def test_no_path_leads_out_of_its_root_on_any_system(many: list[list[tuple[str, str]]]) -> None:
    paths = ["".join(part + slash for part, slash in parts)[:-1] for parts in many]
    refused = pl.Series(paths).str.contains(LEAVES_ROOT).to_list()
    for path, no in zip(paths, refused, strict=True):
        # Joined as each system joins, and without its dots, it is below the root or the root itself.
        posix = posixpath.normpath(posixpath.join("/root/src", path))
        windows = ntpath.normpath(ntpath.join("D:\\root\\src", path))
        inside = (posix + "/").startswith("/root/src/") and (windows + "\\").startswith("D:\\root\\src\\")
        assert no or inside, path
        assert no != stays_below(path)


def test_a_group_on_two_sides_is_refused() -> None:
    torn = manifest(row(), row(path="b.jpg", split="test"))
    with pytest.raises(DataError, match=r"'a' in test and train"):
        torn.check()


def test_the_same_picture_twice_is_refused() -> None:
    with pytest.raises(DataError, match="same picture twice"):
        manifest(row(), row()).check()


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"PAR1 but no more", b"#unmask {broken\nroot,path\n", b"\xff\xfe\x00"]
)
@pytest.mark.parametrize("name", ["m.parquet", "m.csv"])
def test_what_is_no_manifest_is_refused(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"is not a manifest|column missing"):
        Manifest.read(tmp_path / name)


@pytest.mark.parametrize("name", ["m.parquet", "m.csv"])
@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_any_damage_is_an_error_with_a_hint_or_harmless(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("m") / name
    manifest(row(), row(path="b.jpg", label=1, group="b")).write(file)
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2, len(content) - 1]))])
    with suppress(DataError):
        Manifest.read(file)


def test_damage_that_makes_the_reader_panic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Polars 1 does so of some; which, is another matter in each version."""

    def panic(_: Path) -> None:
        raise pl.exceptions.PanicException("assertion `left == right` failed")

    monkeypatch.setattr(pl, "read_parquet", panic)
    (tmp_path / "m.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="is not a manifest: assertion"):
        Manifest.read(tmp_path / "m.parquet")


def test_a_folder_or_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file") as caught:
        Manifest.read(tmp_path / "none.parquet")
    assert "unmask data prepare" in caught.value.hint
    manifest(row()).write(tmp_path / "manifest.parquet")
    with pytest.raises(DataError, match="is a folder") as caught:
        Manifest.read(tmp_path)
    assert caught.value.hint == f"Give {tmp_path / 'manifest.parquet'}"


def test_missing_columns_and_wrong_types_are_named(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("root,path,label\nsrc,a.jpg,0\n")
    with pytest.raises(DataError, match="column missing: split, group, source, method"):
        Manifest.read(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text("root,path,label,split,group,source,method\nsrc,a.jpg,real,train,g,s,none\n")
    with pytest.raises(DataError, match="does not hold what it should"):
        Manifest.read(tmp_path / "m.csv")


def test_damaged_roots_are_refused(tmp_path: Path) -> None:
    text = "root,path,label,split,group,source,method\nsrc,a.jpg,0,train,g,s,none\n"
    for meta in ({"roots": {"src": 5}}, {"roots": ["src"]}, ["src"]):
        (tmp_path / "m.csv").write_text(f"#unmask {json.dumps(meta)}\n{text}")
        with pytest.raises(DataError, match="is not a manifest"):
            Manifest.read(tmp_path / "m.csv")


def test_training_needs_both_classes_with_faces() -> None:
    both = manifest(row(), row(path="b.jpg", label=1), row(path="c.jpg", group="c", split="val"))
    both.require(["train"])
    with pytest.raises(DataError, match="one class only: all rows are real"):
        both.require(["train", "val"])
    with pytest.raises(DataError, match="'test' has no rows"):
        both.require(["test"])
    faceless = dict.fromkeys(("x0", "y0", "x1", "y1", "face_score", "landmarks"))
    with pytest.raises(DataError, match="in none of the 1 rows of the split 'train' a face"):
        manifest(row(**faceless)).require(["train"])
    with pytest.raises(DataError, match="all rows are fake"):
        manifest(row(**faceless), row(path="b.jpg", label=1)).require(["train"])


def test_joined_manifests_keep_their_roots(tmp_path: Path) -> None:
    one = manifest(row(), roots={"src": tmp_path / "1", "out": tmp_path / "o"})
    two = manifest(row(group="b", label=1), roots={"src": tmp_path / "2", "out": tmp_path / "o"})
    both = join([one, two])
    assert both.files() == [tmp_path / "1/a.jpg", tmp_path / "2/a.jpg"]
    torn = manifest(row(split="val"), roots={"src": tmp_path / "3"})
    with pytest.raises(DataError, match="two sides"):
        join([one, torn])


def test_joined_manifests_say_what_differs(tmp_path: Path) -> None:
    one = manifest(row(), roots={"src": tmp_path / "1"})
    two = manifest(row(group="b"), roots={"src": tmp_path / "2"})
    one.about.update(faces="default", layout="ffpp")
    two.about.update(faces="dlib", layout="ffpp")
    assert join([one, two]).about == {"faces": "default and dlib", "layout": "ffpp"}
    two.about.clear()
    assert join([one, two]).about == {"faces": "default and unknown", "layout": "ffpp and unknown"}
    assert join([one]).about == one.about


def test_read_together_they_keep_what_they_say(tmp_path: Path) -> None:
    from unmask.cli.measuring import read_manifests

    files = []
    for name in ("one", "two"):
        one = manifest(row(group=name), roots={"src": tmp_path / name})
        one.about["faces"] = "dlib"
        files.append(tmp_path / f"{name}.parquet")
        one.write(files[-1])
    assert read_manifests(files, []).about == {"faces": "dlib"}


def test_a_made_up_root_name_is_a_free_one(tmp_path: Path) -> None:
    one = manifest(
        row(root="src1"), row(path="b.jpg", group="b"), roots={"src": tmp_path / "1", "src1": tmp_path / "x"}
    )
    two = manifest(row(path="c.jpg", group="c"), roots={"src": tmp_path / "2"})
    three = manifest(
        row(root="src1", path="d.jpg", group="d"),
        row(path="e.jpg", group="e"),
        roots={"src": tmp_path / "3", "src1": tmp_path / "y"},
    )
    wanted = [tmp_path / path for path in ("x/a.jpg", "1/b.jpg", "2/c.jpg", "y/d.jpg", "3/e.jpg")]
    assert join([one, two, three]).files() == wanted
    assert sorted(join([three, two, one]).files()) == sorted(wanted)


@pytest.mark.parametrize("linked", [False, True])
def test_the_same_file_through_two_roots_is_seen(tmp_path: Path, linked: bool) -> None:
    (tmp_path / "src/set").mkdir(parents=True)
    (tmp_path / "src/set/a.jpg").touch()
    inner = tmp_path / "src/set"
    if linked:
        inner = tmp_path / "link"
        inner.mkdir()
        (inner / "a.jpg").symlink_to(tmp_path / "src/set/a.jpg")
    one = manifest(row(path="set/a.jpg", group="x"), roots={"src": tmp_path / "src"})
    two = manifest(row(path="a.jpg", group="y", split="test"), roots={"src": inner})
    with pytest.raises(DataError, match=r"set/a\.jpg: is in two of the manifests"):
        join([one, two])


def test_the_same_clip_from_two_runs_is_on_one_side(tmp_path: Path) -> None:
    def frames(run: str, split: str, group: str) -> Manifest:
        facts = {"root": "out", "path": "frames/0.png", "group": group, "split": split}
        clip = {"src": ("set/c.mp4", tmp_path), "set": ("c.mp4", tmp_path / "set")}[run]
        return manifest(row(**facts, clip=clip[0]), roots={"src": clip[1], "out": tmp_path / run / "out"})

    with pytest.raises(DataError, match=r"c\.mp4: this clip is in two of the manifests, in train and in test"):
        join([frames("src", "train", "a"), frames("set", "test", "b")])
    assert len(join([frames("src", "train", "a"), frames("set", "train", "b")])) == 2


def test_counts() -> None:
    frames = [row(root="src", path=f"{i}.png", clip="c.mp4", label=1, method="swap", group="c") for i in range(3)]
    faceless = row(path="x.jpg", x0=None, y0=None, x1=None, y1=None, face_score=None, landmarks=None)
    counts = manifest(row(), faceless, *frames).counts().rows(named=True)
    assert counts[0] | {"rows": 2, "no_face": 1, "clips": 0, "label": 0} == counts[0]
    assert counts[1] | {"rows": 3, "no_face": 0, "clips": 1, "label": 1} == counts[1]
