"""What the media room gives: facts of a file and its frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Frame:
    """One upright picture, or one picture of a clip.

    Attributes:
        image: H×W×3 uint8 RGB, EXIF or container rotation applied.
        time_s: Seconds since the start of the clip; 0.0 for a picture.
        index: Number of the frame among those that were sampled, from 0.
    """

    image: NDArray[np.uint8]
    time_s: float = 0.0
    index: int = 0


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """Facts of a file.

    Attributes:
        kind: ``picture`` or ``clip`` (an animated GIF, WebP or APNG is a clip).
        width: Pixels, upright.
        height: Pixels, upright.
        format: Short lower-case name: ``jpeg``, ``png``, ``mp4``, ``matroska`` ...; ``array`` or ``pil`` for objects.
        duration_s: Seconds; None for a picture, or where the file does not say.
        fps: Frames a second of the file itself; None for a picture or where it does not say.
        has_audio: Whether a sound track is there.
    """

    kind: Literal["picture", "clip"]
    width: int
    height: int
    format: str
    duration_s: float | None = None
    fps: float | None = None
    has_audio: bool = False
