"""Results for the terminal: a table that grows line by line, or clean lines when the output is a pipe."""

from __future__ import annotations

from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unmask.render.sinks import Origin, printing, report_of
from unmask.render.text import cell_width, printable, shorten
from unmask.render.verdict import (
    LOOKS,
    Subject,
    bar_cells,
    score,
    segments,
    subject_name,
    subject_thresholds,
    subjects,
    summary,
    where,
)
from unmask.report import Report, Result, Verdict

MANY = 20
"""Faces or tracks of one file that are listed; the highest scores come first when there are more."""

_WIDE = 100
_LABEL = max(len(look.word) for look in LOOKS.values()) + 2


class Terminal:
    """A sink that prints every result when it is written, and a summary at the end.

    In a terminal: a line for the file with its verdict, then a row a face or track with label, bar, score, place and
    faked stretches. Through a pipe: one line for the file and one a face or track, columns parted by tabs (label,
    score, what, file, where, faked stretches), no colour, no bar, nothing shortened.

    Args:
        console: Where to print; a live progress bar must use the same console. Default: a new one on stdout.
        details: Rows for faces and tracks; else only the line of the file.
        totals: Print the summary at the end when more than one file was written.
    """

    def __init__(self, console: Console | None = None, *, details: bool = True, totals: bool = True) -> None:
        self.console = console or Console(highlight=False)
        self.counts: Counter[Verdict] = Counter()
        self._details = details
        self._totals = totals

    def write(self, result: Result | Report, origin: Origin = None) -> None:  # noqa: ARG002
        """Print one result."""
        report = report_of(result)
        self.counts[report.verdict] += 1
        render_result(self.console, report, details=self._details)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._totals and sum(self.counts.values()) > 1 and self.console.is_terminal:
            self.console.print(summary(self.counts), style="bold", highlight=False, markup=False)


def render_result(console: Console, result: Result | Report, *, details: bool = True) -> None:
    """Print one result: see :class:`Terminal`."""
    report = report_of(result)
    if not console.is_terminal:
        lines = plain_lines(report) if details else plain_lines(report)[:1]
        # Not console.print: a pipe gets the lines as they are, neither wrapped nor coloured.
        _write(console, "".join(f"{line}\n" for line in lines))
        return
    with console.capture() as captured:
        console.print(_file_line(console, report))
        if details and subjects(report):
            console.print(_table(console, report))
        for note in _notes(report):
            console.print(Text(f"  {note}", style="dim"), soft_wrap=False, highlight=False)
    _write(console, captured.get())


def _write(console: Console, text: str) -> None:
    """Write in whatever encoding the stream has: a name that it cannot hold must not end a long run."""
    encoding = console.encoding
    if not encoding.startswith("utf"):
        for char, plain in (("×", "x"), ("–", "-"), ("…", "...")):
            text = text.replace(char, plain)
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    with printing():
        console.file.write(text)
        console.file.flush()


def plain_lines(report: Report) -> list[str]:
    """Lines for a pipe: the file first, then its faces or tracks."""
    name = printable(report.path)
    note = printable(report.error.message) if report.error else "; ".join(printable(text) for text in report.reasons)
    lines = [_plain(LOOKS[report.verdict].word, report.p_fake, "file", name, note)]
    for subject in subjects(report):
        label = LOOKS[subject.verdict].word
        stretches = segments(subject)
        lines.append(
            _plain(
                label,
                subject.p_fake,
                subject_name(subject),
                name,
                where(subject),
                f"faked {stretches}" if stretches else "",
            )
        )
    return lines


def _plain(label: str, p: float | None, *cells: str) -> str:
    # Padded to the tab stops of a terminal, so that the columns stand under each other and still split at tabs.
    padded = [label.ljust(12), score(p, missing="-").ljust(5), cells[0].ljust(7), *cells[1:]]
    return "\t".join(padded).rstrip()


def _symbol(console: Console, verdict: Verdict) -> str:
    look = LOOKS[verdict]
    return look.symbol if _unicode(console) else look.ascii


def _unicode(console: Console) -> bool:
    return not console.options.ascii_only and not console.legacy_windows


def _file_line(console: Console, report: Report) -> Text:
    look = LOOKS[report.verdict]
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{_symbol(console, report.verdict)} {look.word}".ljust(_LABEL), style=look.terminal)
    line.append(f"  {score(report.p_fake, '').rjust(5)}  ")
    facts = _facts(report)
    room = console.width - cell_width(line.plain) - (cell_width(facts) + 2 if facts else 0)
    if facts and room < 24:
        facts, room = "", console.width - cell_width(line.plain)
    line.append(shorten(printable(report.path), max(room, 12)), style="bold")
    if facts:
        line.append(f"  {facts}", style="dim")
    return line


def _facts(report: Report) -> str:
    media = report.media
    if media is None:
        return ""
    parts = [f"{media.width}×{media.height}"]
    if media.kind == "clip":
        if media.duration_s is not None:
            parts.append(f"{media.duration_s:.1f} s")
        parts.append(f"{media.frames_analyzed} frames")
        count, noun = len(report.tracks), "track"
    else:
        count, noun = len(report.faces), "face"
    if count:
        parts.append(f"{count} {noun}{'' if count == 1 else 's'}")
    return ", ".join(parts)


def _table(console: Console, report: Report) -> Table:
    wide = console.width >= _WIDE
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(width=2)
    table.add_column("face", no_wrap=True, min_width=8)
    table.add_column("verdict", no_wrap=True, width=_LABEL)
    table.add_column("bar", no_wrap=True, width=24 if wide else 12)
    table.add_column("score", no_wrap=True, width=5, justify="right")
    table.add_column("where", no_wrap=True, min_width=12)
    table.add_column("faked", overflow="fold")
    listed = subjects(report)
    if len(listed) > MANY:
        listed = sorted(listed, key=lambda subject: -(subject.p_fake or 0.0))[:MANY]
    for subject in listed:
        table.add_row(*_row(console, report, subject, 24 if wide else 12))
    return table


def _row(console: Console, report: Report, subject: Subject, width: int) -> list[str | Text]:
    look = LOOKS[subject.verdict]
    stretches = segments(subject)
    return [
        "",
        subject_name(subject),
        Text(f"{_symbol(console, subject.verdict)} {look.word}", style=look.terminal),
        bar(subject.p_fake, subject_thresholds(report, subject), width, look.terminal, unicode=_unicode(console)),
        score(subject.p_fake),
        Text(where(subject), style="dim"),
        Text(f"faked {stretches}", style=LOOKS["likely_fake"].terminal) if stretches else "",
    ]


def bar(p: float | None, marks: tuple[float, float] | None, width: int, style: str, *, unicode: bool = True) -> Text:
    """``p_fake`` as a bar of ``width`` cells with a stroke at each threshold."""
    full, empty, mark = ("━", "─", "┃") if unicode else ("#", "-", "|")
    if p is None:
        return Text(empty * width, style="dim")
    filled, cells = bar_cells(p, marks, width)
    text = Text()
    for i in range(width):
        inside = i < filled
        if i in cells:
            text.append(mark, style=style if inside else "default")
        else:
            text.append(full if inside else empty, style=style if inside else "dim")
    return text


def _notes(report: Report) -> list[str]:
    notes = [printable(report.error.message)] if report.error else [printable(reason) for reason in report.reasons]
    notes += [f"warning: {printable(warning)}" for warning in report.warnings]
    count = len(report.faces) + len(report.tracks)
    if count > MANY:
        notes.insert(0, f"the {MANY} highest of {count} are listed")
    return notes
