from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from data_samples import noise
from unmask.data.blend import (
    cross_blend,
    cross_blend_masked,
    points_from_box,
    pose_key,
    self_blend,
    self_blend_masked,
    similarity,
)
from unmask.data.blend_masks import draw_mask

Picture = NDArray[np.uint8]
# Eyes, nose and mouth of scikit-image's astronaut, read off the picture.
ASTRONAUT = np.array([[203, 101], [246, 102], [225, 127], [204, 140], [244, 141]], np.float32)


@pytest.fixture(scope="module")
def face(astronaut: Picture) -> tuple[Picture, NDArray[np.float32]]:
    """The astronaut's face at 256 px."""
    corner = np.array([125, 25], np.float32)
    scale = 256 / 200
    region = Image.fromarray(astronaut[25:225, 125:325]).resize((256, 256), Image.Resampling.BICUBIC)
    return np.asarray(region), (ASTRONAUT - corner) * np.float32(scale)


@pytest.mark.parametrize("seed", range(40))
def test_a_self_blend_changes_the_face_and_little_else(face: tuple[Picture, NDArray[np.float32]], seed: int) -> None:
    picture, points = face
    before = picture.copy()
    fake, mask = self_blend_masked(picture, points, np.random.default_rng(seed))
    assert np.array_equal(picture, before)
    assert fake.shape == picture.shape
    assert fake.dtype == mask.dtype == np.uint8
    assert mask.shape == picture.shape[:2]
    change = np.abs(fake.astype(int) - picture).max(axis=2)
    assert mask.max() > 100
    assert change[mask > 128].mean() > 1.0
    # Nothing black or white out of nowhere, as from beyond the edge of the picture.
    assert change[mask > 0].mean() < 70
    # The middle of what was replaced lies in the face.
    rows, columns = np.nonzero(mask > 64)
    low, high = points.min(axis=0) - 60, points.max(axis=0) + 60
    assert low[0] < columns.mean() < high[0]
    assert low[1] < rows.mean() < high[1]


def test_surroundings_stay_or_change_as_a_whole(face: tuple[Picture, NDArray[np.float32]]) -> None:
    """Either the face or what is around it is recoloured, each in a good part of the fakes."""
    picture, points = face
    outside = []
    for seed in range(60):
        fake, mask = self_blend_masked(picture, points, np.random.default_rng(seed))
        outside.append(np.abs(fake.astype(int) - picture)[mask == 0].max(initial=0))
    untouched = np.mean(np.array(outside) == 0)
    assert 0.3 < untouched < 0.7


def test_the_same_seed_gives_the_same_fake(face: tuple[Picture, NDArray[np.float32]]) -> None:
    picture, points = face
    one, two, other = (self_blend(picture, points, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("seed", range(20))
def test_a_cross_blend_leaves_the_rest_alone(face: tuple[Picture, NDArray[np.float32]], seed: int) -> None:
    picture, points = face
    donor = np.ascontiguousarray(picture[::-1, :, ::-1])
    moved = points * np.array([1, -1], np.float32) + np.array([0, 255], np.float32)
    # Upside down: the similarity transform has to turn it back (mirrored, but eyes on eyes).
    fake, mask = cross_blend_masked(picture, points, donor, moved[[0, 1, 2, 3, 4]], np.random.default_rng(seed))
    assert np.array_equal(fake[mask == 0], picture[mask == 0])
    assert np.abs(fake.astype(int) - picture)[mask > 128].mean() > 1.0
    assert not np.array_equal(cross_blend(picture, points, donor, moved, np.random.default_rng(seed)), picture)


def test_a_cross_blend_takes_the_targets_colours(face: tuple[Picture, NDArray[np.float32]]) -> None:
    picture, points = face
    blue = np.clip(picture * np.array([0.5, 0.7, 1.2]), 0, 255).astype(np.uint8)
    far, near = [], []
    for seed in range(20):
        fake, mask = cross_blend_masked(picture, points, blue, points, np.random.default_rng(seed))
        inside = mask > 200
        if inside.sum() > 500:
            target = picture[inside].mean(axis=0)
            near.append(np.abs(fake[inside].mean(axis=0) - target).max())
            far.append(np.abs(blue[inside].mean(axis=0) - target).max())
    assert np.mean(near) < 0.4 * np.mean(far)


def test_the_similarity_transform_is_found() -> None:
    source = ASTRONAUT
    turn = 1.7 * np.exp(0.4j)
    target = np.stack([(z := (source[:, 0] + 1j * source[:, 1]) * turn).real + 30, z.imag - 12], axis=1)
    matrix = similarity(source, target.astype(np.float32))
    assert np.allclose(source @ matrix[:, :2].T + matrix[:, 2], target, atol=1e-2)


@settings(deadline=None)
@given(st.floats(0.2, 5), st.floats(-3.1, 3.1), st.floats(-500, 500))
def test_a_pose_has_no_place_size_or_roll(scale: float, angle: float, shift: float) -> None:
    turned = (ASTRONAUT[:, 0] + 1j * ASTRONAUT[:, 1]) * scale * np.exp(1j * angle) + shift
    other = np.stack([turned.real, turned.imag], axis=1)
    both = pose_key(np.stack([ASTRONAUT, other]))
    assert np.allclose(both[0], both[1], atol=2e-3)
    looking_away = ASTRONAUT + np.array([[0, 0], [0, 0], [15, 0], [0, 0], [0, 0]], np.float32)
    assert np.linalg.norm(pose_key(looking_away)[0] - both[0]) > 0.1


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(8, 200),
    height=st.integers(8, 200),
    points=st.lists(st.floats(-50, 250, width=32), min_size=10, max_size=10),
    seed=st.integers(0, 1000),
)
def test_any_points_on_any_picture(width: int, height: int, points: list[float], seed: int) -> None:
    """Detectors give odd points: together, mirrored, outside. The blend may do nothing, it never fails."""
    picture = np.asarray(Image.fromarray(noise(seed % 5)).resize((width, height)))
    marks = np.array(points, np.float32).reshape(5, 2)
    rng = np.random.default_rng(seed)
    for fake, mask in (
        self_blend_masked(picture, marks, rng),
        cross_blend_masked(picture, marks, noise(9), points_from_box((10, 10, 40, 44)), rng),
        cross_blend_masked(noise(9), points_from_box((10, 10, 40, 44)), picture, marks, rng),
    ):
        assert fake.shape[:2] == mask.shape
        assert fake.dtype == np.uint8


def test_nothing_is_taken_from_beyond_the_donor() -> None:
    size = (120, 120)
    points = points_from_box((30, 25, 90, 105))
    valid = [(0.0, 0.0), (60.0, 0.0), (60.0, 120.0), (0.0, 120.0)]
    for seed in range(30):
        mask = np.asarray(draw_mask(points, size, np.random.default_rng(seed), valid=valid))
        assert mask[:, 63:].max() <= 8


def test_gray_pictures_stay_gray(face: tuple[Picture, NDArray[np.float32]]) -> None:
    """A tint in a black and white photograph would be a mark that no forger leaves."""
    picture, points = face
    gray = np.asarray(Image.fromarray(picture).convert("L").convert("RGB"))
    for seed in range(20):
        assert np.ptp(self_blend(gray, points, np.random.default_rng(seed)).astype(int), axis=2).max() <= 1


@pytest.mark.slow
def test_blends_are_fast(face: tuple[Picture, NDArray[np.float32]]) -> None:
    """Processor time of one blend over that of one JPEG decode and one resize of the same picture, in the same run."""
    picture, points = face
    rng = np.random.default_rng(0)

    def spent(run: object, count: int = 100) -> float:
        start = time.thread_time()
        for _ in range(count):
            run()  # type: ignore[operator]
        return (time.thread_time() - start) / count

    blend = spent(lambda: self_blend(picture, points, rng))
    resize = spent(lambda: Image.fromarray(picture).resize((448, 448), Image.Resampling.BICUBIC))
    assert blend < 4 * resize
