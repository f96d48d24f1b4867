"""The curve of one track over time, as one SVG that page, report and notebook share.

It holds no script, no style attribute and no reference to anything outside: colours are presentation attributes, which
a style sheet may override by class (``tl-curve``, ``tl-dot``, ``tl-fake``, ``tl-real``, ``tl-segment``, ``tl-grid``,
``tl-text``), for instance for a dark page.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from unmask.render.templating import render
from unmask.render.verdict import LOOKS, span, subject_name, thresholds, word
from unmask.report import Report, TrackResult

_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 12.0, 10.0, 22.0
_DOTS = 90
_MOST_POINTS = 400
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)


def timeline_svg(report: Report, track: TrackResult, *, width: int = 720, height: int = 150) -> Markup:
    """Draw one track.

    Args:
        report: The clip; its duration is the axis, its thresholds for single faces the bands behind the curve.
        track: One of ``report.tracks``.
        width: Of the drawing's own coordinates, in which text is 11 high: about the pixels it will be shown in.
        height: As ``width``.

    Returns:
        An ``<svg>`` element; text in it is escaped.
    """
    end = max([track.end_s, *(t for t, _ in track.scores), (report.media and report.media.duration_s) or 0.0, 0.1])
    box = _Axes(width, height, end)
    marks = thresholds(report, "face")
    lines = [[(box.x(t), box.y(p)) for t, p in line] for line in _lines(track.scores)]
    points = [point for line in lines for point in line]
    low, high = marks or (None, None)
    about = f"{word(track.verdict)}; p_fake of each frame from {span(track.start_s, track.end_s)}"
    if track.segments:
        about += "; looks faked " + ", ".join(span(s.start_s, s.end_s) for s in track.segments)
    values: dict[str, Any] = {
        "width": width,
        "height": height,
        "left": _LEFT,
        "right": width - _RIGHT,
        "top": _TOP,
        "bottom": height - _BOTTOM,
        "title": f"{subject_name(track)}: {about}",
        "high": None if high is None else (box.y(high), f"{high:.2f}"),
        "low": None if low is None else (box.y(low), f"{low:.2f}"),
        "levels": [(box.y(p), f"{p:g}") for p in (0.0, 0.5, 1.0)],
        "ticks": [(box.x(t), label) for t, label in _ticks(end, width)],
        "segments": [
            (box.x(s.start_s), max(2.0, box.x(s.end_s) - box.x(s.start_s)), span(s.start_s, s.end_s), f"{s.p_fake:.2f}")
            for s in track.segments
        ],
        "lines": lines,
        "dots": points if len(points) <= _DOTS else [],
        "fake": LOOKS["likely_fake"].light,
        "real": LOOKS["likely_real"].light,
    }
    return Markup(render("timeline.svg.jinja", **values))


@dataclass(frozen=True, slots=True)
class _Axes:
    width: int
    height: int
    end_s: float

    def x(self, time_s: float) -> float:
        share = min(1.0, max(0.0, time_s / self.end_s))
        return _LEFT + share * (self.width - _LEFT - _RIGHT)

    def y(self, p: float) -> float:
        return _TOP + (1 - min(1.0, max(0.0, p))) * (self.height - _TOP - _BOTTOM)


def _lines(scores: list[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """The curve in pieces: parted where the face was out of sight, thinned where it has too many points to be seen."""
    if not scores:
        return []
    steps = sorted(b[0] - a[0] for a, b in itertools.pairwise(scores))
    gap = 2.5 * steps[len(steps) // 2] if steps else math.inf
    pieces = [[scores[0]]]
    for before, now in itertools.pairwise(scores):
        if now[0] - before[0] > gap:
            pieces.append([])
        pieces[-1].append(now)
    share = max(1, math.ceil(2 * len(scores) / _MOST_POINTS)) if len(scores) > _MOST_POINTS else 1
    return [_thinned(piece, share) for piece in pieces]


def _thinned(piece: list[tuple[float, float]], count: int) -> list[tuple[float, float]]:
    """Of every ``count`` points the lowest and the highest, so that a peak of one frame stays visible."""
    if count <= 1:
        return piece
    kept = []
    for start in range(0, len(piece), count):
        part = piece[start : start + count]
        kept += sorted({min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])})
    return kept


def _ticks(end_s: float, width: int) -> list[tuple[float, str]]:
    most = max(2, width // 70)
    step = next((step for step in _STEPS if end_s / step <= most), 7200 * math.ceil(end_s / 7200 / most))
    return [(i * step, _clock(i * step, step)) for i in range(int(end_s / step + 1e-9) + 1)]


def _clock(value: float, step: float) -> str:
    if step < 60 and value < 60:
        return f"{value:.1f} s" if step < 1 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
