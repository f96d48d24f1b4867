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
NAMES = "rotate encode encode_after rescale blur sharpen noise colour grey cutout"
NONE = dict.fromkeys(NAMES.split(), 0.0)
EVERYTHING = dict.fromkeys(NONE, 1.0)


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


def test_without_variation_it_is_the_crop_of_the_analysis_or_its_mirror() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 260, 3), dtype=np.uint8)
    box = (80.0, 90.0, 180.0, 200.0)
    still = AugmentRecipe.model_validate({**NONE, "margin": (1.3, 1.3), "shift": 0.0})
    wanted = crop_face(pixels, box, CropSpec.model_validate({"size": 64}))
    got = augment(pixels, box, 64, still, np.random.default_rng(0))
    assert min(np.abs(got.astype(int) - side).max() for side in (wanted, wanted[:, ::-1])) <= 1


def test_a_region_keeps_box_and_points_on_the_same_pixels() -> None:
    image = np.zeros((1200, 1000, 3), np.uint8)
    image[500:520, 400:420] = 255
    region = cut_region(image, (200.0, 300.0, 840.0, 940.0), [410.0, 510.0] * 5)
    assert region.landmarks is not None
    x, y = region.landmarks[0].round().astype(int)
    assert region.pixels[y, x].min() > 200
    assert max(region.box[2] - region.box[0], region.box[3] - region.box[1]) == pytest.approx(LARGEST_FACE, abs=2)
