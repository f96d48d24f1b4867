"""Where outputs go."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from render_samples import astronaut, picture_result
from unmask.base.errors import UsageError
from unmask.render.annotate import save_annotated
from unmask.render.names import beside, free_path, is_ours, output_path

part = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=12).filter(
    lambda text: text not in (".", "..")
)


def test_relative_path_and_full_name_stay(tmp_path: Path) -> None:
    assert output_path(tmp_path, "sub/photo.jpg", ".png") == tmp_path / "sub" / "photo.jpg.png"
    assert output_path(tmp_path, "clip.mp4", "") == tmp_path / "clip.mp4"
    assert beside(Path("a/photo.jpg"), ".png") == Path("a/photo.jpg.annotated.png")


@given(st.lists(part, min_size=1, max_size=3), st.lists(part, min_size=1, max_size=3))
def test_two_inputs_never_meet(first: list[str], second: list[str]) -> None:
    one, two = PurePosixPath(*first), PurePosixPath(*second)
    same = output_path(Path("out"), one, ".png") == output_path(Path("out"), two, ".png")
    assert same == (one == two)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.jpg", "a/../../x.jpg", "", "."])
def test_nothing_leaves_the_folder(name: str) -> None:
    with pytest.raises(UsageError):
        output_path(Path("out"), name, ".png")


def test_a_file_of_the_user_keeps_its_name(tmp_path: Path) -> None:
    wanted = tmp_path / "photo.jpg.png"
    Image.fromarray(astronaut()).save(wanted)
    before = wanted.read_bytes()
    target = free_path(wanted)
    assert target.name == "photo.jpg~2.png"
    save_annotated(picture_result(), astronaut(), target)
    assert wanted.read_bytes() == before
    assert free_path(wanted) == target  # ours: it may be replaced
    assert not is_ours(wanted)


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    link = tmp_path / "a.png"
    link.symlink_to(tmp_path / "elsewhere.png")
    assert free_path(link) != link
