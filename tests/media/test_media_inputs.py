"""Which files a command line means."""

from __future__ import annotations

import io
import os
import subprocess
import time
from pathlib import Path, PurePath
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.base.errors import MediaError, UsageError
from unmask.media import find_inputs, open_media


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "a/x.jpg",
        "a/notes.txt",
        "a/B.MP4",
        "a/.hidden.jpg",
        "a/.git/y.jpg",
        "a/__MACOSX/z.jpg",
        "a/deep/er/c.png",
        "a/[1].jpg",
        "b/x.jpg",
        "top.webm",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*paths: str, files_from: list[str] | None = None) -> list[str]:
    return [item.name for item in find_inputs(paths, files_from=files_from)]


def test_folders_are_walked_sorted_without_what_is_hidden_or_no_media(tree: Path) -> None:
    items = list(find_inputs(["a"]))
    assert [i.name for i in items] == ["a/B.MP4", "a/[1].jpg", "a/deep/er/c.png", "a/x.jpg"]
    assert [str(i.relative) for i in items] == ["B.MP4", "[1].jpg", "deep/er/c.png", "x.jpg"]
    assert all(isinstance(i.source, Path) and i.source.is_file() and i.error is None for i in items)
    assert names("a/") == [i.name for i in items]
    assert [str(i.relative) for i in find_inputs([str(tree / "a")])] == [str(i.relative) for i in items]


@pytest.mark.usefixtures("tree")
def test_files_are_taken_whatever_their_name() -> None:
    assert names("a/notes.txt", "a/.hidden.jpg") == ["a/notes.txt", "a/.hidden.jpg"]
    assert [str(i.relative) for i in find_inputs(["a/x.jpg", "./a/B.MP4"])] == ["a/x.jpg", "a/B.MP4"]


@pytest.mark.usefixtures("tree")
def test_patterns_that_the_shell_left() -> None:
    assert names("a/*.jpg") == ["a/[1].jpg", "a/x.jpg"]
    assert names("**/*.jpg") == ["a/[1].jpg", "a/x.jpg", "b/x.jpg"]
    assert names("a/**") == ["a/B.MP4", "a/[1].jpg", "a/deep/er/c.png", "a/x.jpg"]
    assert names("a/[1].jpg") == ["a/[1].jpg"], "a file of just that name exists"
    assert names("*") == ["a/B.MP4", "a/[1].jpg", "a/deep/er/c.png", "a/x.jpg", "b/x.jpg", "top.webm"]
    assert [str(i.relative) for i in find_inputs(["a/**/*.png"])] == ["deep/er/c.png"]
    (item,) = find_inputs(["none*.jpg"])
    assert item.source is None
    assert isinstance(item.error, MediaError)


def test_outputs_never_fall_on_each_other(tree: Path) -> None:
    items = list(find_inputs(["a", "b", str(tree / "b/x.jpg"), str(tree / "a/x.jpg"), "a/../b/x.jpg"]))
    relative = [i.relative for i in items]
    assert len(set(relative)) == len(relative) == 8
    assert all(
        not p.is_absolute() and ".." not in p.parts and p.name == PurePath(i.name).name
        for p, i in zip(relative, items, strict=True)
    )


@pytest.mark.usefixtures("tree")
def test_what_is_missing_becomes_a_row() -> None:
    Path("empty").mkdir()
    items = list(find_inputs(["none.jpg", "empty", "https://example.org/a.jpg", "top.webm"]))
    assert [i.error is not None for i in items] == [True, True, True, False]
    assert all(i.error.path == i.name and i.error.hint for i in items if i.error)
    assert "download" in items[2].error.hint  # type: ignore[union-attr]


@pytest.mark.usefixtures("tree")
def test_a_list_of_files_is_taken_literally() -> None:
    assert names("top.webm", files_from=["a/[1].jpg\n", "\n", "a/x.jpg\r\n", "b", "*.jpg"]) == [
        "top.webm",
        "a/[1].jpg",
        "a/x.jpg",
        "b/x.jpg",
        "*.jpg",
    ]


def test_links_in_a_circle_end(tree: Path) -> None:
    (tree / "a/deep/back").symlink_to(tree / "a", target_is_directory=True)
    (tree / "a/self").symlink_to(tree / "a/self")
    (tree / "a/gone.jpg").symlink_to(tree / "nowhere")
    (tree / "a/other").symlink_to(tree / "b", target_is_directory=True)
    os.mkfifo(tree / "a/pipe.jpg")
    assert names("a") == ["a/B.MP4", "a/[1].jpg", "a/deep/er/c.png", "a/other/x.jpg", "a/x.jpg"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_closed_folder_becomes_a_row(tree: Path) -> None:
    (tree / "a/deep").chmod(0)
    items = list(find_inputs(["a"]))
    (tree / "a/deep").chmod(0o755)
    assert [i.error is not None for i in items] == [False, False, True, False]


def test_a_folder_that_may_be_listed_but_not_entered(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.is_dir

    def is_dir(path: Path) -> bool:  # root may enter every folder, so the refusal is played
        if path.name == "x.jpg":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "is_dir", is_dir)
    assert tree / "a" / "x.jpg" in [tree / str(item.source) for item in find_inputs(["a"])]


def test_a_name_that_comes_thousands_of_times_stays_quick_and_apart() -> None:
    lines = [f"/there/is/none/{i}/0001.jpg" for i in range(3000)] + ["3/0001.jpg", "2/0001.jpg"]
    started = time.process_time()
    relatives = [str(item.relative) for item in find_inputs([], files_from=lines)]
    assert time.process_time() - started < 10  # minutes, when every number was tried again for each
    assert len(set(relatives)) == len(lines)
    assert relatives[:3] == ["0001.jpg", "2/0001.jpg", "3/0001.jpg"]


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"data")))
    (item,) = find_inputs(["-"])
    assert (item.name, item.source, item.relative) == ("-", b"data", PurePath("stdin"))


@pytest.mark.parametrize("value", ["0", "-1", "much", "1.5", "²"])
def test_a_limit_that_is_none(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"data")))
    monkeypatch.setenv("UNMASK_MAX_PIPE_MIB", value)
    with pytest.raises(UsageError, match="UNMASK_MAX_PIPE_MIB"):
        list(find_inputs(["-"]))


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_named_pipe_ends_at_the_same_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNMASK_MAX_PIPE_MIB", "1")
    os.mkfifo(tmp_path / "pipe")
    writer = subprocess.Popen(["sh", "-c", f"head -c 3000000 /dev/zero > '{tmp_path}/pipe'"])
    with pytest.raises(MediaError, match="more than 1 MiB"):
        open_media(tmp_path / "pipe")
    writer.kill()
    writer.wait()


class Endless(io.RawIOBase):
    """A pipe that never ends, and how much was read of it."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "all of it is asked for"
        self.given += size
        return bytes(size)


def test_stdin_ends_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Endless()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=pipe))
    monkeypatch.setenv("UNMASK_MAX_PIPE_MIB", "3")
    (item,) = find_inputs(["-"])
    assert item.source is None
    assert isinstance(item.error, MediaError)
    assert "more than 3 MiB" in item.error.message
    assert "UNMASK_MAX_PIPE_MIB" in item.error.hint
    assert pipe.given == (3 << 20) + 1
    for size, fits in ((3 << 20, True), ((3 << 20) + 1, False)):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(bytes(size))))
        (item,) = find_inputs(["-"])
        assert (item.error is None) == fits


def test_names_that_are_no_utf8_can_be_printed(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")
    Path(path).write_bytes(b"x")
    for item in find_inputs([path, str(tmp_path)]):
        item.name.encode()
        str(item.relative).encode()
        assert isinstance(item.source, Path)
        assert item.source.exists()


@given(st.lists(st.text(max_size=12), max_size=5))
def test_any_argument_gives_an_item(paths: list[str]) -> None:
    texts = [p for p in paths if p != "-"]
    for item in find_inputs(texts):
        assert (item.source is None) != (item.error is None)
        if item.error is not None:
            with pytest.raises(MediaError):
                open_media(item.name or "\0")
        break
