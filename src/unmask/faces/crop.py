"""The one function that turns (frame, box, CropSpec) into a network input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.faces.types import Box, CropSpec


def crop_square(box: Box, margin: float, width: int, height: int) -> Box:
    """The square that is cut out for a face box, in pixels, always inside the picture.

    Its side is ``margin`` times the longer side of the box, at most the shorter side of the picture; where it would
    reach over an edge it is moved inside. So no pixel is ever made up: padding of any kind is a trace that a
    network learns to read instead of the face.
    """
    x0, y0, x1, y1 = box
    side = max(1.0, min(max(x1 - x0, y1 - y0) * margin, width, height))
    left = min(max((x0 + x1) / 2 - side / 2, 0.0), width - side)
    top = min(max((y0 + y1) / 2 - side / 2, 0.0), height - side)
    return (left, top, left + side, top + side)


def crop_face(image: NDArray[np.uint8], box: Box, spec: CropSpec) -> NDArray[np.uint8]:
    """Cut a face out and resize it (triangle filter with antialiasing, as Pillow's ``BILINEAR``).

    Args:
        image: H×W×3 uint8 RGB.
        box: The face in pixels of ``image``.
        spec: Margin and size.

    Returns:
        S×S×3 uint8 RGB, S = ``spec.size``.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = crop_square(box, spec.margin, width, height)
    # Only the surroundings of the crop are handed to Pillow: converting a whole 4K frame costs more than the resize.
    pad = 2 + int(2 * (right - left) / spec.size)
    x, y = max(0, int(left) - pad), max(0, int(top) - pad)
    region = np.ascontiguousarray(image[y : int(bottom) + pad + 1, x : int(right) + pad + 1])
    inner = (left - x, top - y, min(right - x, region.shape[1]), min(bottom - y, region.shape[0]))
    resized = Image.fromarray(region).resize((spec.size, spec.size), Image.Resampling.BILINEAR, box=inner)
    return np.asarray(resized)
