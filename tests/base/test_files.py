"""Writing whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from support import small_files
from unmask.base.files import Records, cannot_write, new_beside, replacing, sha256_of, write_bytes, write_text


def test_a_block_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    write_text(target, "old")

    def half() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_folders_are_made_the_suffix_is_kept_and_the_mode_is_ordinary(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b.mp4"
    with replacing(target) as temporary:
        assert temporary.suffix == ".mp4"
        temporary.write_bytes(b"x")
    beside = tmp_path / "plain"
    beside.write_bytes(b"")
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(beside.stat().st_mode)


def test_hash(tmp_path: Path) -> None:
    write_bytes(tmp_path / "x", b"abc" * 99999)
    assert sha256_of(tmp_path / "x") == hashlib.sha256(b"abc" * 99999).hexdigest()


def test_the_longest_name_that_a_folder_takes(tmp_path: Path) -> None:
    target = tmp_path / ("é" * 125 + ".jpg")
    write_bytes(target, b"x")
    assert [p.name for p in tmp_path.iterdir()] == [target.name]


def test_the_mask_of_the_process_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It belongs to all threads: while it is changed, another thread would make files that everybody may write to."""
    before = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", lambda mask: pytest.fail(f"the mask was set to {mask:o}"))
        write_bytes(tmp_path / "x", b"x")
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_temporary_names_are_nobodys(tmp_path: Path) -> None:
    made: list[Path] = []
    threads = [threading.Thread(target=lambda: made.append(new_beside(tmp_path / "a.png"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 20
    assert all(path.suffix == ".png" and path.read_bytes() == b"" for path in made)


def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    with small_files(1000), pytest.raises(OSError, match="large") as caught:
        write_bytes(tmp_path / "a.bin", bytes(5000))
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path / "a.bin"))
    assert not list(tmp_path.iterdir())
    error = cannot_write(OSError(errno.ENOSPC, "No space left on device"), "a.bin", hint="That is all")
    assert (
        str(error) == "a.bin: cannot be written: no space left on device. Make room, or choose another one. That is all"
    )


def test_a_place_that_is_not_there_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file") as caught:
        write_bytes(tmp_path / "file" / "a.bin", b"x")
    assert str(tmp_path / "file") in str(caught.value.filename)


class Interrupted(io.FileIO):
    """Takes half of what it is given; then the user has had enough."""

    times = 0

    def write(self, data: Any) -> int:
        self.times += 1
        if self.times == 4:
            raise KeyboardInterrupt
        return super().write(data[: max(1, len(data) // 2)] if self.times == 3 else data)


def test_records_stay_whole_whatever_ends_them(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("older\n")
    with Interrupted(path, "a") as file:
        records = Records(file, path)
        records.write("one\n")
        records.write("two\n")
        with pytest.raises(KeyboardInterrupt):
            records.write("a longer one\n")
        assert path.read_text() == "older\none\ntwo\n"
        records.write("three\n")
    assert path.read_text() == "older\none\ntwo\nthree\n"
