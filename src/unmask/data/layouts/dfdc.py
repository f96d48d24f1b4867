"""DFDC: folders of ``*.mp4``, each with a ``metadata.json`` (label, split, original)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unmask.base.errors import DataError
from unmask.data.items import CLIPS, NO_METHOD, Item, Layout, LeftOut, ReadOptions, media_files, relative

_TABLE = "metadata.json"


def _tables(folder: Path) -> list[Path]:
    return sorted([*folder.glob(_TABLE), *folder.glob(f"*/{_TABLE}")])


def _rows(table: Path) -> dict[str, dict[str, Any]]:
    try:
        rows = json.loads(table.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"is not JSON: {error}", path=str(table), hint="Download this part of DFDC again") from error
    if not (isinstance(rows, dict) and all(isinstance(row, dict) for row in rows.values())):
        raise DataError(
            "does not give facts by clip", path=str(table), hint='It looks like {"a.mp4": {"label": "FAKE", ...}, ...}'
        )
    return rows


def _read(folder: Path, options: ReadOptions) -> Iterator[Item | LeftOut]:
    source = options.source or "dfdc-clips"
    for table in _tables(folder):
        rows = _rows(table)
        for name, row in sorted(rows.items()):
            path = relative(table.parent / name, folder)
            if not (table.parent / name).is_file():
                yield LeftOut(path, f"named in {_TABLE}, but not there")
                continue
            label = {"REAL": 0, "FAKE": 1}.get(str(row.get("label", "")).upper())
            if label is None:
                yield LeftOut(path, f"unknown label in {_TABLE}")
                continue
            # Its "split" is the competition's, "train" for all that has labels: no split for us.
            original = Path(row.get("original") or name).stem
            yield Item(path, label, f"dfdc-{original}", source, "dfdc" if label else NO_METHOD)
        for file in media_files(table.parent, CLIPS):
            if file.parent == table.parent and file.name not in rows:
                yield LeftOut(relative(file, folder), f"not named in {_TABLE}")


LAYOUT = Layout("dfdc", f"DFDC: [PART/]*.mp4 + {_TABLE}", lambda folder: bool(_tables(folder)), _read, rank=10)
