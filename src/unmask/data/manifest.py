"""The manifest: a table that says where every picture lies, what it is and where its face is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from unmask.base.errors import DataError
from unmask.base.files import write_bytes, write_text
from unmask.data.items import SPLITS

VERSION = 1
SCHEMA: dict[str, Any] = {
    "root": pl.String,
    "path": pl.String,
    "label": pl.Int8,
    "split": pl.String,
    "group": pl.String,
    "source": pl.String,
    "method": pl.String,
    "clip": pl.String,
    "time_s": pl.Float64,
    "x0": pl.Float32,
    "y0": pl.Float32,
    "x1": pl.Float32,
    "y1": pl.Float32,
    "face_score": pl.Float32,
    "landmarks": pl.List(pl.Float32),
    "width": pl.Int32,
    "height": pl.Int32,
}
"""Column -> type. Boxes and the five landmarks (x, y, x, y, ...) are pixels of the upright picture at ``path``."""

LEAVES_ROOT = r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z]:|\x00"
"""What :func:`unmask.data.items.stays_below` refuses, for a whole column at once."""
BOX = ("x0", "y0", "x1", "y1")
_NEEDED = ("root", "path", "label", "split", "group", "source", "method")
_KEY = "unmask"
_COMMENT = "#unmask "
_MAKE = "Make one with: unmask data prepare auto FOLDER OUT"


@dataclass(frozen=True)
class Manifest:
    """Rows and the folders they point into.

    Attributes:
        table: Columns of :data:`SCHEMA`; box, ``face_score`` and ``landmarks`` are null where no face was found.
        roots: Name -> folder. ``src`` holds the pictures as given, ``out`` the frames that were stored.
        about: How it was made, as text: ``layout``, ``faces`` (the backend), ``detector`` (start of its SHA-256),
            ``unmask`` (version). Empty where it was written by hand; for several see :func:`join`.
    """

    table: pl.DataFrame
    roots: dict[str, Path]
    about: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path, roots: Mapping[str, Path] | None = None) -> Manifest:
        """Read and check a manifest (``.parquet``, else CSV).

        Args:
            file: The manifest.
            roots: Where folders lie now, by name (``--root NAME=DIR``).

        Raises:
            DataError: It is not a manifest, or breaks one of the rules of :meth:`check`.
        """
        if not file.exists() or file.is_dir():
            inside = file / "manifest.parquet"
            raise DataError(
                "is a folder, not a manifest" if file.is_dir() else "there is no such file",
                path=str(file),
                hint=f"Give {inside}" if inside.is_file() else _MAKE,
            )
        try:
            table, meta = _read_parquet(file) if file.suffix == ".parquet" else _read_csv(file)
        # Of some damage Polars says that it must not happen; that is no Exception.
        except (OSError, ValueError, AttributeError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise DataError(
                f"is not a manifest: {(str(error) or type(error).__name__).splitlines()[0]}",
                path=str(file),
                hint=_MAKE,
            ) from error
        missing = [name for name in _NEEDED if name not in table.columns]
        if missing:
            raise DataError(
                f"column missing: {', '.join(missing)}",
                path=str(file),
                hint=f"A manifest needs {', '.join(_NEEDED)}; docs/data.md shows one. unmask data prepare makes them",
            )
        # A table written by hand names no roots: its paths are then relative to the folder it lies in.
        named = meta.get("roots") or {"src": "."}
        stored = {name: (file.parent / folder).resolve() for name, folder in named.items()}
        unknown = set(roots or {}) - set(stored) - set(table["root"])
        if unknown:
            raise DataError(
                f"has no root named {', '.join(sorted(unknown))}", path=str(file), hint=f"It has {', '.join(stored)}"
            )
        manifest = cls(
            _typed(table, file),
            stored | {name: Path(path) for name, path in (roots or {}).items()},
            meta.get("about", {}),
        )
        manifest.check(str(file))
        return manifest

    def write(self, file: Path) -> None:
        """Write whole or not at all, as Parquet for ``.parquet``, else as CSV; checks first.

        A root at or below the manifest's folder is stored relative to it, so that the folder can be moved.
        """
        self.check(str(file))
        home = file.parent.resolve()
        roots = {
            name: path.resolve().relative_to(home).as_posix()
            if path.resolve().is_relative_to(home)
            else str(path.resolve())
            for name, path in self.roots.items()
        }
        meta = json.dumps({"manifest": VERSION, "roots": roots, "about": self.about})
        if file.suffix == ".parquet":
            # Through memory: what Polars itself says of a full disk is no error of the system any more.
            content = BytesIO()
            self.table.write_parquet(content, metadata={_KEY: meta})
            write_bytes(file, content.getvalue())
        else:
            flat = self.table.with_columns(pl.col("landmarks").list.eval(pl.element().cast(pl.String)).list.join(" "))
            write_text(file, f"{_COMMENT}{meta}\n{flat.write_csv()}")

    def __len__(self) -> int:
        return int(self.table.height)

    def file(self, row: Mapping[str, Any]) -> Path:
        """The file that a row (``table.row(i, named=True)``) points at."""
        return self.roots[str(row["root"])] / str(row["path"])

    def files(self) -> list[Path]:
        """The file of each row, in order."""
        columns = self.table.select("root", "path").iter_rows()
        return [self.roots[root] / path for root, path in columns]

    def missing(self) -> list[Path]:
        """Files that rows point at and that are not there, each once."""
        return [file for file in dict.fromkeys(self.files()) if not file.is_file()]

    def require_files(self, what: str, hint: str = "") -> None:
        """Raise if files are missing.

        Args:
            what: Whose files they are, for the message.
            hint: What can be done besides ``--root``.

        Raises:
            DataError: Some are.
        """
        missing = self.missing()
        if missing:
            raise DataError(
                f"is not there; of {len(set(self.files())):,} files of {what} {len(missing):,} are missing",
                path=str(missing[0]),
                hint=f"Have they moved? Give --root NAME=DIR{hint}",
            )

    def select(self, split: str | None = None, *, with_face: bool = False, where: pl.Expr | None = None) -> Manifest:
        """Rows of one split, only those with a face, or by any Polars expression."""
        table = self.table
        if split is not None:
            table = table.filter(pl.col("split") == split)
        if with_face:
            table = table.filter(pl.col("x0").is_not_null())
        if where is not None:
            table = table.filter(where)
        return Manifest(table, self.roots, self.about)

    def counts(self) -> pl.DataFrame:
        """Rows, rows without a face and clips by source, method, label and split."""
        by = ["source", "method", "label", "split"]
        return (
            self.table.group_by(by)
            .agg(
                pl.len().alias("rows"),
                pl.col("x0").is_null().sum().alias("no_face"),
                pl.col("clip").n_unique().alias("clips") - pl.col("clip").is_null().any().cast(pl.UInt32),
            )
            .sort(by)
        )

    def require(self, splits: Sequence[str] = ("train", "val")) -> None:
        """Check that each of the splits has real and fake rows with a face, as training and evaluation need.

        Raises:
            DataError: A split is empty or has one class only.
        """
        for split in splits:
            labels = set(self.select(split, with_face=True).table["label"])
            if not labels:
                rows = len(self.select(split))
                raise DataError(
                    f"in none of the {rows:,} rows of the split {split!r} a face was found"
                    if rows
                    else f"the split {split!r} has no rows",
                    hint="See the counts with: unmask data show MANIFEST. "
                    + ("" if rows else "Give more pictures, clips or people, a larger --fraction, or --splits FILE"),
                )
            if len(labels) == 1:
                only, other = ("fake", "real") if labels == {1} else ("real", "fake")
                raise DataError(
                    f"the split {split!r} has one class only: all rows are {only}",
                    hint=f"Prepare a set with {other} pictures too and give both manifests",
                )

    def check(self, name: str = "the manifest") -> None:
        """Check what holds for every manifest.

        Raises:
            DataError: Unknown labels, splits or roots, empty fields, paths that leave their root, half boxes, the same
                picture twice, or a group on two sides of a split.
        """
        table = self.table

        def refuse(bad: pl.Expr, what: str, hint: str) -> None:
            rows = table.filter(bad.fill_null(True))
            if rows.height:
                row = rows.row(0, named=True)
                shown = {key: row[key] for key in ("path", "label", "split", "group")}
                raise DataError(f"{what} in {rows.height} row(s), first {shown}", path=name, hint=hint)

        refuse(~pl.col("label").is_in([0, 1]), "unknown label", "0 means real, 1 means fake")
        refuse(~pl.col("split").is_in(SPLITS), "unknown split", f"Use {', '.join(SPLITS)}")
        for column in ("root", "path", "group", "source", "method"):
            refuse(pl.col(column).str.len_bytes() == 0, f"empty {column}", "Every row needs one")
        refuse(
            ~pl.col("root").is_in(list(self.roots)),
            "unknown root",
            f"The manifest names {', '.join(self.roots) or 'none'}",
        )
        refuse(
            pl.col("path").str.contains(LEAVES_ROOT),
            "a path that leaves its root",
            "Paths are relative to a root and stay below it",
        )
        holes = pl.sum_horizontal(*(pl.col(column).is_null() for column in BOX))
        refuse((holes > 0) & (holes < 4), "a box with missing corners", "Give all of x0, y0, x1, y1 or none")
        good = pl.all_horizontal(*(pl.col(column).is_finite() for column in BOX))
        flat = (pl.col("x1") <= pl.col("x0")) | (pl.col("y1") <= pl.col("y0")) | ~good
        refuse((holes == 0) & flat.fill_null(False), "an empty box", "x0 < x1 and y0 < y1, in pixels")
        points = pl.col("landmarks").list.len().fill_null(10) != 10
        refuse(points, "landmarks that are not five points", "Give ten numbers: x, y of each point")
        refuse(pl.struct("root", "path").is_duplicated(), "the same picture twice", "Keep one row for each picture")
        torn = table.group_by("group").agg(pl.col("split").unique().sort()).filter(pl.col("split").list.len() > 1)
        if torn.height:
            group, sides = torn.sort("group").row(0)
            raise DataError(
                f"{torn.height} group(s) on two sides of a split, first {group!r} in {' and '.join(sides)}",
                path=name,
                hint="Rows of one person or original must share one split, or the figures are not to be trusted",
            )


def join(manifests: Iterable[Manifest]) -> Manifest:
    """One manifest of several; roots of the same name and different folders are kept apart.

    What the manifests say of themselves differently is joined by "and"; "unknown" where one does not say it.

    Raises:
        DataError: A group lies on two sides of a split once they are together, or a file is in two of them.
    """
    given = list(manifests)
    if not given:
        raise DataError("no manifest given", hint="Give at least one with --data MANIFEST")
    roots: dict[str, Path] = {}
    taken = {name for manifest in given for name in manifest.roots}
    tables = []
    for number, manifest in enumerate(given):
        names = {}
        for name, folder in manifest.roots.items():
            free = name if roots.get(name, folder) == folder else _free(f"{name}{number}", taken)
            names[name] = free
            taken.add(free)
            roots[free] = folder
        tables.append(manifest.table.with_columns(pl.col("root").replace_strict(names, return_dtype=pl.String)))
    joined = Manifest(pl.concat(tables), roots, _joined_about(given))
    joined.check("the manifests together")
    if len(given) > 1:
        _check_files(given)
    return joined


def _free(name: str, taken: set[str]) -> str:
    return next(
        free for free in (name, *(f"{name}_{count}" for count in range(2, len(taken) + 3))) if free not in taken
    )


def _joined_about(manifests: Sequence[Manifest]) -> dict[str, str]:
    """What was said of each, once where all say the same: mixed boxes are not to pass for those of one detector."""
    keys = dict.fromkeys(key for manifest in manifests for key in manifest.about)
    return {key: " and ".join(dict.fromkeys(one.about.get(key, "unknown") for one in manifests)) for key in keys}


def _check_files(manifests: Sequence[Manifest]) -> None:
    """The same file through two roots, which have names of their own.

    Raises:
        DataError: A file is in two manifests, or a clip is in two and on two sides of a split.
    """
    places = _Places()
    files: dict[str, int] = {}
    clips: dict[str, tuple[int, str]] = {}
    for number, manifest in enumerate(manifests):
        source = manifest.roots.get("src")
        for root, path, clip, split in manifest.table.select("root", "path", "clip", "split").iter_rows():
            file = places.true(str(manifest.roots[root]), path)
            if files.setdefault(file, number) != number:
                raise DataError(
                    "is in two of the manifests, through two roots", path=file, hint="Keep one row for each picture"
                )
            # Two runs store frames of their own; the clip they were taken from is the same.
            if clip is None or source is None:
                continue
            file = places.true(str(source), clip)
            before, side = clips.setdefault(file, (number, split))
            if before != number and side != split:
                raise DataError(
                    f"this clip is in two of the manifests, in {side} and in {split}",
                    path=file,
                    hint="Keep its rows in one manifest, or the figures are not to be trusted",
                )


class _Places:
    """Files without links; each folder is looked up once, for a manifest may have a million rows."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def true(self, root: str, path: str) -> str:
        folder, name = os.path.split(os.path.join(root, path))  # noqa: PTH118 - a million of them
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        file = f"{self._folders[folder]}{os.sep}{name}"
        return os.path.realpath(file) if os.path.islink(file) else file  # noqa: PTH114


def _read_parquet(file: Path) -> tuple[pl.DataFrame, dict[str, Any]]:
    return pl.read_parquet(file), _meta(pl.read_parquet_metadata(file).get(_KEY, "{}"))


def _read_csv(file: Path) -> tuple[pl.DataFrame, dict[str, Any]]:
    with file.open(encoding="utf-8-sig") as lines:
        first = lines.readline()
    has_meta = first.startswith(_COMMENT)
    # Everything is read as text: a group named 007 must not become 7.
    table = pl.read_csv(file, skip_lines=int(has_meta), infer_schema=False)
    if "landmarks" in table.columns:
        table = table.with_columns(pl.col("landmarks").str.split(" "))
    return table, _meta(first.removeprefix(_COMMENT)) if has_meta else {}


def _meta(text: str) -> dict[str, Any]:
    meta = json.loads(text)
    for name in ("roots", "about"):
        if not (isinstance(meta, dict) and all(isinstance(value, str) for value in meta.get(name, {}).values())):
            raise ValueError(f"its {name} are damaged")
    return dict(meta)


def _typed(table: pl.DataFrame, file: Path) -> pl.DataFrame:
    """The columns of :data:`SCHEMA` in its order and types; the nullable ones may be absent."""
    absent = [pl.lit(None).alias(name) for name in SCHEMA if name not in table.columns]
    try:
        return table.with_columns(absent).select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"a column does not hold what it should: {str(error).splitlines()[0]}",
            path=str(file),
            hint="label is 0 or 1; boxes, times and landmarks are numbers",
        ) from error
