"""Frames of clips: sampled over the clip, cut with their surroundings, stored lossless."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.base.errors import MediaError
from unmask.base.files import replacing
from unmask.faces.crop import crop_square
from unmask.faces.types import Box
from unmask.media.types import Frame

SURROUNDINGS = 2.5
"""Side of the stored square over the longer side of the face box: room for any margin a recipe may ask for."""


def sample(path: Path, count: int, fps: float | None) -> Iterator[Frame]:
    """``count`` frames spread evenly over the clip, or ``fps`` frames a second of it (then ``count`` is no limit).

    Raises:
        MediaError: The file cannot be decoded.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            rate = float(stream.average_rate or 0)
            total = sum(1 for packet in container.demux(stream) if packet.size)
        # Frames are chosen by number: there are clips whose time stamps are all zero.
        rate = rate if 1 <= rate <= 240 else 25.0
        number = max(1, ceil(total / rate * fps)) if fps else count
        wanted = {int((i + 0.5) * total / number) for i in range(min(number, total))}
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            index, start, before = 0, None, -1.0
            for place, frame in enumerate(container.decode(stream)):
                now = float(frame.time or 0.0)
                start = now if start is None else start
                if place not in wanted:
                    continue
                time_s = now - start if now - start > before else place / rate
                before = time_s
                yield Frame(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), time_s, index)
                index += 1
    except (av.FFmpegError, IndexError) as error:
        raise MediaError("cannot be decoded as a clip", path=str(path)) from error


def cut_surroundings(image: NDArray[np.uint8], box: Box) -> tuple[NDArray[np.uint8], int, int]:
    """The region of a frame that any crop of the face needs, and its left and top.

    A crop made from the region has the pixels of one made from the frame: squares about one centre are nested, and
    both are moved inside at the same edge of the frame.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = crop_square(box, SURROUNDINGS, width, height)
    x, y = floor(left), floor(top)
    return image[y : min(height, ceil(bottom)), x : min(width, ceil(right))], x, y


def store(image: NDArray[np.uint8], file: Path) -> None:
    """Write a frame as PNG, whole or not at all."""
    with replacing(file) as temporary:
        Image.fromarray(np.ascontiguousarray(image)).save(temporary, format="PNG", compress_level=4)
