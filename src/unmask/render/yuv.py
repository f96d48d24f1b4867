"""Drawing straight into the planes of a video frame, so that no frame is converted to RGB and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.faces.types import Box
from unmask.media.color import Geometry

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.reformatter import VideoReformatter

Plane = NDArray[np.uint8]
Colour = tuple[int, int, int]

# FFmpeg's AVCOL_SPC_BT709 and AVCOL_SPC_UNSPECIFIED, AVCOL_RANGE_MPEG
BT709, UNSPECIFIED, LIMITED = 1, 2, 1


def to_yuv(rgb: NDArray[np.uint8], *, bt709: bool) -> tuple[Plane, Plane, Plane]:
    """H×W×3 uint8 RGB, H and W even, to Y (H×W) and U, V (H/2×W/2) of limited range (ITU-R BT.601 or BT.709)."""
    kr, kb = (0.2126, 0.0722) if bt709 else (0.299, 0.114)
    red, green, blue = (rgb[..., i].astype(np.float32) / 255 for i in range(3))
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    planes = [16 + 219 * luma]
    for colour, weight in ((blue, kb), (red, kr)):
        chroma = 128 + 224 * (colour - luma) / (2 * (1 - weight))
        planes.append((chroma[::2, ::2] + chroma[1::2, ::2] + chroma[::2, 1::2] + chroma[1::2, 1::2]) / 4)
    y, u, v = (np.rint(plane).astype(np.uint8) for plane in planes)
    return y, u, v


@dataclass(frozen=True, slots=True)
class Sprite:
    """A small opaque picture in planes; width and height are even."""

    planes: tuple[Plane, Plane, Plane]

    @classmethod
    def of(cls, picture: Image.Image, *, bt709: bool) -> Sprite:
        """From an RGB picture; an odd last row or column is doubled."""
        rgb = np.asarray(picture)
        rgb = np.pad(rgb, ((0, rgb.shape[0] % 2), (0, rgb.shape[1] % 2), (0, 0)), mode="edge")
        return cls(to_yuv(rgb, bt709=bt709))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.planes[0].shape
        return width, height


class Canvas:
    """A new yuv420p frame and its planes.

    Args:
        width: Even.
        height: Even.
    """

    def __init__(self, width: int, height: int) -> None:
        from av import VideoFrame

        self.width, self.height = width, height
        self.frame = VideoFrame(width, height, "yuv420p")
        self.planes = planes_of(self.frame)

    def put(self, planes: list[Plane]) -> None:
        """Copy a picture of nearly this width into the upper left; an odd last row or column is doubled."""
        for target, source in zip(self.planes, planes, strict=True):
            height, width = min(source.shape[0], target.shape[0]), min(source.shape[1], target.shape[1])
            target[:height, :width] = source[:height, :width]
            target[:height, width:] = target[:height, width - 1 : width]

    def extend_down(self, height: int, to: int) -> None:
        """Repeat the last row of a picture of ``height`` rows down to row ``to``."""
        self.planes[0][height:to] = self.planes[0][height - 1]

    def paste(self, sprite: Sprite, x: int, y: int) -> None:
        """Lay a sprite at even coordinates; what reaches over the edge is cut off."""
        x, y = max(0, x & ~1), max(0, y & ~1)
        for target, source, shift in zip(self.planes, sprite.planes, (0, 1, 1), strict=True):
            part = target[y >> shift :, x >> shift :][: source.shape[0], : source.shape[1]]
            part[:] = source[: part.shape[0], : part.shape[1]]

    def fill(self, x0: int, y0: int, x1: int, y1: int, colour: Colour) -> None:
        """Fill a rectangle, cut to the frame; ``colour`` is Y, U, V."""
        x0, y0, x1, y1 = max(0, x0), max(0, y0), min(self.width, x1), min(self.height, y1)
        if x0 >= x1 or y0 >= y1:
            return
        self.planes[0][y0:y1, x0:x1] = colour[0]
        for plane, value in zip(self.planes[1:], colour[1:], strict=True):
            plane[y0 // 2 : (y1 + 1) // 2, x0 // 2 : (x1 + 1) // 2] = value

    def rectangle(self, box: Box, colour: Colour, line: int, bottom: int) -> None:
        """The outline of a box, ``line`` pixels wide, not below row ``bottom``."""
        # Chroma has half the resolution: on even coordinates the lines keep their colour.
        x0, y0, x1, y1 = (round(v / 2) * 2 for v in box)
        for left, top, right, low in (
            (x0, y0, x1, y0 + line),
            (x0, y1 - line, x1, y1),
            (x0, y0, x0 + line, y1),
            (x1 - line, y0, x1, y1),
        ):
            self.fill(left, top, right, min(low, bottom), colour)


def planes_of(frame: VideoFrame) -> list[Plane]:
    """The planes of a yuv420p frame as arrays that share its memory."""
    arrays = []
    for index, plane in enumerate(frame.planes):
        shift = 1 if index else 0
        width, height = -(-frame.width >> shift), -(-frame.height >> shift)
        flat = np.frombuffer(plane, np.uint8)  # type: ignore[call-overload]
        arrays.append(flat.reshape(-1, plane.line_size)[:height, :width])
    return arrays


def upright_planes(
    frame: VideoFrame, geometry: Geometry, factor: int, reformatter: VideoReformatter
) -> tuple[list[Plane], VideoFrame]:
    """The planes of a decoded frame as yuv420p of limited range, upright, with square pixels.

    Most frames are that already, and nothing is converted.

    Args:
        frame: As decoded.
        geometry: See :class:`unmask.media.color.Geometry`.
        factor: Enlarge by so much.
        reformatter: Kept from frame to frame.

    Returns:
        Planes (views where possible) and the frame whose memory they share.
    """
    size = (geometry.width * factor, geometry.height * factor)
    limited = frame.color_range in (0, LIMITED)
    if frame.format.name != "yuv420p" or (frame.width, frame.height) != size or not limited:
        options: dict[str, Any] = {} if limited else {"dst_color_range": "MPEG"}
        if frame.format.name.startswith("rgb"):
            options = {"dst_colorspace": "ITU601", "dst_color_range": "MPEG"}
        frame = reformatter.reformat(frame, width=size[0], height=size[1], format="yuv420p", **options)
    planes = planes_of(frame)
    if geometry.swap:
        planes = [plane.T for plane in planes]
    if geometry.flip_x:
        planes = [plane[:, ::-1] for plane in planes]
    if geometry.flip_y:
        planes = [plane[::-1] for plane in planes]
    return planes, frame
