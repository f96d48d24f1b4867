"""Decoded faces with their surroundings in one memory-mapped file, so that a sample costs no decoding.

What is kept lies in a folder of its own for each set of rows and each way to cut them: ``CACHE/train/NAME`` and
``CACHE/val/NAME``, NAME a hash of the files with their sizes and times, of the boxes and of the cut. A folder that is
complete is never changed, so that several runs may share a cache whatever their recipes and manifests are. None is
deleted either, as nobody here knows who else needs it: to have the room back, delete the cache folder, or one NAME,
while no run is under way. What a run needs again is read again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from unmask.base.errors import DataError, causes, first_line
from unmask.base.files import is_full, replacing, write_text
from unmask.data.manifest import Manifest
from unmask.faces.crop import crop_face, crop_square
from unmask.faces.types import Box, CropSpec
from unmask.media import open_media
from unmask.train.recipe import KEPT_SIDE

LARGEST_FACE = 320
"""A larger face is reduced to this many pixels where crops are of 224 or less; see :func:`largest_face`."""

_NAMES = """
EIO EREMOTEIO ENXIO ENODEV EBUSY ESTALE ENOENT ELOOP EACCES EPERM EMFILE ENFILE EAGAIN EINTR
ETIMEDOUT ENOTCONN ECONNRESET ECONNABORTED EHOSTDOWN EHOSTUNREACH ENETUNREACH
"""
_PASSES = {getattr(errno, name) for name in _NAMES.split() if hasattr(errno, name)}
"""What the system says of a disk, a network or a permission. Decoders say other things of a damaged picture."""

_PAUSES = (0.3, 2.0)
"""Seconds before a picture that the system did not give is asked for again."""


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
        folder: Where they lie.
        kept: For each region the number of its row.
        skipped: The rows that could not be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = np.load(folder / "index.npz")
        self._offsets, self._shapes = index["offsets"], index["shapes"]
        self._boxes, self._points = index["boxes"], index["points"]
        self._data: NDArray[np.uint8] | None = None
        self.kept, self.skipped = _read_kept(folder)

    def __len__(self) -> int:
        return len(self._offsets)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_data": None}

    def __getitem__(self, index: int) -> Region:
        if self._data is None:
            self._data = np.memmap(self.folder / "regions.bin", np.uint8, mode="r")
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
        kept, skipped, folder: As in :class:`RegionCache`.
    """

    crops: NDArray[np.uint8]
    kept: list[int]
    skipped: list[Skipped]
    folder: Path


Progress = Callable[[int, int], None]


def largest_face(size: int) -> int:
    """Pixels that a face is kept with where crops have a side of ``size``.

    Ten sevenths of it: even a crop that is zoomed in and of the face alone is then reduced, not enlarged, and nothing
    that is looked at gets lost. Never less than :data:`LARGEST_FACE`, since recompression and the like are done at the
    size that is kept.
    """
    return max(LARGEST_FACE, -(-10 * size // 7))


def build_cache(
    manifest: Manifest,
    folder: Path,
    *,
    largest: int = LARGEST_FACE,
    threads: int = 2,
    progress: Progress | None = None,
) -> RegionCache:
    """Decode every row's face region, unless ``folder`` already holds these very rows, cut like that.

    Args:
        manifest: Rows with faces only.
        folder: Outside the data; a folder in it is made for these rows. About 150 KB a row.
        largest: See :func:`largest_face`.
        threads: Pictures decoded at a time.
        progress: Called with (done, all).

    Returns:
        The regions of the rows that can be read; the others are named in ``skipped``.

    Raises:
        DataError: Pictures are missing, none can be read, or the system does not give one of them (asked three times):
            that is no damage to be remembered, and the next run shall not go without the picture.
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
        return cut_region(read_rgb(file), (row[0], row[1], row[2], row[3]), row[4], largest)

    return RegionCache(_build(manifest, folder, f"2 {KEPT_SIDE} {largest}", region, write, threads, progress))


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

    place = _build(manifest, folder, f"2 {spec.model_dump_json()}", crop, write, threads, progress)
    kept, skipped = _read_kept(place)
    shape = (len(kept), spec.size, spec.size, 3)
    return CropCache(np.memmap(place / "crops.bin", np.uint8, mode="r", shape=shape), kept, skipped, place)


def others(folder: Path, used: Path) -> int:
    """Bytes that ``folder``, as given to :func:`build_cache`, holds besides what lies in ``used``."""
    found = 0
    for file in folder.rglob("*"):
        if used not in file.parents:
            # Another run may be about to rename it.
            with suppress(OSError):
                found += file.stat().st_size if file.is_file() else 0
    return found


_Made = TypeVar("_Made")


def _build(
    manifest: Manifest,
    folder: Path,
    version: str,
    make: Callable[[Path, tuple[Any, ...]], _Made],
    write: Callable[[Path, Iterator[_Made]], None],
    threads: int,
    progress: Progress | None,
) -> Path:
    """Fill the folder of these rows, or see that it is filled; the folder."""
    files = manifest.files()
    rows = manifest.table.select("x0", "y0", "x1", "y1", "landmarks").rows()
    place = folder / _name(version, manifest, files, rows)
    marker = place / "complete.txt"
    place.mkdir(parents=True, exist_ok=True)
    # Two runs may want the same rows, and so may the machines of one run: one reads, the others wait.
    with FileLock(place / ".lock"):
        if marker.is_file():
            return place
        for left in place.iterdir():  # by one that was killed
            if left.name != ".lock":
                left.unlink()
        kept: list[int] = []
        skipped: list[Skipped] = []

        def attempt(index: int) -> _Made | Skipped:
            try:
                return _asked_again(lambda: make(files[index], rows[index]), files[index])
            # A damaged file may break a decoder in any way; one picture of thousands must not end the run.
            except Exception as error:
                if isinstance(error, _NotGivenError) or (isinstance(error, OSError) and is_full(error)):
                    raise
                return Skipped(str(files[index]), first_line(error).removeprefix(f"{files[index]}: "))

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

        write(place, readable())
        if not kept:
            raise DataError(f"none of {len(files)} pictures can be read: {skipped[0].reason}", path=skipped[0].file)
        bad = [asdict(one) for one in skipped]
        write_text(place / "kept.json", json.dumps({"kept": kept, "skipped": bad}))
        write_text(marker, version)
    return place


def _name(version: str, manifest: Manifest, files: list[Path], rows: list[tuple[Any, ...]]) -> str:
    """A hash of all that the pixels depend on."""
    try:
        facts = {file: file.stat() for file in dict.fromkeys(files)}
    except FileNotFoundError:
        manifest.require_files("the manifest")
        raise
    told = [
        [str(file), facts[file].st_size, facts[file].st_mtime_ns, *map(str, row)]
        for file, row in zip(files, rows, strict=True)
    ]
    return hashlib.sha256(json.dumps([version, told]).encode()).hexdigest()[:32]


class _NotGivenError(DataError):
    """The system did not give a picture."""


def _asked_again(make: Callable[[], _Made], file: Path) -> _Made:
    for pause in (*_PAUSES, None):
        try:
            return make()
        except Exception as error:
            reason = _of_the_system(error)
            if reason is None:
                raise
            if pause is None:
                raise _NotGivenError(
                    f"cannot be had: {(reason.strerror or str(reason)).lower()}",
                    path=str(file),
                    hint="This is no damage of the picture: look at disk, network and permissions and start again. "
                    "One that cannot be had any more has to leave the manifest",
                ) from error
            time.sleep(pause)
    raise AssertionError


def _of_the_system(error: BaseException) -> OSError | None:
    """The error of the system behind one, if any; FFmpeg uses the same numbers for what is damaged."""
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in _PASSES and not type(cause).__module__.startswith("av."):
            return cause
    return None


def _read_kept(folder: Path) -> tuple[list[int], list[Skipped]]:
    stored = json.loads((folder / "kept.json").read_text(encoding="utf-8"))
    return stored["kept"], [Skipped(**one) for one in stored["skipped"]]


def cut_region(
    image: NDArray[np.uint8], box: Box, landmarks: list[float] | None, largest: int = LARGEST_FACE
) -> Region:
    """The face with its surroundings, its face at most ``largest`` pixels."""
    height, width = image.shape[:2]
    left, top, right, bottom = crop_square(box, KEPT_SIDE, width, height)
    x, y = int(left), int(top)
    pixels = image[y : int(np.ceil(bottom)), x : int(np.ceil(right))]
    scale = min(1.0, largest / max(box[2] - box[0], box[3] - box[1], 1.0))
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
