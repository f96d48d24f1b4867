"""Sharpness of a crop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from scipy import ndimage  # comes with scikit-image
from skimage import data

from unmask.faces.quality import sharpness


def test_it_is_the_variance_of_the_laplacian() -> None:
    grey = data.camera()
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    expected = ndimage.convolve(grey.astype(float), kernel)[1:-1, 1:-1].var()
    assert sharpness(grey) == pytest.approx(expected, rel=1e-4)
    assert sharpness(np.repeat(grey[..., None], 3, axis=2)) == pytest.approx(expected, rel=1e-4)


def test_blur_lowers_it_step_by_step() -> None:
    picture = Image.fromarray(data.astronaut()[30:220, 140:310])
    values = [sharpness(np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)))) for radius in (0, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 10 * values[-1]


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 255))
def test_an_even_crop_has_none(height: int, width: int, level: int) -> None:
    assert sharpness(np.full((height, width, 3), level, np.uint8)) == 0.0


def test_the_largest_contrast_does_not_overflow() -> None:
    board = (np.indices((9, 9)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert sharpness(board) == pytest.approx(np.var([1020.0, -1020.0] * 24 + [-1020.0]), rel=0.01)
