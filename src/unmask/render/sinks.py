"""Results into files and streams, one by one as they are ready: JSON lines and CSV."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from unmask.base.errors import UsageError
from unmask.render.verdict import subjects
from unmask.report import FaceResult, Report, Result, TrackResult

Origin = Path | bytes | None
"""The analysed file itself, for sinks that show its picture: its path, or its bytes."""


class Sink(Protocol):
    """Something that takes results; a context manager."""

    def write(self, result: Result | Report, origin: Origin = None) -> None:
        """Take one result; ``origin`` is the file behind it where the sink may show its picture."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def report_of(result: Result | Report) -> Report:
    """The report of either."""
    return result.report if isinstance(result, Result) else result


class PartFile:
    """Text that is written beside ``path`` as ``NAME.part`` and takes its place at the end.

    What was written before an interrupt survives: :meth:`finish` is called then too. Only whole records may therefore
    be written. The file appears with :meth:`finish`; an older file of that name stays until then.
    """

    def __init__(self, path: Path, newline: str | None = "\n") -> None:
        if path.is_dir():
            raise UsageError("this is a folder, not a file to write to", hint="Give a file name", path=str(path))
        self.path = path
        self.part = path.with_name(path.name + ".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file: IO[str] = self.part.open("w", encoding="utf-8", errors="backslashreplace", newline=newline)
        except OSError as error:
            raise UsageError(
                f"the file cannot be written: {error.strerror}", hint="Choose another place", path=str(path)
            ) from error

    def finish(self) -> None:
        """Close and rename."""
        if not self.file.closed:
            self.file.close()
            self.part.replace(self.path)


class JsonLines:
    """One JSON object a line, flushed line by line; see ``docs/report.md``.

    Args:
        target: An open text stream, which stays open, or a path (see :class:`PartFile`).
    """

    def __init__(self, target: IO[str] | Path | str) -> None:
        self._part = PartFile(Path(target)) if isinstance(target, str | Path) else None
        self._stream: IO[str] = self._part.file if self._part else target  # type: ignore[assignment]

    def write(self, result: Result | Report, origin: Origin = None) -> None:  # noqa: ARG002
        """Write one line and flush it."""
        self._stream.write(json_line(report_of(result)) + "\n")
        self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._part:
            self._part.finish()


def json_line(report: Report) -> str:
    """The report as JSON without a line break in it, in ASCII where the text cannot be UTF-8."""
    try:
        return report.model_dump_json()
    except ValueError:  # half of a surrogate pair, from a file name that is not UTF-8
        return json.dumps(report.model_dump(mode="python"), default=str)


FILE_COLUMNS = ("path", "verdict", "p_fake", "kind", "width", "height", "duration_s")
SUBJECT_COLUMNS = (
    "subject",
    "id",
    "subject_verdict",
    "subject_p_fake",
    "x0",
    "y0",
    "x1",
    "y1",
    "start_s",
    "end_s",
    "segments",
    "size_px",
    "sharpness",
    "detection",
)
LAST_COLUMNS = ("warnings", "error_code", "error", "sha256", "model", "model_version")
COLUMNS = FILE_COLUMNS + SUBJECT_COLUMNS + LAST_COLUMNS


class Csv:
    """A row a face or track, with the columns of its file repeated; a file without any has one row.

    Verdicts are the names of the schema (``likely_fake``), empty cells are null, ``segments`` reads ``1.0-2.4;5.0-6.1``
    in seconds.

    Args:
        path: The file; see :class:`PartFile`.
    """

    def __init__(self, path: Path | str) -> None:
        self._part = PartFile(Path(path), newline="")
        self._writer = csv.DictWriter(self._part.file, COLUMNS, restval="", lineterminator="\r\n")  # RFC 4180
        self._writer.writeheader()

    def write(self, result: Result | Report, origin: Origin = None) -> None:  # noqa: ARG002
        """Write the rows of one result and flush them."""
        self._writer.writerows(rows(report_of(result)))
        self._part.file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._part.finish()


def rows(report: Report) -> list[dict[str, Any]]:
    """The rows of one report, keys of :data:`COLUMNS`."""
    common: dict[str, Any] = {"path": _no_formula(report.path), "verdict": report.verdict, "p_fake": report.p_fake}
    if report.media:
        common |= {name: getattr(report.media, name) for name in ("kind", "width", "height", "duration_s")}
    common |= {"warnings": "; ".join(report.warnings), "sha256": report.sha256}
    if report.error:
        common |= {"error_code": report.error.code, "error": _no_formula(report.error.message)}
    if report.model:
        common |= {"model": report.model.name, "model_version": report.model.version}
    return [common | _subject_cells(subject) for subject in subjects(report)] or [common]


def _subject_cells(subject: FaceResult | TrackResult) -> dict[str, Any]:
    cells: dict[str, Any] = {
        "id": subject.id,
        "subject_verdict": subject.verdict,
        "subject_p_fake": subject.p_fake,
        **subject.quality.model_dump(include={"size_px", "sharpness", "detection"}),
    }
    if isinstance(subject, FaceResult):
        return cells | {"subject": "face"} | dict(zip(("x0", "y0", "x1", "y1"), subject.box, strict=True))
    stretches = ";".join(f"{segment.start_s:g}-{segment.end_s:g}" for segment in subject.segments)
    return cells | {
        "subject": "track",
        "start_s": subject.start_s,
        "end_s": subject.end_s,
        "segments": stretches,
    }


def _no_formula(text: str) -> str:
    """Keep spreadsheets from running a file name: ``=cmd.jpg`` becomes ``./=cmd.jpg``, which is the same file."""
    return f"./{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
