"""Stretches: found where they are, not where they are not."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.analysis.segments import find_segments
from unmask.model import Level, Thresholds

LEVEL = Level(kind="segment", thresholds=Thresholds(likely_real=0.2, likely_fake=0.8))


def curve(
    fps: float, stretch: tuple[float, float] | None, noise: float = 0.0, seed: int = 0
) -> tuple[list[float], list[float]]:
    times = np.arange(0, 10, 1 / fps)
    logits = np.full(len(times), -2.0) + np.random.default_rng(seed).normal(0, noise, len(times))
    if stretch:
        logits[(times >= stretch[0]) & (times < stretch[1])] += 5.0
    return times.tolist(), logits.tolist()


@pytest.mark.parametrize("fps", [2.0, 3.0, 5.0, 30.0])
@pytest.mark.parametrize("start", [0.0, 2.6, 4.0, 9.0])
def test_a_faked_second_is_found_within_half_a_second(fps: float, start: float) -> None:
    found = find_segments(*curve(fps, (start, start + 1), noise=0.4), LEVEL)
    assert len(found) == 1
    assert abs(found[0].start_s - start) <= 0.5
    assert abs(found[0].end_s - min(start + 1, 10 - 1 / fps)) <= 0.5
    assert found[0].p_fake >= 0.8


def test_a_faked_second_is_found_where_frames_do_not_fall_on_the_moments_asked_for() -> None:
    """25 frames a second, three of which are wanted: the first frame from each third of a second on."""
    times = [np.ceil(round(i * 25 / 3, 6)) / 25 for i in range(30)]
    for start in np.arange(0.0, 9.0, 0.04):
        # Hardly above the threshold: a second of which a fourth sample is real would not be.
        logits = [1.6 if start <= t < start + 1 else -3.0 for t in times]
        count = sum(start <= t < start + 1 for t in times)
        assert len(find_segments(times, logits, LEVEL)) == 1, (start, count)


def test_two_stretches_stay_two() -> None:
    times, logits = curve(3.0, (2, 4))
    logits = [z + 5.0 * (7 <= t < 8.5) for t, z in zip(times, logits, strict=True)]
    assert [round(s.start_s) for s in find_segments(times, logits, LEVEL)] == [2, 7]


def test_a_whole_fake_is_one_segment_and_a_real_none() -> None:
    times, _ = curve(3.0, None)
    (whole,) = find_segments(times, [3.0] * len(times), LEVEL)
    assert (whole.start_s, whole.end_s) == (0.0, round(times[-1], 3))
    assert find_segments(*curve(3.0, None, noise=0.5), LEVEL) == []


def test_one_wild_frame_is_not_a_stretch() -> None:
    times, logits = curve(3.0, None)
    logits[12] = 3.0
    assert find_segments(times, logits, LEVEL) == []
    assert find_segments([0.0], [9.0], LEVEL) == []


@given(
    st.lists(st.floats(-20, 20), min_size=0, max_size=60),
    st.floats(0.05, 3.0),
)
def test_segments_are_ordered_apart_and_inside(logits: list[float], step: float) -> None:
    times = [i * step for i in range(len(logits))]
    found = find_segments(times, logits, LEVEL)
    borders = [edge for s in found for edge in (s.start_s, s.end_s)]
    assert borders == sorted(borders)
    assert all(s.start_s < s.end_s and 0 <= s.p_fake <= 1 for s in found)
    assert not borders or (borders[0] >= 0 and borders[-1] <= times[-1] + 1e-3)


def test_an_hour_that_looks_faked_throughout_takes_no_time() -> None:
    logits = np.random.default_rng(0).normal(3, 1.5, 3600 * 3)
    started = time.process_time()
    found = find_segments((np.arange(len(logits)) / 3).tolist(), logits.tolist(), LEVEL)
    # When every window looked at every other sample one by one this took a quarter of an hour.
    assert time.process_time() - started < 20
    assert found
    assert all(segment.p_fake > 0.5 for segment in found)
