"""Which frames of a clip are looked at."""

from __future__ import annotations

import math

# Containers round times to a millisecond (FLV, Matroska) or finer.
TOLERANCE_S = 1e-3


class Sampler:
    """Chooses the first frame at or after each of the times 0, i, 2i ...

    Args:
        fps: Frames wanted a second; None for all.
        max_frames: At most so many. Where the duration is known they lie evenly over the clip, else they are the
            first ones.
        duration_s: Length of the clip, or None.

    Attributes:
        interval_s: Seconds between the wanted times; 0.0 when every frame is wanted.
    """

    def __init__(self, fps: float | None, max_frames: int | None, duration_s: float | None) -> None:
        interval = 1.0 / fps if fps else 0.0
        if max_frames is not None and duration_s:
            interval = max(interval, duration_s / max_frames)
        self.interval_s = interval
        self._left = math.inf if max_frames is None else max_frames
        self._next_s = -math.inf

    @property
    def done(self) -> bool:
        """Whether ``max_frames`` were taken."""
        return self._left <= 0

    @property
    def next_s(self) -> float:
        """The time that is waited for."""
        return max(self._next_s, 0.0)

    def wants(self, time_s: float) -> bool:
        """Whether the frame at ``time_s`` is to be taken; times must rise from call to call."""
        if self.done or time_s + TOLERANCE_S < self._next_s:
            return False
        if self.interval_s > 0:
            self._next_s = (math.floor((time_s + TOLERANCE_S) / self.interval_s) + 1) * self.interval_s
        self._left -= 1
        return True
