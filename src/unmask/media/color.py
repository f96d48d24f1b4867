"""From a decoded video frame to an upright RGB picture: colour matrix, rotation, pixel shape."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unmask.media.hdr import HLG, PQ, to_sdr

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.reformatter import VideoReformatter

# FFmpeg's AVCOL_SPC_UNSPECIFIED.
_UNSPECIFIED = 2
# Pixels this little away from square are rounding, not anamorphic material.
_SQUARE_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a decoded frame lies in the upright picture.

    Attributes:
        width: Pixels of the decoded frame, stretched to square pixels.
        height: Pixels of the decoded frame.
        swap: Exchange rows and columns (a quarter turn), before the flips.
        flip_x: Mirror left and right.
        flip_y: Mirror up and down.
    """

    width: int
    height: int
    swap: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def of(cls, frame: VideoFrame, pixel_shape: Fraction | None) -> Geometry:
        """Read the display matrix of ``frame`` and apply the pixel shape of the track."""
        return cls(square_width(frame.width, pixel_shape), frame.height, *_orientation(frame))

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        return (self.height, self.width) if self.swap else (self.width, self.height)


def square_width(width: int, pixel_shape: Fraction | None) -> int:
    """Columns that a picture has once its pixels are square; shapes beyond 1:4 and 4:1 are taken for nonsense."""
    if pixel_shape and Fraction(1, 4) <= pixel_shape <= 4 and abs(pixel_shape - 1) > _SQUARE_TOLERANCE:
        return max(1, round(width * pixel_shape))
    return width


def _orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """(swap, flip_x, flip_y) from the display matrix (ISO/IEC 14496-12, 8.3.2): x' = a x + c y, y' = b x + d y."""
    from av.sidedata.sidedata import Type

    # PyAV's stubs call it a dictionary; it is a sequence of buffers with a type.
    sides: Any = frame.side_data
    for data in sides:
        if data.type == Type.DISPLAYMATRIX and len(raw := bytes(data)) >= 36:
            a, b, _, c, d = (int(v) for v in np.frombuffer(raw[:20], dtype=np.int32))
            if abs(b) + abs(c) > abs(a) + abs(d):
                return True, c < 0, b < 0
            return False, a < 0, d < 0
    return False, False, False


def is_hdr(frame: VideoFrame) -> bool:
    """Whether the frame is stored in one of the two HDR curves."""
    return frame.color_trc in (PQ, HLG)


def upright_rgb(frame: VideoFrame, geometry: Geometry, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """Convert one decoded frame.

    swscale knows bit depth, chroma subsampling, range and matrix. Where the file names no matrix, the one that players
    assume is taken: BT.709 from 720 lines or 1280 columns up, BT.601 below. HDR (PQ, HLG) is tone-mapped.

    Returns:
        H×W×3 uint8 of ``geometry.upright``, contiguous. Frames of another size (the clip changes it midway) are scaled.
    """
    options: dict[str, Any] = {}
    if frame.colorspace == _UNSPECIFIED:
        options["src_colorspace"] = "ITU709" if frame.height >= 720 or frame.width >= 1280 else "ITU601"
    hdr = is_hdr(frame)
    options["format"] = "rgb48le" if hdr else "rgb24"
    rgb = reformatter.reformat(frame, width=geometry.width, height=geometry.height, **options)
    pixels: NDArray[Any] = rgb.to_ndarray()
    if hdr:
        pixels = to_sdr(pixels, frame.color_trc, frame.color_primaries)
    if geometry.swap:
        pixels = pixels.transpose(1, 0, 2)
    if geometry.flip_x:
        pixels = pixels[:, ::-1]
    if geometry.flip_y:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
