"""From a folder of pictures and clips to a manifest: read, find faces in parallel, split, write."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from importlib.resources import files
from io import StringIO
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from unmask import __version__
from unmask.base.errors import DataError, OutputError, UnmaskError, UsageError
from unmask.base.files import sha256_of, write_text
from unmask.base.ort import usable_cpus
from unmask.data.duplicates import merge_near_duplicates
from unmask.data.items import CLIPS, PICTURES, Item, LeftOut, ReadOptions, stays_below
from unmask.data.journal import Journal
from unmask.data.layouts import layout_named
from unmask.data.layouts.splits import read_splits
from unmask.data.look import look_at
from unmask.data.manifest import SCHEMA, Manifest
from unmask.data.splits import assign_splits, check_fraction
from unmask.faces import load_backend
from unmask.render.text import no_formula, printable

Row = dict[str, Any]

FRAMES = 32
"""Frames that are kept of a clip: as many as the usual protocol measures a clip by (Rössler et al., ICCV 2019, and
DeepfakeBench)."""


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
        return int(self.manifest.table["x0"].null_count())

    @property
    def failed(self) -> int:
        """Files that could not be read."""
        return sum(item.failed for item in self.left_out)

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
    device: str = "auto",
    jobs: int | None = None,
    frames: int = FRAMES,
    fps: float | None = None,
    fraction: float = 0.15,
    seed: int = 0,
    near_duplicates: int | None = 2,
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
        faces: Face backend: see :func:`unmask.faces.load_backend`.
        device: Where it runs.
        jobs: Pictures looked at side by side; default: the processors.
        frames: Frames of each clip, spread evenly.
        fps: Frames a second of each clip instead.
        fraction: Share of the groups that goes to validation, and to test, where nothing else says so.
        seed: Of the split.
        near_duplicates: Pictures whose perceptual hashes differ in at most so many of 64 bits come into one group;
            where explicit splits part them, the one nearer to training is left out. None: not looked for. Groups that
            ``splits`` gives keep their names.
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
    check_fraction(fraction)
    options = options or ReadOptions()
    reader = layout_named(layout, src, options)
    items, left_out = _read(reader.read(src, options))
    _check_names(items, options, src)
    if splits is not None:
        items, more = _by_splits_file(items, src, splits)
        left_out += more
    if not items:
        raise DataError("nothing in it could be used", path=str(src), hint=_reasons(left_out))
    # What the layout says is checked before hours go into looking for faces.
    assign_splits(items, fraction=fraction, seed=seed)
    # One thread within a picture: the pictures themselves are looked at side by side.
    backend = load_backend(faces, device=device, threads=1)
    detector = _fingerprint(faces)
    journal = Journal(out / "faces.jsonl", {"faces": faces, "detector": detector, "frames": frames, "fps": fps})
    found: dict[str, list[Row]] = {}
    with journal:

        def work(item: Item) -> list[Row]:
            known = journal.get(src, item.path, out)
            if known is not None:
                return known
            return journal.put(src, item.path, look_at(item.path, src, out, backend, frames=frames, fps=fps))

        for done, (item, result) in enumerate(_parallel(work, items, jobs or usable_cpus()), 1):
            if isinstance(result, UnmaskError):
                left_out.append(LeftOut(item.path, result.message, failed=True))
            else:
                found[item.path] = result
            if on_progress:
                on_progress(done, len(items))
    kept = [item for item in items if item.path in found]
    if near_duplicates is not None:
        hashes = [found[item.path][0]["phash"] for item in kept]
        own_groups = splits is not None or reader.name == "splits"
        kept, more = merge_near_duplicates(kept, hashes, near_duplicates, regroup=not own_groups)
        left_out += more
    kept = assign_splits(kept, fraction=fraction, seed=seed)
    if not kept:
        raise DataError("nothing in it could be used", path=str(src), hint=_reasons(left_out))
    rows = [_row(item, row) for item in kept for row in found[item.path]]
    about = {"layout": reader.name, "faces": faces, "detector": detector, "unmask": __version__}
    manifest = Manifest(pl.DataFrame(rows, schema=SCHEMA), {"src": src.resolve(), "out": out.resolve()}, about)
    file = out / f"manifest{suffix}"
    manifest.write(file)
    text = StringIO()
    csv.writer(text).writerows([("path", "reason", "twin"), *(_cells(item) for item in left_out)])
    write_text(out / "left_out.csv", text.getvalue())
    return Summary(file, manifest, reader.name, left_out)


def _fingerprint(faces: str) -> str:
    """Start of the detector's SHA-256: boxes of another network are not to be taken for those of this one."""
    if faces == "default":
        return hashlib.sha256(files("unmask.faces").joinpath("weights/faces.onnx").read_bytes()).hexdigest()[:16]
    return sha256_of(Path(faces.removeprefix("yunet:")).expanduser())[:16] if faces.startswith("yunet:") else ""


def _read(given: Iterable[Item | LeftOut]) -> tuple[list[Item], list[LeftOut]]:
    items: dict[str, Item] = {}
    left_out = []
    for one in given:
        path = PurePosixPath(one.path)
        if isinstance(one, LeftOut):
            left_out.append(one if _is_text(one.path) else replace(one, path=printable(one.path)))
        # Also names of folders, of which layouts make groups, sources and methods.
        elif not all(_is_text(name) for name in (one.path, one.group, one.source, one.method)):
            left_out.append(LeftOut(printable(one.path), "its name, or that of a folder, is not UTF-8", failed=True))
        elif not stays_below(one.path):
            left_out.append(LeftOut(one.path, "lies outside the folder"))
        elif path.suffix.lower() not in PICTURES | CLIPS:
            left_out.append(LeftOut(one.path, "neither picture nor clip by its name"))
        elif items.setdefault(one.path, one).label != one.label:
            raise DataError(
                "is called real and fake", path=one.path, hint="Correct the table of the data set, or use --splits FILE"
            )
    return list(items.values()), left_out


def _is_text(name: str) -> bool:
    """Whether a table can hold it: of bytes that are no UTF-8, Python makes half characters."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_names(items: list[Item], options: ReadOptions, src: Path) -> None:
    """A name that the user gave and that no folder has is a slip: what it should have named would be missing."""
    seen = {(part.lower(), item.label) for item in items for part in PurePosixPath(item.path).parts[:-1]}
    for label, word, names in ((0, "real", options.real), (1, "fake", options.fake)):
        unused = [name for name in names if (name.lower(), label) not in seen]
        if unused:
            inside = sorted(child.name for child in src.iterdir() if child.is_dir() and not child.name.startswith("."))
            raise DataError(
                f"no folder of {word} pictures is named {', '.join(unused)}",
                path=str(src),
                hint=f"In it are {', '.join(inside[:12]) or 'no folders'}{' ...' if len(inside) > 12 else ''}. Check "
                f"--{word}, and that the layout goes by names of folders, as imagefolder does",
            )


def _by_splits_file(items: list[Item], src: Path, file: Path) -> tuple[list[Item], list[LeftOut]]:
    """Let a splits file win over what the layout says."""
    named = read_splits(file)
    home, top = file.parent.resolve(), src.resolve()
    kept, left_out, met = [], [], set()
    for item in items:
        # As it is called first: what is linked into a set has the name that it has there.
        names = [_below(home, path) for path in (top / item.path, (top / item.path).resolve())]
        name = next((name for name in names if name in named), "")
        if not name:
            left_out.append(LeftOut(item.path, f"not named in {file.name}"))
        else:
            met.add(name)
            kept.append(replace(named[name], path=item.path))
    known = {item.path for item in items}
    for name in named:
        path = _below(top, home / name)
        if name not in met and path and path not in known and not (home / name).is_file():
            left_out.append(LeftOut(path, f"named in {file.name}, but not there"))
    if not kept:
        raise DataError(
            "names no file of this data set",
            path=str(file),
            hint="Its paths are relative to the folder it lies in; the set must lie below that folder",
        )
    return kept, left_out


def _below(folder: Path, path: Path) -> str:
    """``path`` relative to a folder that it lies below, else nothing."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else ""


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
                except OutputError:
                    raise  # the disk is at fault, not the file
                except UnmaskError as error:
                    yield item, error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _cells(item: LeftOut) -> tuple[str, str, str]:
    return no_formula(item.path, "./"), no_formula(item.reason), no_formula(item.twin, "./")


def _row(item: Item, facts: Row) -> Row:
    facts = {name: value for name, value in facts.items() if name in SCHEMA}
    given = {name: getattr(item, name) for name in ("label", "split", "group", "source", "method")}
    return dict.fromkeys(SCHEMA) | given | facts


def _reasons(left_out: list[LeftOut]) -> str:
    counted = Counter(item.reason for item in left_out).most_common(3)
    return "; ".join(f"{number} files: {reason}" for reason, number in counted) or "It holds no pictures and no clips"
