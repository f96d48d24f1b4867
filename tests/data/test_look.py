from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from data_samples import noise, write_clip

pytest.importorskip("imagehash", reason="needs the extra [data]")

from unmask.base.errors import MediaError
from unmask.data.look import choose_face, cut_surroundings, look_at
from unmask.faces import Box, CropSpec, Face, load_backend
from unmask.faces.crop import crop_face


def face(*box: float) -> Face:
    return Face((box[0], box[1], box[2], box[3]), 0.9)


def test_the_larger_face_wins_and_of_two_alike_the_more_central() -> None:
    small, large, edge = face(90, 90, 110, 110), face(0, 0, 40, 40), face(0, 80, 40, 120)
    middle = face(80, 80, 120, 120)
    assert choose_face([], 200, 200) is None
    assert choose_face([small, large], 200, 200) is large
    assert choose_face([edge, middle, large], 200, 200) is middle


def test_in_a_clip_the_same_person_is_kept() -> None:
    large, small = face(0, 0, 80, 80), face(150, 150, 190, 190)
    assert choose_face([large, small], 200, 200, previous=(148.0, 148.0, 188.0, 188.0)) is small
    assert choose_face([large], 200, 200, previous=(148.0, 148.0, 188.0, 188.0)) is large


@settings(deadline=None)
@given(x=st.floats(-30, 330), y=st.floats(-30, 250), side=st.floats(8, 300), margin=st.floats(1.0, 2.5))
def test_a_crop_of_the_stored_region_is_the_crop_of_the_frame(x: float, y: float, side: float, margin: float) -> None:
    frame = np.asarray(Image.fromarray(noise(3, 64)).resize((320, 240)))
    box: Box = (x, y, x + side, y + side * 0.8)
    spec = CropSpec(margin=margin, size=64)
    region, moved = cut_surroundings(frame, Face(box, 0.9))
    there, here = crop_face(frame, box, spec).astype(int), crop_face(region, moved.box, spec).astype(int)
    assert np.abs(there - here).max() <= 1


def test_frames_of_a_clip_are_stored_lossless_with_their_surroundings(
    astronaut: NDArray[np.uint8], tmp_path: Path
) -> None:
    frames = [np.ascontiguousarray(astronaut[:400, x : x + 400]) for x in range(0, 40, 2)]
    write_clip(tmp_path / "src/a/clip.mp4", frames)
    backend = load_backend("default", device="cpu", threads=1)
    rows = look_at("a/clip.mp4", tmp_path / "src", tmp_path / "out", backend, frames=5, fps=None)
    assert [row["path"] for row in rows] == [f"frames/a/clip.mp4/{i:05d}.png" for i in range(5)]
    assert all(row["root"] == "out" and row["clip"] == "a/clip.mp4" for row in rows)
    times = [row["time_s"] for row in rows]
    assert times == sorted(set(times))
    assert times[-1] < 2.0
    for row in rows:
        stored = np.asarray(Image.open(tmp_path / "out" / row["path"]))
        assert stored.shape == (row["height"], row["width"], 3)
        # The box, seen in the stored picture, is the face: found again there at the same place.
        x0, y0, x1, y1 = backend.find(stored)[0].box
        assert (x0 + x1) / 2 == pytest.approx((row["x0"] + row["x1"]) / 2, abs=6)
        assert (y0 + y1) / 2 == pytest.approx((row["y0"] + row["y1"]) / 2, abs=6)
        assert row["width"] > 2 * (row["x1"] - row["x0"])
        assert len(row["landmarks"]) == 10


def test_frames_by_rate(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", [noise(i, 64) for i in range(20)], fps=10)
    rows = look_at("clip.mp4", tmp_path, tmp_path / "out", load_backend("none"), frames=3, fps=5)
    assert [row["time_s"] for row in rows] == pytest.approx([0.2 * i for i in range(10)])


def test_a_turned_photograph_is_upright(astronaut: NDArray[np.uint8], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = np.rot90(astronaut[:300, 80:380])
    Image.fromarray(np.ascontiguousarray(lying)).save(tmp_path / "p.jpg", exif=exif, quality=95)
    (row,) = look_at("p.jpg", tmp_path, tmp_path, load_backend("default", threads=1), frames=1, fps=None)
    assert (row["root"], row["path"], row["width"], row["height"]) == ("src", "p.jpg", 300, 300)
    # The astronaut's face in scikit-image's picture: about x 175-270, y 60-190.
    assert (row["x0"] + row["x1"]) / 2 + 80 == pytest.approx(223, abs=20)
    assert (row["y0"] + row["y1"]) / 2 == pytest.approx(120, abs=25)


def test_no_face_is_a_row_without_a_box(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (90, 120, 60)).save(tmp_path / "p.png")
    (row,) = look_at("p.png", tmp_path, tmp_path, load_backend("default", threads=1), frames=1, fps=None)
    assert "x0" not in row
    assert row["width"] == 64


@pytest.mark.parametrize("name", ["broken.jpg", "broken.mp4", "empty.png"])
def test_a_broken_file_is_an_error(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"" if name.startswith("empty") else b"\x00\x01 nothing of the kind")
    with pytest.raises(MediaError):
        look_at(name, tmp_path, tmp_path / "out", load_backend("none"), frames=1, fps=None)
    assert not (tmp_path / "out").exists()
