"""Find and follow the faces of a clip at a small cost a frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unmask.faces.search import iou, merge
from unmask.faces.shots import Shots
from unmask.faces.track import Tracker, TrackSpec
from unmask.faces.types import Face, FaceBackend, Track
from unmask.media.types import Frame

# Side of the picture part in which a lost face is looked for, in units of the face.
_AROUND = 4.0
_LOOKS_A_FRAME = 4


class ClipSearch:
    """Runs a face backend over the frames of one clip and follows each person. Not for several threads.

    Most frames get one quick look. A face that it loses is looked for where it was, at full size: so small faces stay
    found. The thorough search runs on the first frame, after a cut, every ``thorough_s`` seconds, and where someone is
    lost all the same (then at most every ``lost_s`` seconds).

    Args:
        backend: What finds the faces.
        thorough_s: Seconds of the clip between thorough searches.
        lost_s: The same where someone was lost.
        tracker: What follows them.
    """

    def __init__(
        self, backend: FaceBackend, *, thorough_s: float = 2.0, lost_s: float = 0.6, tracker: Tracker | None = None
    ) -> None:
        self._backend = backend
        self._thorough_s = thorough_s
        self._lost_s = lost_s
        self._tracker = tracker or Tracker(TrackSpec(weak=backend.certain))
        self._shots = Shots()
        self._searched_s: float | None = None

    def update(self, frame: Frame) -> list[tuple[int, Face]]:
        """Take the next frame.

        Args:
            frame: Later than the one before; its picture is not kept.

        Returns:
            (number of the track, face), largest face first. Some of the tracks may later be dropped from
            :attr:`tracks`.
        """
        cut = self._shots.changed(frame.image)
        since = None if self._searched_s is None else frame.time_s - self._searched_s
        if cut or since is None or since >= self._thorough_s - 1e-6:
            faces = self._thorough(frame)
        else:
            faces, lost = self._quick(frame)
            if lost and since >= self._lost_s - 1e-6:
                faces = self._thorough(frame)
        return self._tracker.update(frame.time_s, frame.image, faces, cut=cut)

    @property
    def tracks(self) -> list[Track]:
        """See :attr:`unmask.faces.track.Tracker.tracks`."""
        return self._tracker.tracks

    def _thorough(self, frame: Frame) -> list[Face]:
        self._searched_s = frame.time_s
        return self._backend.find(frame.image)

    def _quick(self, frame: Frame) -> tuple[list[Face], bool]:
        """The faces of a quick look and of looks around those it lost; whether any is still lost."""
        faces = self._backend.find(frame.image, effort="quick")
        lost = False
        missing = [old for old, _ in self._tracker.expected() if not _is_among(old, faces)]
        for old in missing[:_LOOKS_A_FRAME]:
            faces = merge(faces + self._around(frame.image, old))
            # A weaker one that comes and goes is a false alarm, mostly, and not worth a thorough search.
            lost = lost or (old.score >= self._backend.certain and not _is_among(old, faces))
        return sorted(faces, key=lambda face: -face.size), lost

    def _around(self, image: NDArray[np.uint8], face: Face) -> list[Face]:
        x0, y0, x1, y1 = face.box
        reach = _AROUND / 2 * max(x1 - x0, y1 - y0)
        left, top = max(0, int((x0 + x1) / 2 - reach)), max(0, int((y0 + y1) / 2 - reach))
        right, bottom = int((x0 + x1) / 2 + reach) + 1, int((y0 + y1) / 2 + reach) + 1
        part = image[top:bottom, left:right]
        if min(part.shape[:2]) < 2:
            return []
        return [_moved(found, left, top) for found in self._backend.find(part, effort="quick")]


def _is_among(old: Face, faces: list[Face]) -> bool:
    """Whether one of the faces may be the old one: it overlaps it, or lies within two face widths at a like size."""
    for face in faces:
        (a0, b0, a1, b1), (c0, d0, c1, d1) = old.box, face.box
        near = max(abs(a0 + a1 - c0 - c1), abs(b0 + b1 - d0 - d1)) / 2 < 2 * old.size
        if iou(old, face) > 0.2 or (near and 0.5 < face.size / old.size < 2.0):
            return True
    return False


def _moved(face: Face, left: int, top: int) -> Face:
    x0, y0, x1, y1 = face.box
    points = None if face.landmarks is None else face.landmarks + np.array([left, top], np.float32)
    return Face((x0 + left, y0 + top, x1 + left, y1 + top), face.score, points)
