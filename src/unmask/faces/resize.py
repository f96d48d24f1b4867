"""Bring a picture to the size that a detector looks at, quickly and without aliasing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def shrink(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Reduce an H×W×3 uint8 RGB picture to ``height``×``width`` (both at most those of the picture).

    Not for crops that are scored: from a factor of 4 on only some rows are read, still at least two an output row.
    """
    rows, columns = image.shape[:2]
    if (columns, rows) == (width, height):
        return image
    step = max(1, int(rows / height / 2))
    if step > 1 and image.strides == (columns * 3, 3, 1):
        # Rows are skipped by telling Pillow a longer row: nothing of a 12-megapixel picture is copied for it.
        kept = rows // step
        source = Image.frombuffer("RGB", (columns, kept), image, "raw", "RGB", columns * 3 * step, 1)
    else:
        source = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(source.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=1.0))


def scaled(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Bring an H×W×3 uint8 RGB picture to ``height``×``width``, smaller or larger."""
    if image.shape[1] >= width and image.shape[0] >= height:
        return shrink(image, width, height)
    source = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(source.resize((width, height), Image.Resampling.BILINEAR))
