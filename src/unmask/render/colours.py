"""The evidence map in colours, on a scale that is the same for every picture."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAP_RANGE = (-4.0, 4.0)
"""Logits at the two ends of the scale; a bundle's card may name others (``map_range``)."""

# The two ends have nearly the same lightness (CIE L* 42 and 38), so neither looks stronger; red and blue stay apart
# for the colour-blind. They are the colours of the verdicts.
_REAL, _FAKE = (33, 102, 172), (178, 24, 43)
# Low enough that the face stays visible under the strongest colour.
_STRONGEST = 0.6


@lru_cache(maxsize=8)
def lut(strongest: float = _STRONGEST) -> NDArray[np.float32]:
    """256×4 float32: red, green, blue in 0...255 and opacity in [0, ``strongest``].

    Entry 0 is the end for real (blue), 255 the end for fake (red); the middle, which speaks for neither, is clear.
    """
    position = np.linspace(-1.0, 1.0, 256, dtype=np.float32)
    table = np.empty((256, 4), np.float32)
    table[:, :3] = np.where(position[:, None] < 0, np.array(_REAL, np.float32), np.array(_FAKE, np.float32))
    table[:, 3] = np.abs(position) * strongest
    return table


def levels(logits: NDArray[np.float32], map_range: tuple[float, float] = MAP_RANGE) -> NDArray[np.float32]:
    """Positions in the table, 0...255. Zero logits always lie in the middle, whatever the range; NaN counts as zero."""
    low, high = map_range
    if not low < 0 < high:
        raise ValueError(f"the range of a map must enclose 0, not {low}...{high}")
    values = np.nan_to_num(np.asarray(logits, np.float32))
    share = np.where(values < 0, values / -low, values / high)
    return np.asarray((np.clip(share, -1, 1) + 1) * 127.5, np.float32)


def overlay(
    image: NDArray[np.uint8],
    logits: NDArray[np.float32],
    map_range: tuple[float, float] = MAP_RANGE,
    square: tuple[float, float, float, float] | None = None,
) -> NDArray[np.uint8]:
    """Lay an evidence map over the part of a picture that it belongs to.

    Args:
        image: H×W×3 uint8 RGB.
        logits: h×w float32, above 0 speaks for fake.
        map_range: Logits shown as the strongest blue and red; larger ones look the same. Never fitted to the map.
        square: x0, y0, x1, y1 in pixels: where the map lies. Default: the whole of ``image``.

    Returns:
        A new H×W×3 uint8 picture.
    """
    result = image.copy()
    paint(result, logits, map_range, square)
    return result


def paint(
    image: NDArray[np.uint8],
    logits: NDArray[np.float32],
    map_range: tuple[float, float] = MAP_RANGE,
    square: tuple[float, float, float, float] | None = None,
) -> None:
    """As :func:`overlay`, into ``image`` itself."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (round(v) for v in square or (0, 0, width, height))
    side_x, side_y = max(1, x1 - x0), max(1, y1 - y0)
    left, top, right, bottom = max(0, x0), max(0, y0), min(width, x0 + side_x), min(height, y0 + side_y)
    if right <= left or bottom <= top:
        return
    grown = Image.fromarray(levels(logits, map_range)).resize((side_x, side_y), Image.Resampling.BICUBIC)
    index = np.clip(np.rint(np.asarray(grown)), 0, 255).astype(np.uint8)
    index = index[top - y0 : bottom - y0, left - x0 : right - x0]
    table = lut()
    alpha = table[:, 3:][index]
    part = image[top:bottom, left:right]
    part[:] = np.rint(part * (1 - alpha) + table[:, :3][index] * alpha).astype(np.uint8)


def colour_bar(width: int, height: int, ground: tuple[int, int, int]) -> Image.Image:
    """The scale as a strip, from the end for real to the end for fake, on a plain ground."""
    strip = np.tile(np.array(ground, np.uint8), (1, 256, 1))
    table = lut()
    strip[0] = np.rint(strip[0] * (1 - table[:, 3:]) + table[:, :3] * table[:, 3:]).astype(np.uint8)
    return Image.fromarray(strip).resize((width, height), Image.Resampling.BILINEAR)
