"""From a folder of pictures and clips to a manifest: read, find faces in parallel, split, write."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image, ImageOps

from unmask.base.errors import DataError, MediaError, UnmaskError, UsageError
from unmask.base.files import write_text
from unmask.base.ort import usable_cpus
from unmask.data.clips import cut_surroundings, sample, store
from unmask.data.detect import choose_face, open_backend
from unmask.data.items import CLIPS, PICTURES, Item, LeftOut, ReadOptions
from unmask.data.journal import Journal
from unmask.data.layouts import layout_named
from unmask.data.layouts.splits import read_splits
from unmask.data.manifest import SCHEMA, Manifest
from unmask.data.splits import assign_splits
from unmask.faces.types import Face, FaceBackend

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Summary:
    """What :func:`prepare` did.

    Attributes:
        file: The manifest.
        manifest: The same, read.
        layout: Name of the layout that was read.
        left_out: What gave no row, and why.
    """

    file: Path
    manifest: Manifest
    layout: str
    left_out: list[LeftOut]

    @property
    def no_face(self) -> int:
        """Rows in which no face was found; they are in the manifest without a box."""
        return self.manifest.table["x0"].null_count()

    @property
    def reasons(self) -> dict[str, int]:
        """How many were left out for each reason, most first."""
        return dict(Counter(item.reason for item in self.left_out).most_common())


def prepare(
    layout: str,
    src: Path,
    out: Path,
    *,
    splits: Path | None = None,
    faces: str = "default",
    jobs: int | None = None,
    frames: int = 16,
    fps: float | None = None,
    fraction: float = 0.15,
    seed: int = 0,
    options: ReadOptions | None = None,
    suffix: str = ".parquet",
    on_progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Make ``out/manifest.parquet`` of a data set.

    Pictures stay where they are. Frames of clips are stored below ``out/frames``. What was done is kept in
    ``out/faces.jsonl``: an interrupted run goes on where it was, and a later run looks only at what is new.

    Args:
        layout: A name of :func:`unmask.data.layouts.layouts`, or ``auto``.
        src: The data set's folder; nothing is written there.
        out: Where the manifest goes.
        splits: A ``splits.csv``; its label, split, group, source and method win, files it does not name are left out.
        faces: Face backend: ``default``, ``dlib``, ``yunet:FILE``, ``none``.
        jobs: Pictures looked at side by side; default: the processors.
        frames: Frames of each clip, spread evenly.
        fps: Frames a second of each clip instead.
        fraction: Share of the groups that goes to validation, and to test, where nothing else says so.
        seed: Of the split.
        options: Class names and source name.
        suffix: ``.parquet`` or ``.csv``.
        on_progress: Called with (done, all) files.

    Raises:
        UsageError: An argument is out of range.
        DataError: The folder does not have this layout, or nothing in it could be used.
    """
    if not src.is_dir():
        raise DataError("is not a folder", path=str(src), hint="Give the folder that holds the data set")
    if out.resolve().is_relative_to(src.resolve()):
        raise UsageError("OUT lies inside SRC: the next run would read its own frames", hint="Choose another OUT")
    if frames < 1 or (fps is not None and fps <= 0):
        raise UsageError("--frames and --fps must be positive")
    reader = layout_named(layout, src)
    items, left_out = _read(reader.read(src, options or ReadOptions()))
    if splits is not None:
        items, more = _by_splits_file(items, src, splits)
        left_out += more
    backend = open_backend(faces)
    journal = Journal(out / "faces.jsonl", {"faces": faces, "frames": frames, "fps": fps})
    found: dict[str, list[Row]] = {}
    with journal:

        def work(item: Item) -> list[Row]:
            known = journal.get(src, item.path, out)
            return (
                known if known is not None else journal.put(src, item.path, _look(item, src, out, backend, frames, fps))
            )

        for done, (item, result) in enumerate(_parallel(work, items, jobs or usable_cpus()), 1):
            if isinstance(result, UnmaskError):
                left_out.append(LeftOut(item.path, result.message))
            else:
                found[item.path] = result
            if on_progress:
                on_progress(done, len(items))
    kept = assign_splits([item for item in items if item.path in found], fraction=fraction, seed=seed)
    if not kept:
        raise DataError("nothing in it could be used", path=str(src), hint=_reasons(left_out))
    rows = [_row(item, row) for item in kept for row in found[item.path]]
    manifest = Manifest(pl.DataFrame(rows, schema=SCHEMA), {"src": src.resolve(), "out": out.resolve()})
    file = out / f"manifest{suffix}"
    manifest.write(file)
    text = StringIO()
    csv.writer(text).writerows([("path", "reason"), *((item.path, item.reason) for item in left_out)])
    write_text(out / "left_out.csv", text.getvalue())
    return Summary(file, manifest, reader.name, left_out)


def _read(given: Iterable[Item | LeftOut]) -> tuple[list[Item], list[LeftOut]]:
    items, left_out = [], []
    for one in given:
        if isinstance(one, LeftOut):
            left_out.append(one)
        elif Path(one.path).suffix.lower() in PICTURES | CLIPS:
            items.append(one)
        else:
            left_out.append(LeftOut(one.path, "neither picture nor clip by its name"))
    return items, left_out


def _by_splits_file(items: list[Item], src: Path, file: Path) -> tuple[list[Item], list[LeftOut]]:
    """Let a splits file win over what the layout says."""
    named = read_splits(file)
    home = file.parent.resolve()
    kept, left_out = [], []
    for item in items:
        full = (src / item.path).resolve()
        given = named.get(full.relative_to(home).as_posix()) if full.is_relative_to(home) else None
        if given is None:
            left_out.append(LeftOut(item.path, f"not named in {file.name}"))
        else:
            kept.append(replace(given, path=item.path))
    if not kept:
        raise DataError(
            "names no file of this data set",
            path=str(file),
            hint="Its paths are relative to the folder it lies in; the set must lie below that folder",
        )
    return kept, left_out


def _parallel(
    work: Callable[[Item], list[Row]], items: list[Item], jobs: int
) -> Iterator[tuple[Item, list[Row] | UnmaskError]]:
    """Results as they come. Threads are enough: decoding, resizing and the network run outside Python's lock."""
    waiting = iter(items)
    running: dict[Future[list[Row]], Item] = {}
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="prepare")
    try:
        while True:
            # A few jobs ahead, not all at once: an interrupt is to end what runs, not what was never begun.
            for item in islice(waiting, 2 * jobs - len(running)):
                running[pool.submit(work, item)] = item
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                item = running.pop(future)
                try:
                    yield item, future.result()
                except UnmaskError as error:
                    yield item, error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _look(item: Item, src: Path, out: Path, backend: FaceBackend, frames: int, fps: float | None) -> list[Row]:
    """Rows (place, size, face) of one file."""
    if not item.is_clip:
        image = _open_picture(src / item.path)
        return [_facts("src", item.path, image, choose_face(backend.find(image), image.shape[1], image.shape[0]))]
    rows: list[Row] = []
    previous = None
    for frame in sample(src / item.path, frames, fps):
        image = frame.image
        face = choose_face(backend.find(image), image.shape[1], image.shape[0], previous)
        if face is not None:
            previous = face.box
            image, x, y = cut_surroundings(image, face.box)
            shift = np.array([x, y], np.float32)
            x0, y0, x1, y1 = face.box
            points = None if face.landmarks is None else face.landmarks - shift
            face = Face((x0 - x, y0 - y, x1 - x, y1 - y), face.score, points)
        path = f"frames/{item.path}/{frame.index:04d}.png"
        store(image, out / path)
        rows.append(_facts("out", path, image, face) | {"clip": item.path, "time_s": round(frame.time_s, 4)})
    if not rows:
        raise MediaError("holds no frames", path=item.path)
    return rows


def _open_picture(path: Path) -> Any:
    try:
        with Image.open(path) as picture:
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError("cannot be decoded as a picture", path=str(path)) from error


def _facts(root: str, path: str, image: Any, face: Face | None) -> Row:
    row: Row = {"root": root, "path": path, "width": image.shape[1], "height": image.shape[0]}
    if face is not None:
        row |= dict(zip(("x0", "y0", "x1", "y1"), (round(float(value), 2) for value in face.box), strict=True))
        row["face_score"] = round(float(face.score), 4)
        if face.landmarks is not None:
            row["landmarks"] = [round(float(value), 2) for value in face.landmarks.reshape(-1)]
    return row


def _row(item: Item, facts: Row) -> Row:
    given = {name: getattr(item, name) for name in ("label", "split", "group", "source", "method")}
    return dict.fromkeys(SCHEMA) | given | facts


def _reasons(left_out: list[LeftOut]) -> str:
    counted = Counter(item.reason for item in left_out).most_common(3)
    return "; ".join(f"{number} files: {reason}" for reason, number in counted) or "It holds no pictures and no clips"
