"""Writing whole or not at all."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest

from unmask.base.files import replacing, sha256_of, write_bytes, write_text


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
