"""The annotated picture: a box, a label and the evidence map on every face, a legend below."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, PngImagePlugin

from unmask.base.files import replacing
from unmask.faces.types import Box
from unmask.render.colours import MAP_RANGE, colour_bar, paint
from unmask.render.labels import draw_label, font, padding, place_labels
from unmask.render.names import MARK
from unmask.render.verdict import LOOKS, score
from unmask.report import FaceResult, Report, Result

_SHORTEST_SIDE = 480
_INK, _GROUND, _FAINT = (233, 236, 241), (22, 24, 29), (164, 171, 182)


def annotate_picture(
    image: NDArray[np.uint8],
    result: Result | Report,
    *,
    map_range: tuple[float, float] = MAP_RANGE,
    show_map: bool = True,
    legend: bool = True,
) -> Image.Image:
    """Draw what was found into a copy of a picture.

    A picture whose longer side is below 480 px is enlarged by a whole factor, since text would not be readable in it;
    the legend adds a strip below, so that nothing of the picture is covered by it.

    Args:
        image: H×W×3 uint8 RGB, upright, as it was analysed.
        result: Its result; of a bare report there are no maps.
        map_range: Logits at the ends of the colour scale; fixed, never stretched to the picture.
        show_map: Lay the evidence maps over the faces.
        legend: Add the strip with verdict and scale.
    """
    report = result.report if isinstance(result, Result) else result
    evidence = result.evidence if isinstance(result, Result) and show_map else []
    factor = max(1, -(-_SHORTEST_SIDE // max(image.shape[:2])))
    height, width = image.shape[0] * factor, image.shape[1] * factor
    if factor > 1:
        canvas = np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
    else:
        canvas = image.copy()
    for one in evidence:
        x0, y0, x1, y1 = (v * factor for v in one.square)
        paint(canvas, one.map, map_range, (x0, y0, x1, y1))
    picture = Image.fromarray(canvas)
    draw_faces(picture, report.faces, factor)
    return _with_legend(picture, report, map_range if evidence else None) if legend else picture


def save_annotated(
    result: Result | Report,
    image: NDArray[np.uint8],
    out_path: Path,
    *,
    map_range: tuple[float, float] = MAP_RANGE,
) -> Path:
    """Write the annotated picture as PNG, whole or not at all.

    Returns:
        ``out_path``.

    Raises:
        OSError: The place cannot be written.
    """
    picture = annotate_picture(image, result, map_range=map_range)
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", MARK)
    with replacing(out_path) as temporary:
        # Level 1: on photographs the file grows by a tenth, the time falls to a third.
        picture.save(temporary, format="PNG", pnginfo=info, compress_level=1)
    return out_path


def font_size(width: int, height: int) -> int:
    """Font size in pixels for a picture of this size."""
    return max(15, round(0.022 * max(width, height)))


def draw_faces(picture: Image.Image, faces: list[FaceResult], factor: float) -> None:
    """Draw boxes and labels into ``picture``, which is ``factor`` times the size that the boxes are meant for."""
    draw = ImageDraw.Draw(picture)
    # The most suspicious faces get the best places; in a crowd the small ones may lose their text.
    order = sorted(faces, key=lambda face: -(face.p_fake or 0.0))
    boxes = [_scaled(face.box, factor) for face in order]
    size = font_size(*picture.size)
    line = max(2, round(size / 7))
    for face, box in zip(order, boxes, strict=True):
        draw_box(draw, box, LOOKS[face.verdict].rgb, line)
    texts = []
    for face in order:
        number = f"{face.id}  " if len(faces) > 1 else ""
        value = score(face.p_fake, missing="")
        texts.append((f"{number}{LOOKS[face.verdict].word}  {value}".rstrip(), f"{number}{value}".rstrip(), number))
    forms = [[text.strip() for text in one if text.strip()] for one in texts]
    for label in place_labels(boxes, forms, size, picture.size):
        draw_label(draw, label.rect[:2], label.text, label.size, LOOKS[order[label.index].verdict].rgb)


def draw_box(draw: ImageDraw.ImageDraw, box: Box, colour: tuple[int, int, int], line: int) -> None:
    """A rectangle with a thin white edge inside, so that it is seen on every ground."""
    x0, y0, x1, y1 = (round(v) for v in box)
    if x1 - x0 < 2 or y1 - y0 < 2:
        x1, y1 = x0 + 2, y0 + 2
    draw.rectangle((x0, y0, x1, y1), outline=colour, width=line)
    edge = line
    if x1 - x0 > 4 * edge and y1 - y0 > 4 * edge:
        draw.rectangle((x0 + edge, y0 + edge, x1 - edge, y1 - edge), outline=(255, 255, 255), width=max(1, line // 3))


def _scaled(box: Box, factor: float) -> Box:
    x0, y0, x1, y1 = (v * factor for v in box)
    return x0, y0, x1, y1


def _with_legend(picture: Image.Image, report: Report, map_range: tuple[float, float] | None) -> Image.Image:
    """Add a strip below: verdict of the file, scale of the maps, model."""
    size = min(font_size(*picture.size), max(12, picture.width // 34))
    row = round(size * 1.9)
    pad = padding(size) * 2
    look = LOOKS[report.verdict]
    value = score(report.p_fake, missing="")
    verdict = f"{look.word}  {value}".rstrip()
    model = f"unmask, {report.model.name} {report.model.version}" if report.model else "unmask"
    notes = f"evidence, not proof · {model}"
    scale_width = round(font(size).getlength("0") * 44) if map_range else 0
    text_width = font(size).getlength(f"{verdict}   {notes}") + 3 * pad
    rows = 1 if text_width + scale_width + pad <= picture.width else 2 if map_range else 1
    result = Image.new("RGB", (picture.width, picture.height + rows * row), _GROUND)
    result.paste(picture, (0, 0))
    draw = ImageDraw.Draw(result)
    y = picture.height + row / 2
    x = pad + draw_swatch(draw, pad, y, size, look.rgb)
    draw.text((x, y), verdict, fill=_INK, font=font(size), anchor="lm")
    x += round(font(size).getlength(verdict)) + pad
    small = max(10, round(size * 0.85))
    if x + font(small).getlength(notes) + pad <= picture.width - (scale_width if rows == 1 else 0):
        draw.text((x, y), notes, fill=_FAINT, font=font(small), anchor="lm")
    if map_range:
        start = pad if rows == 2 else picture.width - scale_width
        _draw_scale(result, draw, start, picture.width - pad, y + (row if rows == 2 else 0), small, map_range)
    return result


def draw_swatch(draw: ImageDraw.ImageDraw, x: int, y: float, size: int, colour: tuple[int, int, int]) -> int:
    """A filled square of a verdict's colour; gives the width it takes."""
    side = round(size * 0.8)
    draw.rectangle((x, y - side / 2, x + side, y + side / 2), fill=colour)
    return side + round(size * 0.5)


def _draw_scale(
    canvas: Image.Image,
    draw: ImageDraw.ImageDraw,
    left: int,
    right: int,
    y: float,
    size: int,
    map_range: tuple[float, float],
) -> None:
    """``speaks for real [scale] speaks for fake`` between two columns; the words shrink away where it is narrow."""
    used = font(size)
    for words in (("speaks for real", "speaks for fake"), ("real", "fake")):
        low, high = f"{words[0]}  {map_range[0]:+g}", f"{map_range[1]:+g}  {words[1]}"
        gap = round(size * 0.6)
        room = right - left - used.getlength(low) - used.getlength(high) - 2 * gap
        if room >= 4 * size:
            break
    else:
        return
    width, height = min(round(room), 12 * size), round(size * 0.8)
    x = right - used.getlength(high) - gap - width - gap - used.getlength(low)
    draw.text((x, y), low, fill=_FAINT, font=used, anchor="lm")
    at = (round(x + used.getlength(low) + gap), round(y - height / 2))
    canvas.paste(colour_bar(width, height, (200, 203, 208)), at)
    draw.text((right, y), high, fill=_FAINT, font=used, anchor="rm")
