"""Kaggle *deepfake faces* (DFDC): ``faces_224/*.jpg`` beside ``metadata.csv`` (videoname, label, original)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from unmask.base.errors import DataError
from unmask.data.items import NO_METHOD, Item, Layout, LeftOut, ReadOptions

_FACES = "faces_224"
_TABLE = "metadata.csv"


def _fits(folder: Path) -> bool:
    return (folder / _FACES).is_dir() and (folder / _TABLE).is_file()


def _read(folder: Path, options: ReadOptions) -> Iterator[Item | LeftOut]:
    source = options.source or "dfdc"
    for row in _rows(folder / _TABLE):
        name = Path(row["videoname"]).stem
        path = f"{_FACES}/{name}.jpg"
        if not (folder / path).is_file():
            yield LeftOut(path, f"named in {_TABLE}, but not there")
            continue
        label = {"REAL": 0, "FAKE": 1}.get((row["label"] or "").strip().upper())
        if label is None:
            yield LeftOut(path, f"unknown label in {_TABLE}")
            continue
        # A fake and its original show the same person in the same room: they stay together.
        original = Path(row["original"]).stem if label and row.get("original") else name
        yield Item(path, label, f"dfdc-{original}", source, "dfdc" if label else NO_METHOD)


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            missing = [name for name in ("videoname", "label") if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"column missing: {', '.join(missing)}", path=str(table), hint="Download the set again")
            return [row for row in reader if row["videoname"]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read: {error}", path=str(table), hint="Download the set again") from error


LAYOUT = Layout("deepfake-faces", f"Kaggle deepfake faces: {_FACES}/*.jpg + {_TABLE}", _fits, _read, rank=10)
