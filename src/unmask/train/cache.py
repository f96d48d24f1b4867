"""Decoded faces with their surroundings in one memory-mapped file, so that a sample costs no decoding."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.base.errors import DataError, UnmaskError
from unmask.base.files import replacing, write_text
from unmask.data.manifest import Manifest
from unmask.faces.crop import crop_square
from unmask.faces.types import Box
from unmask.media import open_media

SURROUNDINGS = 2.2
"""Side of a cached region over the longer side of the box: room for margins up to 1.55, moves and turns."""

LARGEST_FACE = 320
"""A larger face is reduced to this many pixels; crops are at most 224, so nothing that is looked at gets lost."""


@dataclass(frozen=True)
class Region:
    """One cached face.

    Attributes:
        pixels: H×W×3 uint8 RGB.
        box: The face in pixels of ``pixels``.
        landmarks: 5×2 float32 in the same, or None.
    """

    pixels: NDArray[np.uint8]
    box: Box
    landmarks: NDArray[np.float32] | None


class RegionCache:
    """The regions of a manifest's rows, in order; safe to open from several processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        index = np.load(folder / "index.npz")
        self._offsets, self._shapes = index["offsets"], index["shapes"]
        self._boxes, self._points = index["boxes"], index["points"]
        self._data: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self._offsets)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_data": None}

    def __getitem__(self, index: int) -> Region:
        if self._data is None:
            self._data = np.memmap(self._folder / "regions.bin", np.uint8, mode="r")
        height, width = (int(side) for side in self._shapes[index])
        start = int(self._offsets[index])
        pixels = self._data[start : start + height * width * 3].reshape(height, width, 3)
        x0, y0, x1, y1 = (float(value) for value in self._boxes[index])
        points = self._points[index]
        return Region(pixels, (x0, y0, x1, y1), None if np.isnan(points).any() else points)


def build_cache(
    manifest: Manifest, folder: Path, *, threads: int = 2, progress: Callable[[int, int], None] | None = None
) -> RegionCache:
    """Decode every row's face region, unless ``folder`` already holds these very rows.

    Args:
        manifest: Rows with faces only.
        folder: Of its own, outside the data; about 150 KB a row.
        threads: Pictures decoded at a time.
        progress: Called with (done, all).

    Raises:
        DataError: A row's picture is missing or cannot be read.
    """
    files = manifest.files()
    rows = manifest.table.select("x0", "y0", "x1", "y1", "landmarks").rows()
    key = hashlib.sha256(json.dumps([[str(f), *map(str, row)] for f, row in zip(files, rows, strict=True)]).encode())
    stamp = f"1 {SURROUNDINGS} {LARGEST_FACE} {key.hexdigest()}"
    marker = folder / "complete.txt"
    if marker.is_file() and marker.read_text(encoding="utf-8") == stamp:
        return RegionCache(folder)
    marker.unlink(missing_ok=True)
    for file in files:
        if not file.is_file():
            raise DataError("is named by the manifest, but is not there", path=str(file), hint="Give --root NAME=DIR")
    offsets, shapes, boxes, points = [], [], [], []
    position = 0
    with (
        replacing(folder / "regions.bin") as temporary,
        temporary.open("wb") as out,
        ThreadPoolExecutor(threads) as pool,
    ):
        # In portions: map() would decode everything ahead of a slow disk and hold it.
        for start in range(0, len(files), 64):
            part = range(start, min(start + 64, len(files)))
            for region in pool.map(lambda i: _region(files[i], rows[i]), part):
                out.write(np.ascontiguousarray(region.pixels).tobytes())
                offsets.append(position)
                shapes.append(region.pixels.shape[:2])
                boxes.append(region.box)
                points.append(region.landmarks if region.landmarks is not None else np.full((5, 2), np.nan))
                position += region.pixels.size
            if progress:
                progress(part.stop, len(files))
    with replacing(folder / "index.npz") as temporary:
        np.savez(
            temporary,
            offsets=np.array(offsets, np.int64),
            shapes=np.array(shapes, np.int64),
            boxes=np.array(boxes, np.float32),
            points=np.array(points, np.float32),
        )
    write_text(marker, stamp)
    return RegionCache(folder)


def _region(file: Path, row: tuple[Any, ...]) -> Region:
    try:
        image = read_rgb(file)
    except (UnmaskError, OSError, ValueError) as error:
        raise DataError(f"cannot be read as a picture: {error}", path=str(file)) from error
    return cut_region(image, tuple(row[:4]), row[4])


def cut_region(image: NDArray[np.uint8], box: Box, landmarks: list[float] | None) -> Region:
    """The face with its surroundings, its face at most :data:`LARGEST_FACE` pixels."""
    height, width = image.shape[:2]
    left, top, right, bottom = crop_square(box, SURROUNDINGS, width, height)
    x, y = int(left), int(top)
    pixels = image[y : int(np.ceil(bottom)), x : int(np.ceil(right))]
    scale = min(1.0, LARGEST_FACE / max(box[2] - box[0], box[3] - box[1], 1.0))
    across, down = 1.0, 1.0
    if scale < 1.0:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        across, down = size[0] / pixels.shape[1], size[1] / pixels.shape[0]
        pixels = np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BILINEAR))
    moved = ((box[0] - x) * across, (box[1] - y) * down, (box[2] - x) * across, (box[3] - y) * down)
    points = None
    if landmarks is not None:
        points = (np.array(landmarks, np.float32).reshape(5, 2) - (x, y)) * np.array([across, down], np.float32)
        points = points.astype(np.float32)
    return Region(pixels, moved, points)


def read_rgb(file: Path) -> NDArray[np.uint8]:
    """The upright RGB pixels of a picture, H×W×3 uint8, read as every other part of unmask reads it."""
    with open_media(str(file)) as media:
        return next(iter(media.frames())).image
