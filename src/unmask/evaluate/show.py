"""Tables of a measurement for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from unmask.evaluate.measure import protocol_words, shared_words
from unmask.model import p_text
from unmask.render.text import printable
from unmask.render.verdict import LOOKS

if TYPE_CHECKING:
    import polars as pl

    from unmask.model import Card

_PLAIN_WIDTH = 190

POOLED = (
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
SOURCE_COLUMNS = (
    ("coverage_real", "seen"),
    ("false_positives", "false positives"),
    ("inconclusive_real", "inconclusive"),
    ("cleared", "called real"),
)
METHOD_COLUMNS = (
    ("coverage_fake", "seen"),
    ("auc", "AUC"),
    ("found", "found"),
    ("inconclusive_fake", "inconclusive"),
    ("missed", "called real"),
)
SIDE_BY_SIDE = (
    ("auc", "AUC"),
    ("eer", "equal error rate"),
    ("ap", "average precision"),
    ("accuracy", "accuracy"),
    ("found", "found"),
    ("false_positives", "false positives"),
    ("tpr_at_fpr_1", "found at FPR 1 %"),
    ("tpr_at_fpr_5", "found at FPR 5 %"),
    ("log_loss", "log loss"),
)
NOT_PERCENT = ("auc", "ap", "log_loss", "brier", "ece")
LEVELS = (("file", "files"), ("face", "single faces"), ("clip", "clips"))


def console() -> Console:
    """stdout; a pipe gets tables of a fixed width instead of ones cut to 80 columns."""
    screen = Console()
    return screen if screen.is_terminal else Console(width=_PLAIN_WIDTH)


def show(summary: Mapping[str, Any]) -> RenderableType:
    """The tables of :func:`unmask.evaluate.measure.summarize`: pooled at every level, then files by source and method.

    ``metrics.json`` has sources and methods of single faces and of clips as well.
    """
    files = summary["file"]
    note = Text(
        f"{protocol_words(summary['protocol'])} In all found rates {summary['protocol']['no_face']}.", style="dim"
    )
    sources = [row for row in files["by_source"] if row["real"]]
    return Group(
        _pooled(summary),
        outcomes(summary),
        _rows("Real files by source", ("source",), SOURCE_COLUMNS, "real", sources),
        _rows("Fake files by method", ("method", "source", "against"), METHOD_COLUMNS, "fake", files["by_method"]),
        note,
    )


def _pooled(summary: Mapping[str, Any]) -> Table:
    table = _table("All together")
    table.add_column("metric")
    levels = [(name, words) for name, words in LEVELS if name in summary]
    for name, words in levels:
        pooled = summary[name]["pooled"]
        table.add_column(f"{pooled['real']:,} + {pooled['fake']:,} {words}", justify="right")
    for name, words in POOLED:
        values = [summary[level]["pooled"][name] for level, _ in levels]
        table.add_row(words, *(estimate(value, percent=name not in NOT_PERCENT) for value in values))
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
        cells = [estimate(row[name], percent=name not in NOT_PERCENT) for name, _ in metrics]
        table.add_row(*(str(row[name]) for name in names), f"{row[count]:,}", *cells)
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def estimate(value: Mapping[str, float | None], *, percent: bool, signed: bool = False) -> str:
    """``0.931 (0.912-0.950)`` or ``3.1 % (1.9-4.6)``; a dash where it is not defined; ``signed``: a difference."""
    plus, to, unit = ("+", " to ", " points") if signed else ("", "-", " %")

    def number(x: float) -> str:
        return f"{x:{plus}.1%}".rstrip("%") if percent else f"{x:{plus}.3f}"

    if value["value"] is None:
        return "-"
    text = number(value["value"]) + (unit if percent else "")
    if value["low"] is None or value["high"] is None:
        return text
    return f"{text} ({number(value['low'])}{to}{number(value['high'])})"


def percent(value: float | None) -> str:
    """``93.1 %``; a dash where it is not known."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.1%}".replace("%", " %")


def count(value: float | None) -> str:
    """``4.7 M``, ``385 M``, ``1.2 G``; a dash where it is not known."""
    if value is None:
        return "-"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.0f}"


def outcomes(summary: Mapping[str, Any]) -> RenderableType:
    """Confusion matrix in words and classification report of the files."""
    c, files = summary["file"]["confusion"], summary["file"]
    fake, real = c["verdicts"]["fake"], c["verdicts"]["real"]
    unseen = fake["no_face"] + fake["error"]
    lines = (
        f"true positives   {c['true_positives']:>7,}  fakes called likely_fake",
        f"false negatives  {c['false_negatives']:>7,}  fakes not called fake: {fake['likely_real']} likely_real, "
        f"{fake['inconclusive']} inconclusive, {unseen} without a face or failed",
        f"true negatives   {c['true_negatives']:>7,}  reals not called fake: {real['likely_real']} likely_real, "
        f"{real['inconclusive']} inconclusive",
        f"false positives  {c['false_positives']:>7,}  reals called likely_fake",
    )
    table = _table("Files by class, fake = called likely_fake")
    for name in ("class", "precision", "recall", "F1", "support"):
        table.add_column(name, justify="left" if name == "class" else "right")
    for row in files["classes"]:
        cells = (estimate(row[name], percent=True) for name in ("precision", "recall", "f1"))
        table.add_row(row["class"], *cells, f"{row['support']:,}")
    return Group(Text("\n".join(lines)), Text(), table)


def side_by_side(figures: Mapping[str, Any]) -> RenderableType:
    """Detectors beside each other: files pooled, what they cost, and their differences to the first."""
    detectors = figures["detectors"]
    table = _table("Side by side: files, all together")
    table.add_column("")
    for one in detectors:
        table.add_column(printable(one["name"]), justify="right")
    for name, words in SIDE_BY_SIDE:
        table.add_row(
            words, *(estimate(one["file"]["pooled"][name], percent=name not in NOT_PERCENT) for one in detectors)
        )
    table.add_row("parameters", *(count(one["facts"].get("parameters")) for one in detectors))
    table.add_row("MACs", *(count(one["facts"].get("macs")) for one in detectors))
    table.add_row("MB", *(megabytes(one["facts"].get("bytes")) for one in detectors))
    table.add_row("ms a crop", *(time_words(one["facts"]) for one in detectors))
    parts: list[RenderableType] = [table]
    if rows := figures["differences"].get("file"):
        apart = _table(f"Differences to {printable(detectors[0]['name'])}, paired; an interval with 0 shows none")
        apart.add_column("")
        for row in rows:
            apart.add_column(printable(row["name"]), justify="right")
        for name, words in SIDE_BY_SIDE:
            apart.add_row(words, *(estimate(row[name], percent=name not in NOT_PERCENT, signed=True) for row in rows))
        parts.append(apart)
    words = shared_words([(one["name"], one["protocol"]) for one in detectors])
    parts.append(Text(printable(words), style="dim"))
    return Group(*parts)


def picks(predictions: pl.DataFrame, card: Card) -> RenderableType:
    """Rows with truth, score and verdict, and whether the verdict is right."""
    table = _table(f"{card.name} {card.version}")
    for name in ("truth", "p_fake", "verdict", "", "method", "source", "path"):
        table.add_column(name, justify="right" if name == "p_fake" else "left", overflow="fold")
    right = {"likely_fake": 1, "likely_real": 0}
    for row in predictions.iter_rows(named=True):
        verdict, truth = row["verdict"], row["label"]
        mark = "" if verdict not in right else "right" if right[verdict] == truth else "wrong"
        score = "-" if row["p_fake"] is None else p_text(row["p_fake"])
        words = LOOKS[verdict]
        where = row["path"] if row["time_s"] is None else f"{row['clip']} at {row['time_s']:.2f} s"
        table.add_row(
            "fake" if truth else "real",
            score,
            Text(words.word, style=words.terminal),
            Text(mark, style="bold" if mark == "wrong" else ""),
            *(Text(printable(text)) for text in (row["method"], row["source"], where)),
        )
    return table


def megabytes(size: float | None) -> str:
    """``13.5``; a dash where it is not known."""
    return "-" if size is None else f"{size / 1e6:.1f}"


def time_words(facts: Mapping[str, Any]) -> str:
    """Median and quartiles in milliseconds; a dash where nothing was timed."""
    if "ms" not in facts:
        return "-"
    low, high = facts["ms_quartiles"]
    return f"{facts['ms']:.1f} ({low:.1f}-{high:.1f})" + ("" if facts["kind"] == "bundle" else " a picture")
