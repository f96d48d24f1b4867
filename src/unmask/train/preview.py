"""What a recipe's augmentation makes of faces, on one sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image, ImageDraw, ImageFont

from unmask.base.errors import DataError
from unmask.base.files import replacing
from unmask.data.manifest import BOX, Manifest
from unmask.faces.crop import crop_face
from unmask.faces.types import Box
from unmask.train.augment import augment
from unmask.train.cache import cut_region, largest_face, read_rgb
from unmask.train.recipe import Recipe

_CELL, _GAP, _HEAD, _SIDE = 128, 4, 22, 110
_GROUND, _INK = (24, 26, 30), (236, 238, 242)


def augment_preview(recipe: Recipe, manifest: Manifest, file: Path, *, faces: int = 8, variants: int = 7) -> int:
    """Write a contact sheet: a line for each face, first as it is judged, then as training varies it.

    Blends made on the fly (``sampling``) are not shown: along a line it is the same face.

    Args:
        recipe: Its ``augment``, ``crop`` and ``seed`` count.
        manifest: Training rows are taken, where there are any, as many real as fake.
        file: The sheet, a PNG; written whole or not at all.
        faces: Lines, at most.
        variants: Varied crops in each.

    Returns:
        Number of lines.

    Raises:
        DataError: The manifest has no faces, or a picture cannot be read.
    """
    rows = _rows(manifest, faces, recipe.seed)
    width = _SIDE + (1 + variants) * (_CELL + _GAP)
    sheet = Image.new("RGB", (width, _HEAD + len(rows) * (_CELL + _GAP)), _GROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    draw.text((_SIDE, 4), "as judged", _INK, font)
    draw.text((_SIDE + _CELL + _GAP, 4), f"as training varies it: {recipe.name}, {recipe.crop.size} px", _INK, font)
    for line, row in enumerate(rows):
        top = _HEAD + line * (_CELL + _GAP)
        draw.text((_GAP, top + 4), "fake" if row["label"] else "real", _INK, font)
        draw.text((_GAP, top + 20), str(row["source"])[:16], _INK, font)
        for place, crop in enumerate(_line(recipe, manifest, row, line, variants)):
            cell = Image.fromarray(crop).resize((_CELL, _CELL), Image.Resampling.BILINEAR)
            sheet.paste(cell, (_SIDE + place * (_CELL + _GAP), top))
    with replacing(file) as temporary:
        sheet.save(temporary, "PNG")
    return len(rows)


def _rows(manifest: Manifest, faces: int, seed: int) -> list[dict[str, Any]]:
    chosen = manifest.select("train", with_face=True)
    table = (chosen if len(chosen) else manifest.select(None, with_face=True)).table
    if not len(table):
        raise DataError("the manifest has no faces", hint="See the counts with: unmask data show MANIFEST")
    shuffled = table.sample(fraction=1.0, shuffle=True, seed=seed)
    real, fake = (shuffled.filter(pl.col("label") == label).to_dicts() for label in (0, 1))
    half = max(1, faces // 2)
    # Where one label has too few, the other fills up.
    taken = real[: max(half, faces - len(fake))], fake[: max(half, faces - len(real))]
    return [*taken[0], *taken[1]][:faces] if faces > 1 else (real or fake)[:1]


def _line(recipe: Recipe, manifest: Manifest, row: dict[str, Any], line: int, variants: int) -> list[Any]:
    picture = read_rgb(manifest.file(row))
    x0, y0, x1, y1 = (float(row[name]) for name in BOX)
    box: Box = (x0, y0, x1, y1)
    region = cut_region(picture, box, None, largest_face(recipe.crop.size))
    crops = [crop_face(picture, box, recipe.crop)]
    for variant in range(variants):
        rng = np.random.default_rng([recipe.seed, 5, line, variant])
        crops.append(augment(region.pixels, region.box, recipe.crop.size, recipe.augment, rng))
    return crops
