"""The search over sizes: whole, padded, tiles."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from face_scenes import WEIGHTS, backend, is_at, paste, real_data, texture
from unmask.faces.backends.default import RESOURCE, SPEC
from unmask.faces.resize import shrink
from unmask.faces.search import (
    DEFAULT,
    cuts,
    iou,
    look_alone,
    merge,
    overlap_of_smaller,
    pyramid,
    settled,
    surroundings,
)
from unmask.faces.types import Box, Effort, Face
from unmask.faces.yunet import YuNet


@cache
def network() -> YuNet:
    return YuNet(files("unmask.faces").joinpath(RESOURCE).read_bytes(), device="cpu", threads=1)


def _found(height: int, width: int, side: int, places: int = 10) -> int:
    rng = np.random.default_rng(side)
    hits = 0
    for _ in range(places):
        scene = texture(height, width).copy()
        centre = (float(rng.uniform(side, width - side)), float(rng.uniform(side, height - 1.2 * side)))
        paste(scene, side, centre)
        hits += any(is_at(face, side, centre) for face in backend().find(scene))
    return hits


@pytest.mark.slow
@pytest.mark.parametrize(("side", "least"), [(24, 8), (32, 10), (48, 10), (80, 10), (256, 10)])
def test_a_face_of_any_size_in_a_large_picture(side: int, least: int) -> None:
    assert _found(1200, 1600, side) >= least


@pytest.mark.slow
@pytest.mark.parametrize(("side", "places", "least"), [(24, 10, 8), (32, 3, 3), (48, 3, 3), (80, 3, 3), (256, 3, 3)])
def test_a_face_of_any_size_in_a_very_large_picture(side: int, places: int, least: int) -> None:
    assert _found(3000, 4000, side, places) >= least


@pytest.mark.parametrize("side", [24, 80])
def test_small_faces_in_two_places(side: int) -> None:
    assert _found(1200, 1600, side, places=2) == 2


@pytest.mark.parametrize("share", [0.6, 0.8, 1.0, 1.2])
@pytest.mark.parametrize("length", [100, 224, 900])
def test_a_face_that_fills_the_picture(share: float, length: int) -> None:
    scene = np.full((length, length, 3), 90, np.uint8)
    paste(scene, length * share / 1.2, (length / 2, length / 2))
    faces = backend().find(scene)
    assert len(faces) == 1
    assert is_at(faces[0], length * share / 1.2, (length / 2, length / 2))


def test_several_faces_come_largest_first_and_once_each() -> None:
    scene = texture(1000, 1500).copy()
    places = [(200, (300, 400)), (100, (800, 300)), (60, (1200, 700))]
    for side, centre in places:
        paste(scene, side, centre)
    faces = backend().find(scene)
    assert [is_at(face, *place) for face, place in zip(faces, places, strict=True)] == [True, True, True]


def test_a_face_on_the_edge_of_tiles_is_found_whole_and_once() -> None:
    scene = texture(1200, 1600).copy()
    edges = [start for start, _ in cuts(1600, DEFAULT)][1:]
    for edge in edges:
        for shift in (0, DEFAULT.overlap // 2, DEFAULT.overlap):
            picture, centre = scene.copy(), (float(edge + shift), 500.0)
            paste(picture, 28, centre)
            faces = backend().find(picture)
            assert [is_at(face, 28, centre) for face in faces] == [True]


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (5, 5), (31, 33), (2, 5000)])
def test_pictures_of_odd_shape_hold_no_face_and_do_no_harm(shape: tuple[int, int]) -> None:
    assert backend().find(np.full((*shape, 3), 120, np.uint8)) == []


def test_a_picture_is_left_as_it_was_and_may_be_a_view() -> None:
    picture = data.astronaut()[:, ::-1]
    before = picture.copy()
    faces = backend().find(picture)
    assert np.array_equal(picture, before)
    assert [round(face.size) for face in faces] == [round(face.size) for face in backend().find(before)]


def test_the_cost_of_an_ordinary_picture_is_one_pass() -> None:
    """1024 px, a face of a tenth of its width: no padded look, no tiles."""
    from unmask.faces.search import search
    from unmask.faces.yunet import YuNet

    passes = []

    class Counting(YuNet):
        def raw(self, image: np.ndarray) -> list[np.ndarray]:
            passes.append(image.shape[:2])
            return super().raw(image)

    scene = texture(768, 1024).copy()
    paste(scene, 102, (500, 300))
    faces = search(Counting(WEIGHTS), scene)
    assert [is_at(face, 102, (500, 300)) for face in faces] == [True]
    assert len(passes) == 1
    assert max(passes[0]) <= 640


@given(st.integers(1, 9000))
def test_tiles_cover_everything_and_overlap(length: int) -> None:
    pieces = list(cuts(length, DEFAULT))
    assert pieces[0][0] == 0
    assert pieces[-1][1] == length
    assert all(end - start <= DEFAULT.tile for start, end in pieces)
    for (_, end), (start, _) in pairwise(pieces):
        assert end - start >= DEFAULT.overlap


@given(st.integers(1, 20000), st.integers(1, 20000))
def test_the_pyramid_rises_in_bounded_steps(height: int, width: int) -> None:
    longest = max(height, width)
    sides = [DEFAULT.whole, *pyramid(height, width, DEFAULT)]
    for lower, upper in pairwise(sides):
        assert lower < upper + 1
        assert upper <= lower * 2.5 + 1
    if longest > DEFAULT.whole and height * width <= DEFAULT.most_pixels:
        assert sides[-1] == longest


boxes = st.tuples(*[st.floats(0, 300)] * 2, *[st.floats(20, 200)] * 2, st.floats(0, 1)).map(
    lambda v: Face((v[0], v[1], v[0] + v[2], v[1] + v[3]), v[4])
)


@given(st.lists(boxes, max_size=12))
def test_merging_keeps_the_surest_of_each_group(faces: list[Face]) -> None:
    kept = merge(faces)
    for i, one in enumerate(kept):
        for other in kept[:i]:
            assert iou(one, other) <= 0.3
            assert overlap_of_smaller(one, other) < 0.7
    for face in faces:
        rivals = [k for k in kept if iou(face, k) > 0.3 or overlap_of_smaller(face, k) >= 0.7]
        assert face in kept or max(rival.score for rival in rivals) >= face.score


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 400), st.integers(1, 400), st.floats(1, 12), st.booleans())
def test_shrinking_keeps_the_colours(height: int, width: int, factor: float, contiguous: bool) -> None:
    """Against Pillow's exact reduction of a smooth picture."""
    y, x = np.mgrid[:height, :width]
    picture = np.stack([y % 256, x % 256, (x + y) % 256], axis=2).astype(np.uint8) // 4 + 60
    if not contiguous:
        picture = np.ascontiguousarray(picture[:, ::-1])[:, ::-1]
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = shrink(picture, *size)
    exact = np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.BOX))
    assert small.shape == exact.shape
    assert np.abs(small.astype(int) - exact).mean() < 8


@pytest.mark.data
def test_faces_of_real_pictures_of_every_kind() -> None:
    """A few validation pictures a source; the figures themselves come from benchmarks/coverage.py."""
    import csv
    from collections import defaultdict

    root = real_data()
    rows = defaultdict(list)
    with (root / "splits.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == "val" and row["path"].endswith((".jpg", ".png")):
                rows[row["source"], row["label"]].append(row["path"])
    missed = []
    for paths in rows.values():
        for path in sorted(paths)[:4]:
            with Image.open(root / path) as picture:
                if not backend().find(np.asarray(picture.convert("RGB"))):
                    missed.append(path)
    assert len(rows) > 15
    assert len(missed) <= 1, missed


@settings(max_examples=25, deadline=None)
@given(
    side=st.integers(24, 400),
    x=st.floats(0.1, 0.9),
    y=st.floats(0.1, 0.9),
    wrong=st.tuples(*[st.floats(-0.12, 0.12)] * 4),
)
def test_the_looks_at_one_face_alone_find_it(
    side: int, x: float, y: float, wrong: tuple[float, float, float, float]
) -> None:
    scene = texture(500, 700).copy()
    centre = (x * 700, y * 500)
    paste(scene, side, centre)
    half = (side / 2, 0.65 * side)
    box = tuple(
        middle + sign * reach + error * side
        for (middle, reach, sign), error in zip(
            [(centre[0], half[0], -1), (centre[1], half[1], -1), (centre[0], half[0], 1), (centre[1], half[1], 1)],
            wrong,
            strict=True,
        )
    )
    x0, y0, x1, y1 = box
    seen = max(0.0, min(x1, 700) - max(x0, 0)) * max(0.0, min(y1, 500) - max(y0, 0)) / ((x1 - x0) * (y1 - y0))
    if seen > 0.9:
        for around in SPEC.around:
            assert look_alone(network(), scene, (x0, y0, x1, y1), SPEC.alone, around) > 0.5


@pytest.mark.parametrize(
    "box",
    [
        (200.0, 200.0, 300.0, 330.0),  # half a face away
        (50.0, 10.0, 350.0, 390.0),  # twice as large
        (180.0, 170.0, 220.0, 225.0),  # a part of it
    ],
)
def test_a_face_that_lies_elsewhere_or_is_of_another_size_says_nothing(box: Box) -> None:
    scene = np.full((400, 400, 3), 90, np.uint8)
    paste(scene, 150, (200.0, 200.0))
    assert look_alone(network(), scene, (125.0, 105.0, 275.0, 295.0), SPEC.alone, 2.2) > 0.8
    assert look_alone(network(), scene, box, SPEC.alone, 2.2) == 0.0


@settings(max_examples=30, deadline=None)
@given(
    turn=st.floats(-math.pi, math.pi),
    x=st.integers(60, 240),
    y=st.integers(60, 240),
    side=st.integers(20, 200),
)
def test_the_surroundings_of_a_turned_face_are_those_of_the_upright_one(turn: float, x: int, y: int, side: int) -> None:
    # Smooth, so that resampling twice costs little.
    scene = np.asarray(Image.fromarray(texture(40, 40)).resize((300, 300), Image.Resampling.BICUBIC))
    degrees = math.degrees(turn)
    turned = np.asarray(Image.fromarray(scene).rotate(degrees, Image.Resampling.BICUBIC, center=(x, y)))
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    upright = surroundings(scene, box, 96, 1.2).astype(int)
    again = surroundings(turned, box, 96, 1.2, turn).astype(int)
    inside = (upright.sum(2) > 0) & (again.sum(2) > 0)
    inside[:4], inside[-4:], inside[:, :4], inside[:, -4:] = False, False, False, False
    assert inside.mean() > 0.2
    assert np.median(np.abs(upright - again)[inside]) < 8


@pytest.mark.parametrize("side", [20, 24, 57])
def test_inside_a_picture_nothing_is_black(side: int) -> None:
    white = np.full((400, 400, 3), 255, np.uint8)
    for around in SPEC.around:
        assert surroundings(white, (200.3, 190.7, 200.3 + side, 190.7 + side), SPEC.alone, around).min() == 255


class Recorder:
    """In place of the network: finds a face in the middle of what it is shown, and is sure where it is upright."""

    def __init__(self) -> None:
        self.shown: list[NDArray[np.uint8]] = []

    def find(self, image: NDArray[np.uint8], _: float) -> list[Face]:
        self.shown.append(image)
        middle, half = image.shape[0] / 2, 192 / 3 / 2
        # The face is upright only where all that lies left of the middle is red.
        upright = (image[[76, 116], 80, 0] > 128).all()
        return [Face((middle - half, middle - half, middle + half, middle + half), 0.9 if upright else 0.3)]


@pytest.mark.parametrize("misled", [False, True])
@pytest.mark.parametrize("effort", ["thorough", "quick"])
def test_a_doubtful_face_that_seems_turned_is_looked_at_both_ways(misled: bool, effort: Effort) -> None:
    scene = np.zeros((300, 300, 3), np.uint8)
    scene[:, :150, 0] = 255
    points = np.array([[130, 130], [170, 130], [150, 150], [135, 175], [165, 175]], np.float32)
    if not misled:
        scene = np.rot90(scene).copy()
    turn = np.array([[0, 1], [-1, 0]])  # by 90° counter-clockwise
    face = Face((110.0, 110.0, 190.0, 190.0), 0.8, ((points - 150) @ turn.T + 150).astype(np.float32))
    assert face.turn == pytest.approx(math.pi / 2)
    net = Recorder()
    (kept,) = settled(cast(YuNet, net), scene, [face], SPEC, effort)
    looks = 2 if effort == "thorough" else 1
    assert len(net.shown) == 2 * looks
    assert kept.score == pytest.approx((0.8 + looks * 0.9) / (1 + looks))
    level = replace(face, landmarks=points)
    again = Recorder()
    assert bool(settled(cast(YuNet, again), scene, [level], SPEC, effort)) is misled
    assert len(again.shown) == looks


def test_a_doubtful_find_is_dropped_where_there_is_nothing_and_kept_where_there_is_a_face() -> None:
    scene = texture(500, 700).copy()
    paste(scene, 120, (200.0, 250.0))
    doubtful = [Face((140.0, 172.0, 260.0, 328.0), 0.65), Face((480.0, 180.0, 600.0, 330.0), 0.65)]
    sure = Face((500.0, 20.0, 600.0, 140.0), 0.95)
    kept = settled(network(), scene, [*doubtful, sure], SPEC)
    assert [face.box for face in kept] == [sure.box, doubtful[0].box]
    assert kept[0].score == 0.95
    assert 0.7 < kept[1].score < 0.9


def test_more_doubtful_faces_than_are_looked_at_alone_are_not_lost() -> None:
    faces = [
        Face((10.0 + 60 * i, 10.0, 50.0 + 60 * i, 60.0), SPEC.threshold + 0.02 if i else SPEC.threshold - 0.1)
        for i in range(9)
    ]
    kept = settled(network(), texture(100, 700), faces, replace(SPEC, doubts=0))
    assert kept == faces[1:]


def test_without_the_look_alone_the_threshold_decides() -> None:
    faces = [Face((10.0, 10.0, 50.0, 60.0), SPEC.threshold - 0.1), Face((100.0, 10.0, 150.0, 60.0), SPEC.threshold)]
    spec = replace(SPEC, alone=0)
    assert settled(network(), texture(200, 200), faces, spec) == faces[1:]
