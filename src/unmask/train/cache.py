"""Decoded faces with their surroundings in one memory-mapped file, so that a sample costs no decoding."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from unmask.base.errors import DataError
from unmask.base.files import is_full, replacing, write_text
from unmask.data.manifest import Manifest
from unmask.faces.crop import crop_face, crop_square
from unmask.faces.types import Box, CropSpec
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


@dataclass(frozen=True)
class Skipped:
    """A picture that cannot be read.

    Attributes:
        file: As the manifest names it, with its root.
        reason: What is wrong with it.
    """

    file: str
    reason: str


class RegionCache:
    """The regions of a manifest's readable rows, in order; safe to open from several processes.

    Attributes:
        kept: For each region the number of its row.
        skipped: The rows that could not be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        index = np.load(folder / "index.npz")
        self._offsets, self._shapes = index["offsets"], index["shapes"]
        self._boxes, self._points = index["boxes"], index["points"]
        self._data: NDArray[np.uint8] | None = None
        self.kept, self.skipped = _read_kept(folder, len(self._offsets))

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


@dataclass(frozen=True)
class CropCache:
    """The crops of a manifest's readable rows as analysis and evaluation cut them.

    Attributes:
        crops: N×S×S×3 uint8, in a file that is mapped.
        kept, skipped: As in :class:`RegionCache`.
    """

    crops: NDArray[np.uint8]
    kept: list[int]
    skipped: list[Skipped]


Progress = Callable[[int, int], None]


def build_cache(manifest: Manifest, folder: Path, *, threads: int = 2, progress: Progress | None = None) -> RegionCache:
    """Decode every row's face region, unless ``folder`` already holds these very rows.

    Args:
        manifest: Rows with faces only.
        folder: Of its own, outside the data; about 150 KB a row.
        threads: Pictures decoded at a time.
        progress: Called with (done, all).

    Returns:
        The regions of the rows that can be read; the others are named in ``skipped``.

    Raises:
        DataError: Pictures are missing, or none can be read.
    """

    def write(folder: Path, regions: Iterator[Region]) -> None:
        offsets, shapes, boxes, points = [], [], [], []
        position = 0
        with replacing(folder / "regions.bin") as temporary, temporary.open("wb") as out:
            for region in regions:
                out.write(np.ascontiguousarray(region.pixels).tobytes())
                offsets.append(position)
                shapes.append(region.pixels.shape[:2])
                boxes.append(region.box)
                points.append(region.landmarks if region.landmarks is not None else np.full((5, 2), np.nan))
                position += region.pixels.size
        with replacing(folder / "index.npz") as temporary:
            np.savez(
                temporary,
                offsets=np.array(offsets, np.int64),
                shapes=np.array(shapes, np.int64),
                boxes=np.array(boxes, np.float32),
                points=np.array(points, np.float32),
            )

    def region(file: Path, row: tuple[Any, ...]) -> Region:
        return cut_region(read_rgb(file), (row[0], row[1], row[2], row[3]), row[4])

    _build(manifest, folder, f"1 {SURROUNDINGS} {LARGEST_FACE}", region, write, threads, progress)
    return RegionCache(folder)


def build_crops(
    manifest: Manifest, spec: CropSpec, folder: Path, *, threads: int = 2, progress: Progress | None = None
) -> CropCache:
    """Cut every row's face out of the picture itself, as analysis and evaluation do; else as :func:`build_cache`."""

    def write(folder: Path, crops: Iterator[NDArray[np.uint8]]) -> None:
        with replacing(folder / "crops.bin") as temporary, temporary.open("wb") as out:
            for crop in crops:
                out.write(crop.tobytes())

    def crop(file: Path, row: tuple[Any, ...]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(crop_face(read_rgb(file), (row[0], row[1], row[2], row[3]), spec))

    _build(manifest, folder, f"1 {spec.model_dump_json()}", crop, write, threads, progress)
    kept, skipped = _read_kept(folder, 0)
    shape = (len(kept), spec.size, spec.size, 3)
    return CropCache(np.memmap(folder / "crops.bin", np.uint8, mode="r", shape=shape), kept, skipped)


_Made = TypeVar("_Made")


def _build(
    manifest: Manifest,
    folder: Path,
    version: str,
    make: Callable[[Path, tuple[Any, ...]], _Made],
    write: Callable[[Path, Iterator[_Made]], None],
    threads: int,
    progress: Progress | None,
) -> None:
    files = manifest.files()
    rows = manifest.table.select("x0", "y0", "x1", "y1", "landmarks").rows()
    key = hashlib.sha256(json.dumps([[str(f), *map(str, row)] for f, row in zip(files, rows, strict=True)]).encode())
    stamp = f"{version} {key.hexdigest()}"
    marker = folder / "complete.txt"
    folder.mkdir(parents=True, exist_ok=True)
    # Two runs may share a folder, and so may the machines of one run.
    with FileLock(folder / ".lock"):
        if marker.is_file() and marker.read_text(encoding="utf-8") == stamp:
            return
        marker.unlink(missing_ok=True)
        manifest.require_files("the manifest")
        kept: list[int] = []
        skipped: list[Skipped] = []

        def attempt(index: int) -> _Made | Skipped:
            try:
                return make(files[index], rows[index])
            # A damaged file may break a decoder in any way; one picture of thousands must not end the run.
            except Exception as error:
                if isinstance(error, OSError) and is_full(error):
                    raise
                reason = next(iter(str(error).splitlines()), "") or type(error).__name__
                return Skipped(str(files[index]), reason.removeprefix(f"{files[index]}: "))

        def readable() -> Iterator[_Made]:
            with ThreadPoolExecutor(threads) as pool:
                # In portions: map() would decode everything ahead of a slow disk and hold it.
                for start in range(0, len(files), 64):
                    part = range(start, min(start + 64, len(files)))
                    for index, made in zip(part, pool.map(attempt, part), strict=True):
                        if isinstance(made, Skipped):
                            skipped.append(made)
                        else:
                            kept.append(index)
                            yield made
                    if progress:
                        progress(part.stop, len(files))

        write(folder, readable())
        if not kept:
            raise DataError(f"none of {len(files)} pictures can be read: {skipped[0].reason}", path=skipped[0].file)
        bad = [asdict(one) for one in skipped]
        write_text(folder / "kept.json", json.dumps({"kept": kept, "skipped": bad}))
        write_text(marker, stamp)


def _read_kept(folder: Path, rows: int) -> tuple[list[int], list[Skipped]]:
    file = folder / "kept.json"
    if not file.exists():  # of a version that knew no skipping
        return list(range(rows)), []
    stored = json.loads(file.read_text(encoding="utf-8"))
    return stored["kept"], [Skipped(**one) for one in stored["skipped"]]


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
