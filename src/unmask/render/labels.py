"""Where labels go on a picture: readable, inside it, none over another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from PIL import ImageDraw, ImageFont

from unmask.faces.types import Box

Rect = tuple[int, int, int, int]


@lru_cache(maxsize=32)
def font(size: int) -> Any:
    """Pillow's own scalable font (Aileron), so that pictures look alike on every machine."""
    return ImageFont.load_default(size)


@lru_cache(maxsize=1024)
def text_size(text: str, size: int) -> tuple[int, int]:
    """Width and height of the background of a label, in pixels."""
    pad = padding(size)
    return round(font(size).getlength(text)) + 2 * pad, round(size * 1.32) + pad


def padding(size: int) -> int:
    """Free space left and right of the text."""
    return max(2, round(size * 0.38))


def draw_label(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, ground: tuple[int, int, int]
) -> None:
    """White text on a plain ground, upper left corner at ``at``."""
    width, height = text_size(text, size)
    x, y = at
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=ground)
    draw.text((x + padding(size), y + height / 2), text, fill=(255, 255, 255), font=font(size), anchor="lm")


@dataclass(frozen=True, slots=True)
class Label:
    """A label with its place.

    Attributes:
        index: Which of the boxes it belongs to.
        text: What fits there: the long or the short form.
        size: Font size in pixels.
        rect: x0, y0, x1, y1 of its background; x1 and y1 lie outside.
    """

    index: int
    text: str
    size: int
    rect: Rect


def place_labels(
    boxes: Sequence[Box], texts: Sequence[Sequence[str]], size: int, bounds: tuple[int, int], smallest: int = 10
) -> list[Label]:
    """Find a place for a label at each box.

    Tried in turn: above, below, beside, within the box; first where no other face is covered, then where one is; then
    the shorter text; then a smaller font. A label that would lie on another one everywhere is left out: the colour of
    the box still tells the verdict.

    Args:
        boxes: Boxes in pixels, the most important first.
        texts: For each box its label, longest form first.
        size: Font size in pixels that is tried first.
        bounds: Width and height of the picture.
        smallest: Font size that is still readable.
    """
    placed: list[Label] = []
    faces = [_rect(box) for box in boxes]
    for index, forms in enumerate(texts):
        label = _place(index, forms, size, smallest, faces, [one.rect for one in placed], bounds)
        if label:
            placed.append(label)
    return placed


def _place(
    index: int,
    forms: Sequence[str],
    size: int,
    smallest: int,
    faces: list[Rect],
    taken: list[Rect],
    bounds: tuple[int, int],
) -> Label | None:
    sizes = sorted({size, max(smallest, round(size * 0.75)), smallest}, reverse=True)
    others = faces[:index] + faces[index + 1 :]
    for avoid in (others, []):
        for font_size in sizes:
            for text in forms:
                for rect in _candidates(faces[index], text_size(text, font_size), bounds):
                    if not any(overlap(rect, other) for other in (*taken, *avoid)):
                        return Label(index, text, font_size, rect)
    return None


def _candidates(box: Rect, size: tuple[int, int], bounds: tuple[int, int]) -> list[Rect]:
    """Places around a box, moved into the picture; those that do not fit into it at all are left out."""
    x0, y0, x1, y1 = box
    width, height = size
    if width > bounds[0] or height > bounds[1]:
        return []
    middle = (x0 + x1 - width) // 2
    starts = [
        (x0, y0 - height),
        (x1 - width, y0 - height),
        (x0, y1),
        (x1 - width, y1),
        (middle, y0 - height),
        (middle, y1),
        (x1, y0),
        (x0 - width, y0),
        (x1, y1 - height),
        (x0 - width, y1 - height),
        (x0, y0),
        (x0, y1 - height),
    ]
    places = []
    for x, y in starts:
        left, top = min(max(x, 0), bounds[0] - width), min(max(y, 0), bounds[1] - height)
        places.append((left, top, left + width, top + height))
    return places


def overlap(a: Rect, b: Rect) -> bool:
    """Whether two rectangles share a pixel."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _rect(box: Box) -> Rect:
    x0, y0, x1, y1 = (round(v) for v in box)
    return x0, y0, x1, y1
