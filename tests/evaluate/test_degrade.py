"""Degradations do what their names say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from unmask.evaluate import degrade


def texture(seed: int = 0, height: int = 64, width: int = 48) -> NDArray[np.uint8]:
    """Detail at every scale, like a photograph."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.normal(0, 40, (height // 8, width // 8, 3)), np.ones((8, 8, 1)))
    return np.clip(128 + coarse + rng.normal(0, 15, (height, width, 3)), 0, 255).astype(np.uint8)


def fine(image: NDArray[np.uint8]) -> float:
    """Energy of the differences between neighbours."""
    return float(np.diff(image.astype(float), axis=1).var())


@pytest.mark.parametrize("name", list(degrade.LEVELS))
def test_every_level_keeps_shape_and_does_something(name: str) -> None:
    image = texture()
    changed = degrade.LEVELS[name](image.copy())
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8
    assert np.abs(changed.astype(int) - image).mean() > 0.2
    assert abs(changed.mean() - image.mean()) < 4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(16, 70), st.integers(16, 70))
def test_odd_sizes(seed: int, height: int, width: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for change in degrade.LEVELS.values():
        assert change(image).shape == image.shape


@pytest.mark.parametrize(
    ("milder", "harder"),
    [
        ("jpeg 80", "jpeg 10"),
        ("noise 0.01", "noise 0.1"),
        ("reduce to 0.75", "reduce to 0.25"),
        ("blur 0.5 px", "blur 3 px"),
    ],
)
def test_harder_levels_change_more(milder: str, harder: str) -> None:
    image = texture(1, 128, 128)

    def distance(name: str) -> float:
        return float(np.abs(degrade.LEVELS[name](image).astype(float) - image).mean())

    assert distance(harder) > 1.3 * distance(milder)


def test_blur_and_reduction_take_fine_detail_and_noise_adds_some() -> None:
    image = texture(2)
    assert fine(degrade.blur(image, 1)) < 0.5 * fine(image)
    assert fine(degrade.reduce(image, 0.5)) < 0.8 * fine(image)
    assert fine(degrade.noise(image, 0.1)) > 1.5 * fine(image)


def test_noise_has_the_stated_spread_and_repeats() -> None:
    grey = np.full((100, 100, 3), 128, np.uint8)
    noisy = degrade.noise(grey, 0.05, seed=3)
    assert noisy.astype(float).std() == pytest.approx(0.05 * 255, rel=0.05)
    assert np.array_equal(noisy, degrade.noise(grey, 0.05, seed=3))


def test_social_does_not_enlarge() -> None:
    image = texture(3, 64, 64)
    assert np.abs(degrade.social(image, 512, 95).astype(int) - degrade.jpeg(image, 95)).max() <= 1


def test_a_factor_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="factor"):
        degrade.reduce(texture(), 1.5)
