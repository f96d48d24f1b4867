"""How good the material is that a score rests on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sharpness(crop: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of the grey crop; low = blurred, high = sharp or noisy.

    Compare only crops of one size. Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy",
    ICPR 2000 (kernel 0 1 0, 1 -4 1, 0 1 0; the one-pixel rim is left out).

    Args:
        crop: H×W×3 uint8 RGB or H×W uint8 grey.

    Returns:
        In squared grey levels; 0.0 for a crop below 3 px.
    """
    if crop.ndim == 3:
        # Rec. 601 luma in 8-bit fixed point: the sum is at most 255 * 256 and fits 16 bits.
        wide = crop.astype(np.uint16)
        grey = ((wide[..., 0] * 77 + wide[..., 1] * 150 + wide[..., 2] * 29) >> 8).astype(np.int16)
    else:
        grey = crop.astype(np.int16)
    if min(grey.shape) < 3:
        return 0.0
    middle = grey[1:-1, 1:-1] * np.int16(4)
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - middle
    return float(laplacian.astype(np.float32).var())
