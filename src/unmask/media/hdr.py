"""High dynamic range to ordinary colours: what phones film in HLG and what streams carry in PQ.

Detectors are trained on ordinary (SDR) pictures. Taken as it is, an HDR signal looks pale and flat to them.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

# FFmpeg's AVCOL_TRC_SMPTE2084, AVCOL_TRC_ARIB_STD_B67 and AVCOL_PRI_BT2020.
PQ = 16
HLG = 18
BT2020 = 9

_WHITE_NITS = 203.0  # ITU-R BT.2408: where SDR white lies in an HDR picture
_HLG_PEAK_NITS = 1000.0
_KNEE = 0.75
_STEPS = 4096
_ROWS = 64
# Linear BT.2020 to linear BT.709 (ITU-R BT.2087).
_TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)


def to_sdr(signal: NDArray[np.uint16], transfer: int, primaries: int) -> NDArray[np.uint8]:
    """Tone-map one picture.

    Light up to three quarters of SDR white is kept as it is, what is brighter is compressed into the rest.

    Args:
        signal: H×W×3 uint16 full-range RGB, still in the transfer curve of the file.
        transfer: :data:`PQ` (SMPTE ST 2084) or :data:`HLG` (ITU-R BT.2100).
        primaries: :data:`BT2020`; others are taken for BT.709.

    Returns:
        H×W×3 uint8 sRGB.
    """
    linear, encode = _linear(transfer), _encode()
    out = np.empty(signal.shape, np.uint8)
    for top in range(0, len(signal), _ROWS):  # in strips, since floating point takes four times the memory
        light = linear[signal[top : top + _ROWS] >> 4]
        if transfer == HLG:
            light *= (light @ _LUMA_2020)[..., None] ** np.float32(0.2) * np.float32(_HLG_PEAK_NITS / _WHITE_NITS)
        if primaries == BT2020:
            light = light @ _TO_709.T
        bright = light > _KNEE
        light[bright] = 1 - (1 - _KNEE) * np.exp((_KNEE - light[bright]) / (1 - _KNEE))
        out[top : top + _ROWS] = encode[np.clip(light * (_STEPS - 1) + 0.5, 0, _STEPS - 1).astype(np.uint16)]
    return out


@cache
def _linear(transfer: int) -> NDArray[np.float32]:
    """PQ: light relative to SDR white. HLG: light of the scene, 0 to 1."""
    signal = np.arange(_STEPS, dtype=np.float64) / (_STEPS - 1)
    if transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
        return scene.astype(np.float32)
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = signal ** (1 / m2)
    light = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    return (light * 10_000 / _WHITE_NITS).astype(np.float32)


@cache
def _encode() -> NDArray[np.uint8]:
    """The sRGB curve (IEC 61966-2-1)."""
    light = np.arange(_STEPS, dtype=np.float64) / (_STEPS - 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    codes: NDArray[np.uint8] = np.rint(curve * 255).astype(np.uint8)
    return codes
