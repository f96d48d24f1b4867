"""Annotated pictures."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from render_samples import ASTRONAUT_BOX, astronaut, picture_result
from unmask.faces.types import Box
from unmask.render.annotate import annotate_picture, save_annotated
from unmask.render.labels import overlap, place_labels, text_size
from unmask.render.names import is_ours
from unmask.render.verdict import LOOKS


def test_box_map_label_and_legend_are_drawn() -> None:
    result = picture_result()
    before = astronaut().copy()
    picture = annotate_picture(astronaut(), result)
    assert np.array_equal(astronaut(), before)
    pixels = np.asarray(picture).astype(int)
    assert pixels.shape[1] == 512
    assert pixels.shape[0] > 512
    x0, _, x1, y1 = (int(v) for v in ASTRONAUT_BOX)
    assert tuple(pixels[y1, (x0 + x1) // 2]) == LOOKS["likely_fake"].rgb
    difference = np.abs(pixels[:512] - astronaut().astype(int)).sum(axis=2)
    assert (difference > 0)[100:150, 250:265].mean() > 0.9  # the right of the face: the map is red there
    assert (difference[300:, :] == 0).all()  # far from the face nothing changes


def test_the_map_can_be_left_out() -> None:
    bare = np.asarray(annotate_picture(astronaut(), picture_result(), show_map=False, legend=False))
    inner = np.s_[90:160, 190:260]
    assert np.array_equal(bare[inner], astronaut()[inner])


def test_the_range_of_the_scale_matters_and_the_map_does_not_stretch_it() -> None:
    result = picture_result()
    narrow = np.asarray(annotate_picture(astronaut(), result, map_range=(-1.0, 1.0), legend=False)).astype(int)
    wide = np.asarray(annotate_picture(astronaut(), result, map_range=(-40.0, 40.0), legend=False)).astype(int)
    inner = np.s_[90:160, 190:260]
    original = astronaut()[inner].astype(int)
    assert np.abs(narrow[inner] - original).mean() > 4 * np.abs(wide[inner] - original).mean()


@pytest.mark.parametrize("size", [(24, 24), (64, 48), (48, 200), (300, 200), (900, 2400), (3000, 2000)])
def test_any_size(size: tuple[int, int]) -> None:
    width, height = size
    image = np.asarray(Image.fromarray(astronaut()).resize(size))
    box = (0.2 * width, 0.2 * height, 0.8 * width, 0.7 * height)
    picture = annotate_picture(image, picture_result(boxes=(box,), image=image))
    assert max(picture.size) >= 480
    factor = picture.width / width
    assert factor == int(factor)


def test_no_face_and_bare_reports() -> None:
    result = picture_result(boxes=())
    assert annotate_picture(astronaut(), result).height > 512
    assert annotate_picture(astronaut(), picture_result().report).width == 512


coordinate = st.floats(-50, 850)
box_strategy = st.builds(
    lambda x, y, w, h: (x, y, x + w, y + h), coordinate, coordinate, st.floats(1, 300), st.floats(1, 300)
)


@settings(max_examples=60)
@given(st.lists(box_strategy, max_size=60))
def test_labels_lie_inside_and_apart(boxes: list[Box]) -> None:
    texts = [[f"{i} likely fake 0.93", f"{i} 0.93", f"{i}"] for i in range(len(boxes))]
    bounds = (800, 600)
    labels = place_labels(boxes, texts, 17, bounds)
    for label in labels:
        x0, y0, x1, y1 = label.rect
        assert (x1 - x0, y1 - y0) == text_size(label.text, label.size)
        assert x0 >= 0
        assert y0 >= 0
        assert x1 <= bounds[0]
        assert y1 <= bounds[1]
        assert label.text in texts[label.index]
    for one, two in combinations(labels, 2):
        assert not overlap(one.rect, two.rect)


def test_ordinary_groups_get_all_their_labels() -> None:
    boxes = [
        (40.0 + 120 * (i % 6), 60.0 + 180 * (i // 6), 120.0 + 120 * (i % 6), 160.0 + 180 * (i // 6)) for i in range(18)
    ]
    labels = place_labels(boxes, [[f"{i}  likely real  0.03", f"{i}  0.03"] for i in range(18)], 16, (800, 640))
    assert len(labels) == 18


@pytest.mark.parametrize(
    "box", [(-30, -30, 40, 40), (500, 500, 600, 600), (-5, 200, 600, 210), (100, 100, 100.4, 100.4)]
)
def test_boxes_over_the_edge(box: Box) -> None:
    annotate_picture(astronaut(), picture_result(boxes=(box,)))


def test_saved_whole_and_marked(tmp_path: Path) -> None:
    out = save_annotated(picture_result(), astronaut(), tmp_path / "sub" / "a.png")
    assert [file.name for file in out.parent.iterdir()] == ["a.png"]
    assert is_ours(out)
    with Image.open(out) as image:
        image.load()
        assert image.mode == "RGB"
