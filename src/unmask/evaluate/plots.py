"""Curves and histograms of a measurement, as SVG.

Every function takes detectors as name -> :class:`~unmask.evaluate.metrics.Scores` and gives the text of an SVG.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from unmask.evaluate import ranking
from unmask.evaluate.metrics import ECE_BINS, Scores, balance

FAKE, REAL, GREY = "#b3261e", "#1259a7", "#5b616b"
COLOURS = ("#1f2430", "#c4511d", "#1a7f8e", "#7b3f8c", "#7a5900", "#3c7a34", "#a83271", "#4a5fc1")
_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5)))

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": "#1b1f26",
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#e6e9ee",
    "grid.linewidth": 0.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
    "legend.fontsize": 8,
    # The same figures give the same bytes.
    "svg.hashsalt": "unmask",
}

Many = Mapping[str, Scores]


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight", pad_inches=0.06, metadata={"Date": None})
    return text.getvalue()


def _look(number: int) -> dict[str, Any]:
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": _DASHES[number // len(COLOURS) % len(_DASHES)],
        "linewidth": 1.6,
    }


def _curve(scores: Scores) -> ranking.Curve:
    face = scores.face
    return ranking.curve(scores.fake[face], scores.logit[face], np.ones((1, int(face.sum()))))


def _axes(title: str, x: str, y: str, width: float = 4.2, height: float = 3.9) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height))
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def _both(scores: Scores) -> bool:
    face = scores.face
    return bool(scores.fake[face].any() and (~scores.fake[face]).any())


def roc(many: Many) -> str:
    """Receiver operating characteristic, rows with a face; a dot at the threshold of ``likely_fake``."""
    with rc_context(STYLE):
        figure, axes = _axes("ROC", "false-positive rate", "true-positive rate (fakes with a face)")
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        for number, (name, scores) in enumerate(many.items()):
            if not _both(scores):
                continue
            c = _curve(scores)
            fpr, miss = ranking.rates(c)
            look = _look(number)
            axes.plot(fpr[0], 1 - miss[0], label=f"{name}: AUC {ranking.auc(c)[0]:.3f}", **look)
            called, fake, face = scores.called_fake, scores.fake, scores.face
            at = ((called & ~fake).sum() / (face & ~fake).sum(), (called & fake).sum() / (face & fake).sum())
            axes.plot(*at, marker="o", markersize=5, color=look["color"], linestyle="none")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        _legend(axes)
        return _svg(figure)


def precision_recall(many: Many) -> str:
    """Precision over recall; the dotted line is the share of fakes, which guessing would reach."""
    with rc_context(STYLE):
        figure, axes = _axes("Precision and recall", "recall (fakes with a face)", "precision")
        for number, (name, scores) in enumerate(many.items()):
            if not _both(scores):
                continue
            c = _curve(scores)
            both = c.fakes[0, 1:] + c.reals[0, 1:]
            precision, recall = c.fakes[0, 1:] / both, c.fakes[0, 1:] / c.fakes[0, -1]
            label = f"{name}: AP {ranking.average_precision(c)[0]:.3f}"
            axes.plot(recall, precision, drawstyle="steps-pre", label=label, **_look(number))
            axes.axhline(float(scores.fake[scores.face].mean()), color=GREY, linewidth=0.8, linestyle=":")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        _legend(axes, "best")
        return _svg(figure)


def reliability(many: Many) -> str:
    """Share of fakes against p_fake, both classes with the same weight, in the bins of the calibration error."""
    with rc_context(STYLE):
        figure, axes = _axes("Reliability", "p_fake", "share of fakes (classes balanced)")
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        for number, (name, scores) in enumerate(many.items()):
            if not _both(scores):
                continue
            middle, share, weight = bins(scores)
            look = _look(number)
            axes.plot(middle, share, linewidth=1.2, color=look["color"], linestyle=look["linestyle"], label=name)
            axes.scatter(middle, share, s=8 + 160 * weight, color=look["color"], alpha=0.8, linewidths=0)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        _legend(axes, "best")
        return _svg(figure)


def bins(scores: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean p_fake, balanced share of fakes and balanced weight of every bin that has rows."""
    face = scores.face
    fake, p = scores.fake[face], scores.p[face]
    weight = balance(fake, np.ones((1, len(fake))))[0]
    place = np.minimum((p * ECE_BINS).astype(int), ECE_BINS - 1)
    inside = np.bincount(place, weight, ECE_BINS).astype(np.float64)
    rows = inside > 0
    middle = np.bincount(place, weight * p, ECE_BINS)[rows] / inside[rows]
    share = np.bincount(place, weight * fake, ECE_BINS)[rows] / inside[rows]
    return middle, share, inside[rows]


def histogram(scores: Scores, likely_real: float, likely_fake: float, title: str = "Scores by label") -> str:
    """How p_fake is spread over reals and over fakes, each as shares of its class; the thresholds as lines."""
    with rc_context(STYLE):
        figure, axes = _axes(title, "p_fake", "share of the class", width=5.2, height=3.0)
        edges = np.linspace(0, 1, 41).tolist()
        for name, rows, colour in (("real", ~scores.fake, REAL), ("fake", scores.fake, FAKE)):
            p = scores.p[rows & scores.face]
            if len(p):
                shares = np.full(len(p), 1 / len(p))
                axes.hist(p, edges, weights=shares, color=colour, alpha=0.35)
                axes.hist(p, edges, weights=shares, color=colour, histtype="step", label=f"{name} ({len(p):,})")
        for at in sorted({likely_real, likely_fake}):
            axes.axvline(at, color="#1b1f26", linewidth=0.9, linestyle="--")
        axes.set(xlim=(0, 1))
        axes.grid(axis="x", visible=False)
        axes.legend(loc="upper center")
        return _svg(figure)


def confusion(counts: Mapping[str, Any], title: str = "Truth and verdict") -> str:
    """Counts of a class by verdict, shaded by its share."""
    from unmask.evaluate.tables import VERDICTS

    with rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(5.2, 2.3))
        axes = figure.add_subplot()
        found = counts["verdicts"]
        shown = [name for name in VERDICTS if name in VERDICTS[:3] or found["fake"][name] or found["real"][name]]
        table = np.array([[found[label][verdict] for verdict in shown] for label in ("fake", "real")])
        share = table / np.maximum(1, table.sum(axis=1, keepdims=True))
        axes.imshow(share, cmap="Greys", vmin=0, vmax=1.4, aspect="auto")
        for (row, column), count in np.ndenumerate(table):
            text = f"{count:,}\n{share[row, column]:.1%}"
            colour = "white" if share[row, column] > 0.6 else "#1b1f26"
            axes.text(column, row, text, ha="center", va="center", color=colour)
        axes.set_xticks(range(len(shown)), [verdict.replace("_", " ") for verdict in shown])
        axes.set_yticks([0, 1], ["fake", "real"])
        axes.set(title=title, xlabel="verdict", ylabel="truth")
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return _svg(figure)


def speed(rows: Sequence[Mapping[str, Any]]) -> str:
    """AUC against milliseconds: a row has ``name``, ``kind``, ``ms``, ``ms_quartiles`` and ``auc`` (an estimate)."""
    with rc_context(STYLE):
        figure, axes = _axes("AUC and speed", "ms a crop (open: ms a picture, whole call), log scale", "AUC")
        for number, row in enumerate(rows):
            auc, colour = row["auc"], COLOURS[number % len(COLOURS)]
            known = auc["low"] is not None
            error = [[auc["value"] - auc["low"]], [auc["high"] - auc["value"]]] if known else None
            low, high = row["ms_quartiles"]
            filled = colour if row["kind"] == "bundle" else "white"
            axes.errorbar(
                row["ms"],
                auc["value"],
                yerr=error,
                xerr=[[row["ms"] - low], [high - row["ms"]]],
                fmt="o",
                color=colour,
                markerfacecolor=filled,
                elinewidth=1,
                label=row["name"],
            )
        axes.set_xscale("log")
        ends = [edge for row in rows for edge in row["ms_quartiles"]]
        axes.set_xlim(min(ends) / 2, max(ends) * 2)
        # Over many decades only the powers of ten are named, else 2 and 5 too.
        wide = max(ends) / min(ends) > 200
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.legend(loc="best")
        return _svg(figure)


def _legend(axes: Axes, place: Literal["lower right", "best"] = "lower right") -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc=place)
