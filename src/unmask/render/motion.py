"""Where each person of a clip is at any time, between the times that were looked at."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from unmask.faces.types import Box
from unmask.render.verdict import thresholds
from unmask.report import Report, TrackResult, Verdict

# A face that was missed once or twice is still there; after that it may be gone.
_GAP_STEPS = 2.5


@dataclass(frozen=True, slots=True)
class Moment:
    """One person at one time."""

    track: int
    box: Box
    verdict: Verdict
    p_fake: float | None


class Motion:
    """One track, ready to be asked for any time.

    A sample stands for half a sampling step around it, so the box appears and goes with the face and not a moment
    too late or too early.
    """

    def __init__(self, report: Report, track: TrackResult) -> None:
        self.track = track
        self.limits = thresholds(report, "face")
        table = np.array(track.boxes, np.float64).reshape(-1, 5)
        self._times: NDArray[np.float64] = table[:, 0]
        self._boxes = table[:, 1:]
        scores = np.array(track.scores, np.float64).reshape(-1, 2)
        self._score_times, self._scores = scores[:, 0], scores[:, 1]
        steps = [later - earlier for earlier, later in pairwise(self._times.tolist())]
        self._step = statistics.median(steps) if steps else 0.5

    def at(self, time_s: float) -> Moment | None:
        """The person at a time; None outside of their life and where they were out of sight for long."""
        times = self._times
        if not times.size:
            return None
        half = self._step / 2
        after = int(np.searchsorted(times, time_s))
        before = after - 1
        to_last = time_s - times[before] if before >= 0 else np.inf
        to_next = times[after] - time_s if after < times.size else np.inf
        gap = times[after] - times[before] if before >= 0 and after < times.size else np.inf
        if gap > _GAP_STEPS * self._step and min(to_last, to_next) > half:
            return None
        x0, y0, x1, y1 = (float(np.interp(time_s, times, column)) for column in self._boxes.T)
        if gap > _GAP_STEPS * self._step:
            nearest = before if to_last <= to_next else after
            x0, y0, x1, y1 = (float(v) for v in self._boxes[nearest])
        p = float(np.interp(time_s, self._score_times, self._scores)) if self._scores.size else self.track.p_fake
        return Moment(self.track.id, (x0, y0, x1, y1), self._verdict(time_s, p), p)

    def _verdict(self, time_s: float, p: float | None) -> Verdict:
        """The label shown at a time.

        A person who is faked for a stretch is so called there, and elsewhere by the score of the moment; anyone else
        by the verdict of the whole track, which is steadier than single frames.
        """
        if not self.track.segments or p is None:
            return self.track.verdict
        if any(segment.start_s <= time_s <= segment.end_s for segment in self.track.segments):
            return "likely_fake"
        if self.limits is None:
            return "inconclusive"
        low, high = self.limits
        return "likely_fake" if p >= high else "likely_real" if p <= low else "inconclusive"


def moments(motions: list[Motion], time_s: float) -> list[Moment]:
    """Everybody who is there at a time, highest score first."""
    found = [moment for motion in motions if (moment := motion.at(time_s))]
    return sorted(found, key=lambda moment: -(moment.p_fake or 0.0))
