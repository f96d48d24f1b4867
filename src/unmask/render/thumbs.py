"""Small JPEG pictures as ``data:`` addresses, with a limit on what one document may hold."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from unmask.base.errors import UnmaskError
from unmask.render.annotate import draw_faces
from unmask.render.colours import MAP_RANGE, overlay
from unmask.render.sinks import Origin
from unmask.report import Evidence, Report

THUMBNAIL = 720
CROP = 176


class Budget:
    """Bytes that pictures may still take; past it they are left out, and counted."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.left_out = 0

    def take(self, picture: Image.Image, quality: int) -> str | None:
        """A ``data:image/jpeg`` address, or None when nothing is left."""
        if self.left <= 0:
            self.left_out += 1
            return None
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, optimize=True)
        text = base64.b64encode(buffer.getvalue()).decode("ascii")
        self.left -= len(text)
        return f"data:image/jpeg;base64,{text}"


def thumbnail(report: Report, origin: Origin) -> Image.Image | None:
    """The picture with its boxes, at most :data:`THUMBNAIL` pixels long; None where the file is not at hand any more.

    A file whose SHA-256 differs from the report's is another one and is not shown. Nor is what a report without one
    names: whoever wrote the report could have any picture of this machine shown.
    """
    if report.media is None or report.media.kind != "picture":
        return None
    if origin is None and not report.sha256:
        return None
    source: Path | bytes = origin if origin is not None else Path(report.path)
    try:
        if isinstance(source, Path) and not source.is_file():
            return None
        from unmask.media import open_media

        with open_media(source) as media:
            if media.info.kind != "picture" or (report.sha256 and media.sha256 != report.sha256):
                return None
            image = next(iter(media.frames())).image
    except (UnmaskError, OSError, ValueError):
        return None
    return boxed(image, report)


def boxed(image: NDArray[np.uint8], report: Report, longest: int = THUMBNAIL) -> Image.Image:
    """A picture reduced to ``longest`` pixels, with boxes and labels."""
    height, width = image.shape[:2]
    factor = min(1.0, longest / max(height, width))
    if max(height, width) < longest / 2:
        factor = longest / 2 / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    picture = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    draw_faces(picture, report.faces, factor)
    return picture


def crop_pair(evidence: Evidence, map_range: tuple[float, float] = MAP_RANGE) -> Image.Image:
    """What the network saw, and beside it the same with the evidence map: one picture of two squares."""
    size = (CROP, CROP)
    plain = Image.fromarray(evidence.crop).resize(size, Image.Resampling.BICUBIC)
    mapped = Image.fromarray(overlay(np.asarray(plain), evidence.map, map_range))
    pair = Image.new("RGB", (2 * CROP + 4, CROP), (255, 255, 255))
    pair.paste(plain, (0, 0))
    pair.paste(mapped, (CROP + 4, 0))
    ImageDraw.Draw(pair).rectangle((CROP, 0, CROP + 3, CROP), fill=(128, 128, 128))
    return pair
