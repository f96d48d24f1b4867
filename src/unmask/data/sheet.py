"""A contact sheet of a manifest: for each source and label a row of faces, as training would see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unmask.base.errors import UnmaskError
from unmask.base.files import replacing
from unmask.data.manifest import BOX, Manifest
from unmask.faces.crop import crop_face
from unmask.faces.types import CropSpec
from unmask.media import open_media

_SIDE, _GAP, _HEAD, _FOOT = 128, 6, 28, 18
_GROUND, _INK, _FAINT, _EMPTY = (24, 26, 30), (236, 238, 242), (150, 156, 166), (52, 55, 62)
_LABELS = {0: ("real", (64, 160, 110)), 1: ("fake", (214, 92, 72))}
_MOST_BANDS = 60
_SPEC = CropSpec(margin=1.3, size=_SIDE)


def contact_sheet(manifest: Manifest, file: Path, *, each: int = 10, seed: int = 0) -> int:
    """Write a sheet as PNG: a band a source and label, with the method (of fakes) and the split below each face.

    Faces are drawn by chance from different groups, and of the methods of a source in turn. Rows without a face show
    the whole picture; a file that is not there or cannot be read is an empty place that says so.

    Args:
        manifest: What is shown.
        file: Where it goes; replaced whole or not at all.
        each: Faces a band.
        seed: Of the choice.

    Returns:
        Bands that were left out because there are more than 60.
    """
    keys = manifest.table.select("source", "label").unique().sort("source", "label").rows()
    bands = [_band(manifest, source, label, each, seed) for source, label in keys[:_MOST_BANDS]]
    width = _GAP + each * (_SIDE + _GAP)
    sheet = Image.new("RGB", (width, max(_HEAD, sum(band.height for band in bands) + _GAP)), _GROUND)
    top = 0
    for band in bands:
        sheet.paste(band, (0, top))
        top += band.height
    with replacing(file) as temporary:
        sheet.save(temporary, "PNG")
    return max(0, len(keys) - _MOST_BANDS)


def _band(manifest: Manifest, source: str, label: int, each: int, seed: int) -> Image.Image:
    rows = manifest.table.filter((manifest.table["source"] == source) & (manifest.table["label"] == label))
    chosen = _choose(rows.to_dicts(), each, seed)
    band = Image.new("RGB", (_GAP + each * (_SIDE + _GAP), _HEAD + _SIDE + _FOOT + _GAP), _GROUND)
    draw = ImageDraw.Draw(band)
    name, colour = _LABELS[label]
    draw.rectangle((_GAP, 9, _GAP + 9, 18), fill=colour)
    title = f"{name}   {source}   {rows.height:,} rows"
    draw.text((_GAP + 18, 14), _fitting(title, band.width - 30, 15), _INK, _font(15), anchor="lm")
    for number, row in enumerate(chosen):
        left = _GAP + number * (_SIDE + _GAP)
        tile = _face(manifest, row)
        if isinstance(tile, str):
            draw.rectangle((left, _HEAD, left + _SIDE - 1, _HEAD + _SIDE - 1), fill=_EMPTY)
            draw.text((left + _SIDE / 2, _HEAD + _SIDE / 2), tile, _FAINT, _font(12), anchor="mm")
        else:
            band.paste(tile, (left + (_SIDE - tile.width) // 2, _HEAD + (_SIDE - tile.height) // 2))
        words = [row["split"]] if label == 0 else [row["split"], row["method"]]
        text = _fitting(" · ".join(words), _SIDE, 12)
        draw.text((left, _HEAD + _SIDE + _FOOT / 2), text, _FAINT, _font(12), anchor="lm")
    return band


def _choose(rows: list[dict[str, Any]], each: int, seed: int) -> list[dict[str, Any]]:
    """Rows of different groups first, the methods in turn."""
    order = np.random.default_rng(seed).permutation(len(rows))
    by_method: dict[str, list[dict[str, Any]]] = {}
    groups: set[str] = set()
    later: list[dict[str, Any]] = []
    for index in order:
        row = rows[int(index)]
        if row["group"] in groups:
            later.append(row)
            continue
        groups.add(row["group"])
        by_method.setdefault(row["method"], []).append(row)
    chosen: list[dict[str, Any]] = []
    queues = [by_method[method] for method in sorted(by_method)]
    while len(chosen) < each and any(queues):
        chosen += [queue.pop(0) for queue in queues if queue]
    return (chosen + later)[:each]


def _face(manifest: Manifest, row: dict[str, Any]) -> Image.Image | str:
    """The picture of a row, or the word for why there is none."""
    path = manifest.file(row)
    if not path.is_file():
        return "not there"
    try:
        with open_media(path) as media:
            image = next(iter(media.frames(max_frames=1))).image
    except (UnmaskError, StopIteration):
        return "unreadable"
    box = tuple(row[name] for name in BOX)
    if None not in box:
        return Image.fromarray(crop_face(image, (box[0], box[1], box[2], box[3]), _SPEC))
    whole = Image.fromarray(image)
    whole.thumbnail((_SIDE, _SIDE))
    return whole


def _fitting(text: str, width: int, size: int) -> str:
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    font = _font(size)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _font(size: int) -> Any:
    return ImageFont.load_default(size)
