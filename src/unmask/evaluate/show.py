"""Tables of a measurement for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

_PLAIN_WIDTH = 190

_POOLED = (
    ("accuracy", "accuracy at likely_fake"),
    ("precision", "precision at likely_fake"),
    ("found", "recall: fakes found"),
    ("f1", "F1"),
    ("false_positives", "false positives"),
    ("missed", "fakes called likely_real"),
    ("inconclusive_fake", "fakes inconclusive"),
    ("inconclusive_real", "reals inconclusive"),
    ("auc", "AUC"),
    ("ap", "average precision"),
    ("eer", "equal error rate"),
    ("tpr_at_fpr_1", "found at FPR 1 %"),
    ("tpr_at_fpr_5", "found at FPR 5 %"),
    ("log_loss", "log loss"),
    ("brier", "Brier score"),
    ("ece", "calibration error (ECE)"),
    ("coverage_real", "coverage of reals"),
    ("coverage_fake", "coverage of fakes"),
)
_SOURCE = (
    ("coverage_real", "seen"),
    ("false_positives", "false positives"),
    ("inconclusive_real", "inconclusive"),
    ("cleared", "called real"),
)
_METHOD = (
    ("coverage_fake", "seen"),
    ("auc", "AUC"),
    ("found", "found"),
    ("inconclusive_fake", "inconclusive"),
    ("missed", "called real"),
)
_NOT_PERCENT = ("auc", "ap", "log_loss", "brier", "ece")
_LEVELS = (("file", "files"), ("face", "single faces"), ("clip", "clips"))


def console() -> Console:
    """stdout; a pipe gets tables of a fixed width instead of ones cut to 80 columns."""
    screen = Console()
    return screen if screen.is_terminal else Console(width=_PLAIN_WIDTH)


def show(summary: Mapping[str, Any]) -> RenderableType:
    """The tables of :func:`unmask.evaluate.measure.summarize`: pooled at every level, then files by source and method.

    ``metrics.json`` has sources and methods of single faces and of clips as well.
    """
    protocol, files = summary["protocol"], summary["file"]
    crop, frames = protocol["crop"], protocol["frames_a_clip"]
    shown = f"{frames[0]} to {frames[1]} frames a clip, {protocol['clip']}" if frames else "no clips"
    note = Text(
        f"{', '.join(protocol['splits'])}; {protocol['rows']:,} rows, {protocol['unreadable']} unreadable; crop "
        f"{crop['size']} px, margin {crop['margin']}; {shown}; likely_fake from {protocol['likely_fake']:.3f}, "
        f"likely_real up to {protocol['likely_real']:.3f}; intervals {protocol['interval']}. "
        f"In all found rates {protocol['no_face']}.",
        style="dim",
    )
    sources = [row for row in files["by_source"] if row["real"]]
    return Group(
        _pooled(summary),
        _rows("Real files by source", ("source",), _SOURCE, "real", sources),
        _rows("Fake files by method", ("method", "source", "against"), _METHOD, "fake", files["by_method"]),
        note,
    )


def _pooled(summary: Mapping[str, Any]) -> Table:
    table = _table("All together")
    table.add_column("metric")
    levels = [(name, words) for name, words in _LEVELS if name in summary]
    for name, words in levels:
        pooled = summary[name]["pooled"]
        table.add_column(f"{pooled['real']:,} + {pooled['fake']:,} {words}", justify="right")
    for name, words in _POOLED:
        values = [summary[level]["pooled"][name] for level, _ in levels]
        table.add_row(words, *(estimate(value, percent=name not in _NOT_PERCENT) for value in values))
    return table


def _rows(
    title: str,
    names: Sequence[str],
    metrics: Sequence[tuple[str, str]],
    count: str,
    rows: Sequence[Mapping[str, Any]],
) -> Table:
    table = _table(title)
    for name in names:
        table.add_column({"against": "against reals of"}.get(name, name), no_wrap=True)
    table.add_column("files", justify="right")
    for _, words in metrics:
        table.add_column(words, justify="right", no_wrap=True)
    for row in rows:
        cells = [estimate(row[name], percent=name not in _NOT_PERCENT) for name, _ in metrics]
        table.add_row(*(str(row[name]) for name in names), f"{row[count]:,}", *cells)
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def estimate(value: Mapping[str, float | None], *, percent: bool) -> str:
    """``0.931 (0.912-0.950)`` or ``3.1 % (1.9-4.6)``; a dash where it is not defined."""

    def number(x: float) -> str:
        return f"{x:.1%}".rstrip("%") if percent else f"{x:.3f}"

    if value["value"] is None:
        return "-"
    text = number(value["value"]) + (" %" if percent else "")
    if value["low"] is None or value["high"] is None:
        return text
    return f"{text} ({number(value['low'])}-{number(value['high'])})"
