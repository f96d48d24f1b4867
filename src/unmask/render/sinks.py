"""Results into files and streams, one by one as they are ready: JSON lines and CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from unmask.base.errors import OutputError, UsageError
from unmask.base.files import Records, cannot_write, new_beside
from unmask.render.text import no_formula
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
    """Records that are written beside ``path`` under a name of their own and take its place at the end.

    What was written before an interrupt survives: :meth:`finish` is called then too. The file appears with
    :meth:`finish`; an older file of that name stays until then.

    Raises:
        UsageError: The place cannot be written.
    """

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            raise UsageError("this is a folder, not a file to write to", hint="Give a file name", path=str(path))
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # It says what it is, and can be seen, should the process be killed.
            self._part = new_beside(path, f"{path.suffix[:16]}.part", hidden=False)
            self._records = Records(self._part.open("wb", buffering=0), path, "What came before is kept in it")
        except OSError as error:
            raise UsageError(
                f"the file cannot be written: {error.strerror}", hint="Choose another place", path=str(path)
            ) from error

    def write(self, text: str) -> None:
        """Write one record; see :meth:`Records.write`."""
        self._records.write(text)

    def drop(self) -> None:
        """Close and delete: nothing is worth keeping."""
        self._records.file.close()
        self._part.unlink(missing_ok=True)

    def finish(self) -> None:
        """Close and rename.

        Raises:
            OutputError: It cannot take its place.
        """
        try:
            self._records.file.close()
            self._part.replace(self.path)
        except OSError as error:
            raise cannot_write(error, self.path) from error


@contextmanager
def printing() -> Iterator[None]:
    """A block that writes results to stdout: where that is a file on a full disk, the error says so.

    A reader that has gone away (``| head``) stays a ``BrokenPipeError``.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_write(error, "standard output") from error


class JsonLines:
    """One JSON object a line, flushed line by line; see ``docs/report.md``.

    Args:
        target: An open text stream, which stays open, or a path (see :class:`PartFile`).
    """

    def __init__(self, target: IO[str] | Path | str) -> None:
        self._part = PartFile(Path(target)) if isinstance(target, str | Path) else None
        self._stream = None if isinstance(target, str | Path) else target

    def write(self, result: Result | Report, origin: Origin = None) -> None:  # noqa: ARG002
        """Write one line and flush it."""
        line = json_line(report_of(result)) + "\n"
        if self._part:
            self._part.write(line)
        if self._stream:
            with printing():
                self._stream.write(line)
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
    in seconds. A cell whose text begins as a formula does is guarded: see :func:`rows`.

    Args:
        path: The file; see :class:`PartFile`.
    """

    def __init__(self, path: Path | str) -> None:
        self._part = PartFile(Path(path))
        self._text = StringIO(newline="")
        self._writer = csv.DictWriter(self._text, COLUMNS, restval="", lineterminator="\r\n")  # RFC 4180
        self._writer.writeheader()
        try:
            self._flush()
        except OutputError:
            self._part.drop()
            raise

    def write(self, result: Result | Report, origin: Origin = None) -> None:  # noqa: ARG002
        """Write the rows of one result."""
        self._writer.writerows(rows(report_of(result)))
        self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._part.finish()

    def _flush(self) -> None:
        text = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
        self._part.write(text)


def rows(report: Report) -> list[dict[str, Any]]:
    """The rows of one report, keys of :data:`COLUMNS`.

    No text in them is a formula: ``=cmd.jpg`` becomes ``./=cmd.jpg``, which is the same file, and the name of a model
    ``=x`` becomes ``'=x``.
    """
    common: dict[str, Any] = {"path": no_formula(report.path, "./"), "verdict": report.verdict, "p_fake": report.p_fake}
    if report.media:
        common |= {name: getattr(report.media, name) for name in ("kind", "width", "height", "duration_s")}
    common |= {"warnings": "; ".join(report.warnings), "sha256": report.sha256}
    if report.error:
        common |= {"error_code": report.error.code, "error": report.error.message}
    if report.model:
        common |= {"model": report.model.name, "model_version": report.model.version}
    common = {name: no_formula(value) if isinstance(value, str) else value for name, value in common.items()}
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
