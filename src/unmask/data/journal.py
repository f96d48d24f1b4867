"""A journal of finished files, so that an interrupted run goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any

from unmask.base.files import Records

VERSION = 4


class Journal:
    """One JSON line a finished file: its path, size and time of change, and the rows it gave.

    Args:
        file: Where it lies; made anew where ``settings`` differ from those it was begun with.
        settings: What the rows depend on.
    """

    def __init__(self, file: Path, settings: dict[str, Any]) -> None:
        self._file = file
        self._lock = Lock()
        self._done: dict[str, dict[str, Any]] = {}
        header = {"version": VERSION, **settings}
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        records = [record for line in lines if (record := _parsed(line)) is not None]
        keep = bool(records) and records[0] == header
        if keep:
            self._done = {record["path"]: record for record in records[1:] if "path" in record}
        file.parent.mkdir(parents=True, exist_ok=True)
        self._stream = file.open("ab" if keep else "wb", buffering=0)
        self._records = Records(self._stream, file, "The same command goes on from here")
        # A kill in the middle of a line leaves no line end: what follows must not be glued to it.
        self._records.write("\n" if keep else json.dumps(header) + "\n")

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def get(self, src: Path, path: str, out: Path) -> list[dict[str, Any]] | None:
        """The rows of a file, where it has not changed since and its stored frames are still there."""
        record = self._done.get(path)
        if record is None or record["stamp"] != _stamp(src / path):
            return None
        rows: list[dict[str, Any]] = record["rows"]
        return rows if all(row["root"] != "out" or (out / row["path"]).is_file() for row in rows) else None

    def put(self, src: Path, path: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Note the rows of a file, and give them back.

        Raises:
            OutputError: There is no room for them; what was noted before stays.
        """
        line = json.dumps({"path": path, "stamp": _stamp(src / path), "rows": rows})
        with self._lock:
            self._records.write(line + "\n")
        return rows


def _stamp(path: Path) -> list[int]:
    try:
        facts = path.stat()
    except OSError:
        return []
    return [facts.st_size, facts.st_mtime_ns]


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
