"""Which stretches of a track look faked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unmask.model import Level, decide, p_fake
from unmask.report import Segment

WINDOW_S = 1.0
"""A stretch is judged by the mean logit of about a second: single frames are noisy, a second is what a viewer sees."""


def find_segments(times: Sequence[float], logits: Sequence[float], level: Level) -> list[Segment]:
    """Find the stretches of a track whose mean logit over :data:`WINDOW_S` reaches the level's ``likely_fake``.

    Each window that reaches it grows to the neighbouring samples that lie nearer to it than to the rest of the track
    and loses those at its ends that do not, so that a step is found where it is and not where the average crosses.
    Borders lie half-way between samples.

    Args:
        times: Seconds, rising, one a sample.
        logits: Uncalibrated, one a sample.
        level: The card's level ``segment``.

    Returns:
        Segments in order of time, without overlap; none for a track of fewer than two samples.
    """
    t, z = np.asarray(times, np.float64), np.asarray(logits, np.float64)
    if len(t) < 2:
        return []
    inside = np.zeros(len(t), bool)
    # The sum and the number of the samples below the threshold up to each place: what lies outside of a window is
    # then two differences, however long the track is.
    below = np.array([decide(level, p_fake(level, float(v))) != "likely_fake" for v in z])
    count, total = (np.concatenate([[0.0], np.cumsum(part)]) for part in (below, np.where(below, z, 0.0)))
    for first, last in windows(t):
        mean = float(z[first:last].mean())
        if decide(level, p_fake(level, mean)) == "likely_fake":
            rest = count[-1] - count[last] + count[first]
            low = (total[-1] - total[last] + total[first]) / rest if rest else -np.inf
            # Never above the highest sample of the window, as rounding could have it.
            _mark(inside, z, first, last, min((mean + low) / 2, float(z[first:last].max())))
    return [_segment(t, z, first, last, level) for first, last in _runs(inside)]


def windows(times: NDArray[np.float64]) -> list[tuple[int, int]]:
    """(first, last + 1) of each stretch of about :data:`WINDOW_S`; at least two samples, however sparse they are.

    Args:
        times: Seconds, rising. Each sample stands for the time up to the next, which varies a little: a clip's frames
            do not fall on the moments that are asked for. So half a usual step more or less is no other sample.
    """
    if len(times) < 2:
        return []
    ends = np.searchsorted(times, times + WINDOW_S - float(np.median(np.diff(times))) / 2)
    found = [(first, max(int(end), first + 2)) for first, end in enumerate(ends)]
    return [(first, last) for first, last in found if last <= len(times)]


def _mark(inside: NDArray[np.bool_], z: NDArray[np.float64], first: int, last: int, cut: float) -> None:
    """Mark what belongs to a window: its samples from ``cut`` on, and those beside it without a lower one between."""
    members = np.flatnonzero(z[first:last] >= cut) + first
    low, high = int(members[0]), int(members[-1])
    before, after = np.flatnonzero(z[:low] < cut), np.flatnonzero(z[high + 1 :] < cut)
    low = int(before[-1]) + 1 if before.size else 0
    high = high + 1 + int(after[0]) if after.size else len(z)
    inside[low:high] = True


def _runs(inside: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _segment(t: NDArray[np.float64], z: NDArray[np.float64], first: int, last: int, level: Level) -> Segment:
    start = (t[first - 1] + t[first]) / 2 if first > 0 else t[0]
    end = (t[last - 1] + t[last]) / 2 if last < len(t) else t[-1]
    p = p_fake(level, float(z[first:last].mean()))
    return Segment(start_s=round(float(start), 3), end_s=round(float(end), 3), p_fake=round(p, 4))
