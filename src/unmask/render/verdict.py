"""How a verdict looks and reads, in one place for every surface: words, colours, bars, numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from unmask.model import p_text
from unmask.model.card import STAND_IN, LevelKind
from unmask.report import FaceResult, Report, TrackResult, Verdict

Subject = FaceResult | TrackResult

NOT_PROOF = (
    "A score is evidence, not proof: it says how much the pixels of a face resemble the fakes and the real faces "
    "that the model has learnt from."
)


@dataclass(frozen=True, slots=True)
class Look:
    """How one verdict is shown.

    Attributes:
        word: What people read.
        symbol: Tells verdicts apart where colour does not (colour blindness, black-and-white print).
        ascii: The symbol for terminals without Unicode.
        light: Colour on a light ground, ``#rrggbb``, contrast with white at least 4.5 (WCAG 2.2, 1.4.3).
        dark: Colour on a dark ground, contrast with #16181d at least 4.5.
        terminal: Rich style; one of the sixteen colours, so that it follows the theme of the terminal.
    """

    word: str
    symbol: str
    ascii: str
    light: str
    dark: str
    terminal: str

    @property
    def rgb(self) -> tuple[int, int, int]:
        """``light`` as numbers in 0...255."""
        return tuple(bytes.fromhex(self.light[1:]))  # type: ignore[return-value]


# Red and blue are told apart by the colour-blind, and are the two ends of the evidence map. Green is left out on
# purpose: nothing here says "safe".
LOOKS: dict[Verdict, Look] = {
    "likely_fake": Look("likely fake", "▲", "!", "#b3261e", "#ff8a7e", "bold red"),
    "likely_real": Look("likely real", "●", "o", "#1259a7", "#7fb4f5", "bold blue"),
    "inconclusive": Look("inconclusive", "◆", "?", "#7a5900", "#e6b94d", "bold yellow"),
    "no_face": Look("no face", "○", "-", "#5b616b", "#a4abb6", "bright_black"),
    "error": Look("error", "✕", "x", "#7b3f8c", "#d49be3", "bold magenta"),
}


def word(verdict: Verdict) -> str:
    """The verdict as people read it, e.g. ``likely fake``."""
    return LOOKS[verdict].word


def score(p: float | None, missing: str = "–") -> str:
    """``p_fake`` with two decimals; never rounded up to certainty: 0.9996 reads ``>0.99``."""
    if p is None or math.isnan(p):
        return missing
    return p_text(p)


def seconds(value: float, *, precise: bool = True) -> str:
    """A time in a clip: ``7.5 s`` below a minute, then ``1:07.5``, then ``1:01:07.5``."""
    tenths = round(max(value, 0.0) * 10)
    whole, tenth = divmod(tenths, 10)
    fraction = f".{tenth}" if precise else ""
    if whole < 60:
        return f"{whole}{fraction} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
    return clock + fraction


def span(start_s: float, end_s: float) -> str:
    """A stretch of time, ``1.0–2.4 s``."""
    start, end = seconds(start_s), seconds(end_s)
    if start.endswith(" s") and end.endswith(" s"):
        start = start.removesuffix(" s")
    return f"{start}–{end}"


def thresholds(report: Report, kind: LevelKind, faces: int = 1) -> tuple[float, float] | None:
    """(likely_real, likely_fake) that judged something of this kind, or None where the report names none.

    ``model.thresholds`` has a key a level: ``face``, ``picture``, ``picture_5`` (made for up to five faces) ...
    A level that is missing is stood in for by the one that judged it, as in :meth:`unmask.model.card.Card.level`.
    """
    if report.model is None:
        return None
    found: dict[int, dict[str, float]] = {}
    for name, values in report.model.thresholds.items():
        level, _, count = name.partition("_")
        if level == kind and (count.isdigit() or not count):
            found[int(count or 1)] = values
    if not found:
        return thresholds(report, STAND_IN[kind], faces) if kind in STAND_IN else None
    values = found[min((n for n in found if n >= faces), default=max(found))]
    try:
        return values["likely_real"], values["likely_fake"]
    except KeyError:
        return None


def file_thresholds(report: Report) -> tuple[float, float] | None:
    """Those that judged the file."""
    if report.tracks:
        return thresholds(report, "clip", len(report.tracks))
    return thresholds(report, "picture", max(1, len(report.faces)))


def subject_thresholds(report: Report, subject: Subject) -> tuple[float, float] | None:
    """Those that judged one face or track."""
    return thresholds(report, "track" if isinstance(subject, TrackResult) else "face")


def subjects(report: Report) -> list[Subject]:
    """Faces of a picture or tracks of a clip."""
    return [*report.faces, *report.tracks]


def subject_name(subject: Subject) -> str:
    """``face 0`` or ``track 0``, with the ``id`` that the JSON has, so that both can be read side by side."""
    return f"{'track' if isinstance(subject, TrackResult) else 'face'} {subject.id}"


def where(subject: Subject) -> str:
    """Place of a face in pixels, or life of a track in seconds."""
    if isinstance(subject, TrackResult):
        return span(subject.start_s, subject.end_s)
    x0, y0, x1, y1 = (round(v) for v in subject.box)
    return f"{x0},{y0} {x1 - x0}×{y1 - y0}"


def segments(subject: Subject) -> str:
    """The faked stretches of a track, ``1.0–2.4 s, 5.0–6.1 s``; empty for a face."""
    if isinstance(subject, FaceResult):
        return ""
    return ", ".join(span(segment.start_s, segment.end_s) for segment in subject.segments)


def bar_cells(p: float, marks: tuple[float, float] | None, width: int) -> tuple[int, set[int]]:
    """A bar for [0, 1]: how many of ``width`` cells are filled, and the cells in which a threshold lies."""
    filled = min(width, max(0, round(p * width)))
    cells = {min(width - 1, max(0, int(mark * width))) for mark in marks or ()}
    return filled, cells


def summary(counts: dict[Verdict, int]) -> str:
    """``7 files: 2 likely fake, 4 likely real, 1 error``."""
    total = sum(counts.values())
    parts = [f"{counts[verdict]} {look.word}" for verdict, look in LOOKS.items() if counts.get(verdict)]
    return f"{total} file{'' if total == 1 else 's'}" + (f": {', '.join(parts)}" if parts else "")
