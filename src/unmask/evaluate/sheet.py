"""Faces as the network got them, with score, truth and path: the worst errors, or any rows."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image, ImageDraw

from unmask.base.errors import UnmaskError
from unmask.data.manifest import BOX
from unmask.evaluate.predict import read_picture
from unmask.faces import Box
from unmask.faces.crop import crop_face
from unmask.faces.types import CropSpec
from unmask.model import p_text
from unmask.render.labels import font
from unmask.render.text import printable

TILE, GAP, LINES, LINE = 168, 12, 3, 16
_INK, _FAINT, _FAKE, _REAL = (27, 31, 38), (91, 97, 107), (179, 38, 30), (18, 89, 167)


@dataclass(frozen=True)
class Tile:
    """A row with its crop; ``image`` is None where the picture cannot be read any more."""

    row: dict[str, Any]
    image: Image.Image | None

    @property
    def truth(self) -> str:
        """``real`` or ``fake``."""
        return "fake" if self.row["label"] else "real"

    @property
    def score(self) -> str:
        """p_fake for people, or a dash."""
        return "-" if self.row["p_fake"] is None else p_text(self.row["p_fake"])

    def address(self, side: int = TILE) -> str:
        """The crop as a ``data:`` address (JPEG), or an empty text."""
        if self.image is None:
            return ""
        data = io.BytesIO()
        self.image.resize((side, side), Image.Resampling.LANCZOS).save(data, "JPEG", quality=82)
        return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def worst(predictions: pl.DataFrame, count: int = 24) -> pl.DataFrame:
    """Rows on the wrong side of one half, the farthest first; half of them reals, half fakes where there are so many.

    A group (a person, an original, a clip) appears once, else the frames of one clip would fill the page.
    """
    wrong = (
        predictions.filter(pl.col("p_fake").is_not_null())
        .with_columns(far=(pl.col("p_fake") - pl.col("label")).abs())
        .filter(pl.col("far") > 0.5)
        .sort("far", "path", descending=[True, False])
        .unique(["group", "label"], keep="first", maintain_order=True)
    )
    sides = [wrong.filter(pl.col("label") == label) for label in (1, 0)]
    half = count // 2
    room = [count - min(half, sides[1 - place].height) for place in (0, 1)]
    return pl.concat([side.head(max(half, most)) for side, most in zip(sides, room, strict=True)]).drop("far")


def cut(rows: pl.DataFrame, roots: Mapping[str, Path], crop: CropSpec | None) -> list[Tile]:
    """Cut the faces of some rows; ``crop`` None (a detector that gets whole pictures) shows the whole picture."""
    tiles = []
    for row in rows.iter_rows(named=True):
        try:
            image = read_picture(str(roots[row["root"]] / row["path"]))
        except (UnmaskError, OSError, KeyError):
            tiles.append(Tile(row, None))
            continue
        if crop is not None and row["x0"] is not None:
            x0, y0, x1, y1 = (float(row[corner]) for corner in BOX)
            box: Box = (x0, y0, x1, y1)
            picture = Image.fromarray(crop_face(image, box, crop))
        else:
            picture = _square(image)
        tiles.append(Tile(row, picture))
    return tiles


def _square(image: np.ndarray[Any, np.dtype[np.uint8]]) -> Image.Image:
    """A whole picture on a grey square."""
    picture = Image.fromarray(image)
    picture.thumbnail((2 * TILE, 2 * TILE))
    side = max(picture.size)
    ground = Image.new("RGB", (side, side), (230, 233, 238))
    ground.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return ground


def draw(tiles: Sequence[Tile], title: str, columns: int = 6) -> Image.Image:
    """One picture of all tiles, with truth, score, verdict and path under each."""
    columns = max(1, min(columns, len(tiles)))
    rows = -(-len(tiles) // columns)
    height = TILE + LINES * LINE + GAP
    wide = max(columns, 3)
    sheet = Image.new("RGB", (GAP + wide * (TILE + GAP), 40 + rows * height + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, 12), title, fill=_INK, font=font(16))
    for number, tile in enumerate(tiles):
        x, y = GAP + number % columns * (TILE + GAP), 40 + number // columns * height
        if tile.image is None:
            pen.rectangle((x, y, x + TILE - 1, y + TILE - 1), outline=_FAINT)
            pen.text((x + TILE / 2, y + TILE / 2), "not readable", fill=_FAINT, font=font(12), anchor="mm")
        else:
            sheet.paste(tile.image.resize((TILE, TILE), Image.Resampling.LANCZOS), (x, y))
        colour = _FAKE if tile.row["label"] else _REAL
        pen.text((x, y + TILE + 2), f"{tile.truth}, p_fake {tile.score}", fill=colour, font=font(12))
        verdict = str(tile.row["verdict"]).replace("_", " ")
        pen.text((x, y + TILE + 2 + LINE), _fit(f"{verdict}; {tile.row['method']}"), fill=_INK, font=font(12))
        pen.text((x, y + TILE + 2 + 2 * LINE), _fit(tile.row["path"]), fill=_FAINT, font=font(11))
    return sheet


def _fit(text: str) -> str:
    """The end of a text that is as wide as a tile: of a path the end tells more."""
    shown = printable(text)
    if font(11).getlength(shown) <= TILE:
        return shown
    while shown and font(12).getlength(f"…{shown}") > TILE:
        shown = shown[1:]
    return f"…{shown}"
