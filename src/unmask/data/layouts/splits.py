"""A folder with a ``splits.csv`` that names every file: path, label (1 = fake), split, group, source, method."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from unmask.base.errors import DataError
from unmask.data.items import SPLITS, Item, Layout, LeftOut, ReadOptions, stays_below

FILE = "splits.csv"
_COLUMNS = ("path", "label", "split", "group", "source", "method")


def read_splits(file: Path) -> dict[str, Item]:
    """The rows of a splits file by path (relative to the file's folder).

    Raises:
        DataError: A column is missing, or a row is not usable; the message names the line.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"column missing: {', '.join(missing)}", path=str(file), hint=f"It needs {', '.join(_COLUMNS)}"
                )
            rows: dict[str, Item] = {}
            for row in reader:
                item = _item(row, file, reader.line_num)
                if item.path in rows:
                    raise DataError(f"line {reader.line_num} names {item.path} a second time", path=str(file))
                rows[item.path] = item
            return rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read: {error}", path=str(file)) from error


def _item(row: dict[str, str], file: Path, line: int) -> Item:
    where = f"line {line}"
    path = PurePosixPath((row["path"] or "").replace("\\", "/"))
    if not (stays_below(str(path)) and path.name):
        raise DataError(f"{where}: the path {row['path']!r} is not below the file's folder", path=str(file))
    if row["label"] not in {"0", "1"}:
        raise DataError(f"{where}: unknown label {row['label']!r}", path=str(file), hint="0 means real, 1 means fake")
    if row["split"] not in SPLITS:
        raise DataError(f"{where}: unknown split {row['split']!r}", path=str(file), hint=f"Use {', '.join(SPLITS)}")
    if not row["group"] or not row["source"]:
        raise DataError(f"{where}: group and source must not be empty", path=str(file))
    return Item(str(path), int(row["label"]), row["group"], row["source"], row["method"] or "none", row["split"])


def _read(folder: Path, options: ReadOptions) -> Iterator[Item | LeftOut]:
    del options
    yield from read_splits(folder / FILE).values()


LAYOUT = Layout(
    "splits", f"a folder with {FILE}, which names every file", lambda f: (f / FILE).is_file(), _read, rank=0
)
