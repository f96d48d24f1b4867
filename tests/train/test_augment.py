from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the extra [train]")

from unmask.faces.crop import crop_face
from unmask.faces.types import CropSpec
from unmask.train.augment import augment, jittered_square
from unmask.train.cache import LARGEST_FACE, cut_region
from unmask.train.recipe import AugmentRecipe

SIDES = st.integers(24, 400)
NAMES = "rotate shear flip encode encode_after rescale blur sharpen noise colour grey cutout"
NONE = dict.fromkeys(NAMES.split(), 0.0)
EVERYTHING = {**dict.fromkeys(NONE, 1.0), "zoom": 0.4, "rotate_degrees": 180, "shear_degrees": 45}
STILL = {**NONE, "margin": (1.3, 1.3), "shift": 0.0}


@given(SIDES, SIDES, st.tuples(*[st.floats(-0.2, 1.2)] * 2), st.floats(0.05, 1.2), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_any_face_gives_a_whole_crop(
    height: int, width: int, centre: tuple[float, float], scale: float, seed: int
) -> None:
    half = max(4.0, scale * min(height, width) / 2)
    x, y = centre[0] * width, centre[1] * height
    box = (x - half, y - half, x + half, y + half)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    rng = np.random.default_rng(seed)
    left, top, right, bottom = jittered_square(box, width, height, AugmentRecipe(), rng)
    assert left >= 0
    assert top >= 0
    assert right <= width + 1e-6
    assert bottom <= height + 1e-6
    crop = augment(pixels, box, 64, AugmentRecipe.model_validate(EVERYTHING), rng)
    assert crop.shape == (64, 64, 3)
    assert crop.dtype == np.uint8


def test_the_same_state_gives_the_same_sample() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (120, 120, 3), dtype=np.uint8)
    one, two, other = (
        augment(pixels, (30, 30, 90, 90), 64, AugmentRecipe(), np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_without_variation_it_is_the_crop_of_the_analysis_or_its_mirror(flip: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 260, 3), dtype=np.uint8)
    box = (80.0, 90.0, 180.0, 200.0)
    still = AugmentRecipe.model_validate({**STILL, "flip": flip})
    wanted = crop_face(pixels, box, CropSpec.model_validate({"size": 64}))
    got = augment(pixels, box, 64, still, np.random.default_rng(0))
    assert np.abs(got.astype(int) - (wanted[:, ::-1] if flip else wanted)).max() <= 1


def dot_at(x: float, y: float, change: dict[str, float], seed: int) -> tuple[float, float]:
    """Where a bright dot at (x, y) of a 300×300 picture lies in a crop of 64 px of its middle 130 px, -1 ... 1."""
    yy, xx = np.mgrid[:300, :300]
    dot = 255 * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / 18)
    pixels = np.repeat(dot[..., None], 3, 2).astype(np.uint8)
    recipe = AugmentRecipe.model_validate({**STILL, **change})
    crop = augment(pixels, (100.0, 100.0, 200.0, 200.0), 64, recipe, np.random.default_rng(seed))[..., 0].astype(float)
    yy, xx = np.mgrid[:64, :64]
    return (float((crop * xx).sum() / crop.sum()) - 31.5) / 32, (float((crop * yy).sum() / crop.sum()) - 31.5) / 32


@pytest.mark.parametrize("seed", range(6))
def test_zoom_changes_the_side_within_its_range(seed: int) -> None:
    plain = dot_at(175.5, 149.5, {}, seed)[0]
    zoomed = dot_at(175.5, 149.5, {"zoom": 0.2}, seed)[0]
    assert plain == pytest.approx(0.4, abs=0.02)
    assert 0.4 / 1.2 - 0.02 <= zoomed <= 0.4 / 0.8 + 0.02
    assert abs(zoomed - plain) > 0.005


@pytest.mark.parametrize("seed", range(6))
def test_a_turn_keeps_the_distance_and_shear_the_height(seed: int) -> None:
    turned = np.hypot(*dot_at(149.5 + 26, 149.5, {"rotate": 1.0, "rotate_degrees": 180}, seed))
    assert turned == pytest.approx(0.4, abs=0.02)
    x, y = dot_at(149.5, 149.5 + 26, {"shear": 1.0, "shear_degrees": 20}, seed)
    assert y == pytest.approx(0.4, abs=0.02)
    assert 0.002 < abs(x) <= 0.4 * np.tan(np.radians(20)) + 0.02


def test_a_turned_crop_shrinks_only_where_the_picture_ends() -> None:
    """Black corners would tell a turned crop; a crop always drawn nearer would not be that of the analysis."""
    white = np.full((140, 140, 3), 255, np.uint8)
    turn = AugmentRecipe.model_validate({**STILL, "rotate": 1.0, "rotate_degrees": 90, "shear": 1.0})
    for seed in range(20):
        crop = augment(white, (20.0, 20.0, 120.0, 120.0), 64, turn, np.random.default_rng(seed))
        assert crop.min() > 250


def test_a_region_keeps_box_and_points_on_the_same_pixels() -> None:
    image = np.zeros((1200, 1000, 3), np.uint8)
    image[500:520, 400:420] = 255
    region = cut_region(image, (200.0, 300.0, 840.0, 940.0), [410.0, 510.0] * 5)
    assert region.landmarks is not None
    x, y = region.landmarks[0].round().astype(int)
    assert region.pixels[y, x].min() > 200
    assert max(region.box[2] - region.box[0], region.box[3] - region.box[1]) == pytest.approx(LARGEST_FACE, abs=2)
