"""Follow each person through a clip, frame by frame, with a state that does not grow but for what it is asked to keep.

Frames come about three times a second, so a person may move by several face widths between two of them and two people
may change places: where a face is counts for no more than what the person looks like.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unmask.faces.appearance import describe, difference
from unmask.faces.assign import assign
from unmask.faces.search import iou
from unmask.faces.shots import Shots
from unmask.faces.types import Face, Track


@dataclass(frozen=True, slots=True)
class TrackSpec:
    """The numbers of the tracker, chosen on the training and validation clips.

    Attributes:
        gap_s: A person who was away no longer keeps the track.
        looks: Difference of appearance that costs 1 (99 of 100 people differ by less from themselves a third of a
            second earlier, 95 of 100 by more from others).
        reach: Face widths that someone may move at once; with time, ``speed`` more a second. That far costs 1.
        speed: See ``reach``.
        growth: Logarithm of the change of size that costs 1.
        limit: A pair that costs more is not the same person.
        after_cut: The same across a cut, where the place must agree too.
        weak: A track without a face of at least this score is a false alarm, mostly; see :attr:`Tracker.tracks`.
    """

    gap_s: float = 1.5
    looks: float = 0.1
    reach: float = 1.0
    speed: float = 4.0
    growth: float = 0.7
    limit: float = 3.2
    after_cut: float = 0.8
    weak: float = 0.75


@dataclass(slots=True)
class _Live:
    track: Track
    looks: NDArray[np.float32]

    @property
    def face(self) -> Face:
        return self.track.faces[-1]

    @property
    def time_s(self) -> float:
        return self.track.times[-1]


class Tracker:
    """Gives each face of each frame the number of its track. One for a clip; not for several threads.

    Args:
        spec: The numbers.
    """

    def __init__(self, spec: TrackSpec = TrackSpec()) -> None:
        self._spec = spec
        self._shots = Shots()
        self._tracks: list[Track] = []
        self._live: list[_Live] = []
        self._frames = 0

    def update(
        self, time_s: float, image: NDArray[np.uint8], faces: list[Face], *, cut: bool | None = None
    ) -> list[tuple[int, Face]]:
        """Take the next frame.

        Args:
            time_s: Its time, later than that of the frame before.
            image: H×W×3 uint8 RGB; not kept.
            faces: The faces found in it.
            cut: Whether a new shot begins with it; None: find out from the picture.

        Returns:
            (number of the track, face) in the order of ``faces``.
        """
        if cut is None:
            cut = self._shots.changed(image)
        self._frames += 1
        self._live = [live for live in self._live if time_s - live.time_s <= self._spec.gap_s + 1e-6]
        looks = [describe(image, face.box) for face in faces]
        cost = [[self._cost(live, face, look, time_s, cut) for face, look in zip(faces, looks, strict=True)]
                for live in self._live]  # fmt: skip
        pairs = {column: row for row, column in assign(cost, self._spec.limit)} if faces else {}
        before, result = self._live, []
        if cut:
            self._live = [before[row] for row in pairs.values()]
        for column, (face, look) in enumerate(zip(faces, looks, strict=True)):
            live = before[pairs[column]] if column in pairs else self._begin(look)
            live.track.times.append(time_s)
            live.track.faces.append(face)
            live.looks = (live.looks + look) * np.float32(0.5)
            result.append((live.track.id, face))
        return result

    def expected(self) -> list[tuple[Face, float]]:
        """The people who may be in the next frame of this shot: (face, time) where each was seen last."""
        return [(live.face, live.time_s) for live in self._live]

    @property
    def tracks(self) -> list[Track]:
        """The tracks so far, by first appearance.

        A track that is never sure is left out where it is a single face (unless the clip has but one frame) or where
        another track is sure. Numbers are never given twice, so the list may leave some out.
        """
        sure = [max(face.score for face in track.faces) >= self._spec.weak for track in self._tracks]
        alone = not any(sure)
        return [
            track
            for track, is_sure in zip(self._tracks, sure, strict=True)
            if is_sure or self._frames == 1 or (alone and len(track.faces) > 1)
        ]

    def _begin(self, looks: NDArray[np.float32]) -> _Live:
        live = _Live(Track(len(self._tracks)), looks)
        self._tracks.append(live.track)
        self._live.append(live)
        return live

    def _cost(self, live: _Live, face: Face, looks: NDArray[np.float32], time_s: float, cut: bool) -> float:
        spec, old = self._spec, live.face
        size, old_size = _size(face), _size(old)
        growth = abs(math.log(size / old_size)) / spec.growth
        (x, y), (old_x, old_y) = _centre(face), _centre(old)
        move = math.hypot(x - old_x, y - old_y) / math.sqrt(size * old_size)
        move /= spec.reach + spec.speed * (time_s - live.time_s)
        seen = difference(looks, live.looks) / spec.looks
        overlap = iou(face, old)
        if cut:
            return seen + 1 - overlap if seen + 1 - overlap < spec.after_cut else math.inf
        if move > 1 or growth > 2:
            return math.inf
        # In the same place a change of light or a turned head is likelier than another person.
        return seen * (1 - 0.5 * overlap) + move + growth + 0.5 * (1 - overlap)


def _size(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return math.sqrt(max(x1 - x0, 1.0) * max(y1 - y0, 1.0))


def _centre(face: Face) -> tuple[float, float]:
    x0, y0, x1, y1 = face.box
    return (x0 + x1) / 2, (y0 + y1) / 2
