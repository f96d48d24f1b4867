"""Which times are chosen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unmask.media.sampling import TOLERANCE_S, Sampler


def chosen(
    times: list[float], fps: float | None, count: int | None = None, duration: float | None = None
) -> list[float]:
    sampler = Sampler(fps, count, duration)
    return [t for t in times if sampler.wants(t)]


def test_rounded_times_still_count() -> None:
    assert chosen([0.0, 0.333, 0.666, 1.0], 3) == [0.0, 0.333, 0.666, 1.0]
    assert chosen([k / 30 for k in range(61)], 3) == [k / 3 for k in range(7)]


def test_after_a_gap_the_grid_goes_on() -> None:
    assert chosen([0.0, 0.1, 5.25, 5.3, 5.5, 6.0], 2) == [0.0, 5.25, 5.5, 6.0]


def test_with_a_known_duration_the_few_are_spread() -> None:
    times = [k / 10 for k in range(100)]
    assert chosen(times, 10, 4, 10.0) == [0.0, 2.5, 5.0, 7.5]
    assert chosen(times, None, 3, 10.0) == [0.0, 3.4, 6.7]
    assert chosen(times, None, 3, None) == [0.0, 0.1, 0.2]


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=200, unique=True),
    st.one_of(st.none(), st.floats(0.1, 60)),
    st.one_of(st.none(), st.integers(1, 20)),
    st.one_of(st.none(), st.floats(0.1, 200)),
)
def test_the_rule(times: list[float], fps: float | None, count: int | None, duration: float | None) -> None:
    times.sort()
    sampler = Sampler(fps, count, duration)
    taken = [t for t in times if sampler.wants(t)]
    assert taken[0] == times[0]
    assert count is None or len(taken) <= count
    interval = sampler.interval_s
    if interval > 2 * TOLERANCE_S:
        cells = [int((t + TOLERANCE_S) / interval + 1e-9) for t in taken]
        assert len(set(cells)) == len(cells), "at most one of each interval"
        if count is None:
            assert set(cells) == {int((t + TOLERANCE_S) / interval + 1e-9) for t in times}, "one of each"
    elif interval == 0 and count is None:
        assert taken == times
