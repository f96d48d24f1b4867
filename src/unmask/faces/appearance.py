"""What a person looks like, in a few hundred bytes: enough to tell two people of one scene apart between frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unmask.faces.types import Box

_CELLS = 6
_SAMPLES = 4
# Regions around a face box, in units of its sides, from its centre: the face, and hair, shoulders and clothes.
_REGIONS = ((-0.5, -0.5, 0.5, 0.5), (-1.1, -0.9, 1.1, 1.7))


def describe(image: NDArray[np.uint8], box: Box) -> NDArray[np.float32]:
    """Coarse colour pictures of a face and of what surrounds it.

    Args:
        image: H×W×3 uint8 RGB.
        box: The face; what lies beyond the picture repeats its rim.

    Returns:
        2×6×6×3 float32 in [0, 1]: the face, then hair and clothes.
    """
    height, width = image.shape[:2]
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    w, h = box[2] - box[0], box[3] - box[1]
    count = _CELLS * _SAMPLES
    steps = (np.arange(count) + 0.5) / count
    regions = []
    for x0, y0, x1, y1 in _REGIONS:
        xs = np.clip(cx + w * (x0 + (x1 - x0) * steps), 0, width - 1).astype(np.intp)
        ys = np.clip(cy + h * (y0 + (y1 - y0) * steps), 0, height - 1).astype(np.intp)
        patch = image[ys[:, None], xs[None, :]].reshape(_CELLS, _SAMPLES, _CELLS, _SAMPLES, 3)
        regions.append(patch.mean(axis=(1, 3), dtype=np.float32) / np.float32(255))
    return np.stack(regions)


def difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Mean absolute difference of two descriptions in [0, 1]; the same person a moment later is mostly below 0.1."""
    return float(np.abs(one - other).mean())
