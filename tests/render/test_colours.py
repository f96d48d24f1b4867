"""The fixed scale of the evidence maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.render.colours import colour_bar, levels, lut, overlay

GREY = np.full((60, 60, 3), 128, np.uint8)


def lightness(rgb: np.ndarray) -> float:
    """CIE L* of an sRGB colour."""
    values = np.asarray(rgb, np.float64) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    y = float(linear @ np.array([0.2126, 0.7152, 0.0722]))
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


def test_red_speaks_for_fake_and_blue_for_real() -> None:
    fake = overlay(GREY, np.full((4, 4), 4, np.float32))[30, 30].astype(int)
    real = overlay(GREY, np.full((4, 4), -4, np.float32))[30, 30].astype(int)
    assert fake[0] - fake[2] > 40
    assert real[2] - real[0] > 40


def test_no_evidence_leaves_the_picture_as_it_is() -> None:
    assert np.array_equal(overlay(GREY, np.zeros((14, 14), np.float32)), GREY)


def test_the_scale_is_never_stretched() -> None:
    weak = overlay(GREY, np.full((4, 4), 0.4, np.float32))
    strong = overlay(GREY, np.full((4, 4), 4, np.float32))
    beyond = overlay(GREY, np.full((4, 4), 40, np.float32))
    assert np.array_equal(strong, beyond)
    weak_shift = np.abs(weak.astype(int) - 128).max()
    strong_shift = np.abs(strong.astype(int) - 128).max()
    assert weak_shift < strong_shift / 5


@given(st.floats(-100, 100), st.floats(-100, 100))
def test_more_logit_is_never_less_red(a: float, b: float) -> None:
    low, high = sorted((a, b))
    first, second = levels(np.array([low, high], np.float32), (-4.0, 6.0))
    assert 0 <= first <= second <= 255


def test_the_middle_is_zero_on_uneven_ranges() -> None:
    assert levels(np.zeros(1, np.float32), (-2.0, 9.0))[0] == 127.5
    with pytest.raises(ValueError, match="enclose 0"):
        levels(np.zeros(1, np.float32), (1.0, 4.0))


def test_both_ends_are_equally_strong() -> None:
    table = lut()
    assert abs(lightness(table[0, :3]) - lightness(table[255, :3])) < 8
    assert table[0, 3] == table[255, 3]
    assert np.all(np.diff(table[128:, 3]) >= 0)


def test_only_the_square_is_painted() -> None:
    painted = overlay(GREY, np.full((2, 2), 4, np.float32), square=(10, 20, 40, 50))
    changed = np.argwhere((painted != GREY).any(axis=2))
    assert changed.min(axis=0).tolist() == [20, 10]
    assert changed.max(axis=0).tolist() == [49, 39]


@pytest.mark.parametrize("square", [(-20, -20, 10, 10), (50, 50, 90, 90), (70, 70, 80, 80), (5, 5, 5, 5)])
def test_squares_over_the_edge(square: tuple[float, float, float, float]) -> None:
    assert overlay(GREY, np.ones((3, 3), np.float32), square=square).shape == GREY.shape


def test_nan_is_no_evidence() -> None:
    assert np.array_equal(overlay(GREY, np.full((3, 3), np.nan, np.float32)), GREY)


def test_the_legend_shows_the_same_colours() -> None:
    strip = np.asarray(colour_bar(256, 1, (200, 200, 200)))[0].astype(int)
    assert strip[0][2] > strip[0][0]
    assert strip[-1][0] > strip[-1][2]
    assert abs(strip[128] - 200).max() < 6
