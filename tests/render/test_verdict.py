"""The words, colours and numbers that people see."""

from __future__ import annotations

import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from render_samples import MODEL, clip_report, make_track, picture_result
from unmask.render.verdict import LOOKS, bar_cells, file_thresholds, score, seconds, span, summary, thresholds, where
from unmask.report import Report, Verdict


def test_every_verdict_has_a_look_of_its_own() -> None:
    assert set(LOOKS) == set(typing.get_args(Verdict))
    for part in ("word", "symbol", "ascii", "light", "dark", "terminal"):
        assert len({getattr(look, part) for look in LOOKS.values()}) == len(LOOKS)


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    values = [v / 255 for v in bytes.fromhex(colour[1:])]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("verdict", LOOKS)
def test_colours_are_readable_on_both_grounds(verdict: Verdict) -> None:
    for colour, ground in ((LOOKS[verdict].light, "#ffffff"), (LOOKS[verdict].dark, "#16181d")):
        bright, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5


@given(st.floats(0, 1))
def test_a_score_is_never_shown_as_certainty(p: float) -> None:
    text = score(p)
    assert text not in ("0.00", "1.00")
    if not text.startswith(("<", ">")):
        assert abs(float(text) - p) <= 0.005 + 1e-9


def test_no_score_is_a_dash() -> None:
    assert score(None) == "–"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (59.96, "1:00.0"), (67.5, "1:07.5"), (3667.5, "1:01:07.5"), (-1, "0.0 s")],
)
def test_times(value: float, text: str) -> None:
    assert seconds(value) == text


def test_a_span_names_the_unit_once() -> None:
    assert span(1, 2.4) == "1.0–2.4 s"
    assert span(50, 70) == "50.0 s–1:10.0"


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(1, 60))
def test_a_bar_stays_in_its_cells(p: float, low: float, high: float, width: int) -> None:
    filled, marks = bar_cells(p, (low, high), width)
    assert 0 <= filled <= width
    assert all(0 <= cell < width for cell in marks)


def test_thresholds_by_level_and_number() -> None:
    report = picture_result().report
    assert thresholds(report, "picture", 1) == (0.2, 0.8)
    assert thresholds(report, "picture", 2) == (0.3, 0.9)
    assert thresholds(report, "picture", 50) == (0.3, 0.9)
    assert thresholds(report, "segment") == (0.2, 0.8)
    assert thresholds(report, "track") == (0.25, 0.75)
    assert thresholds(Report(path="x", verdict="error"), "face") is None


def test_a_clip_without_a_level_is_judged_as_a_picture() -> None:
    assert file_thresholds(clip_report(make_track(0), make_track(1))) == (0.3, 0.9)


def test_thresholds_that_are_not_there() -> None:
    bare = MODEL.model_copy(update={"thresholds": {}})
    assert thresholds(Report(path="x", verdict="no_face", model=bare), "clip") is None


def test_where() -> None:
    assert where(picture_result().report.faces[0]) == "178,65 92×111"
    assert where(make_track(0, 1.0, 3.0)) == "1.0–3.0 s"


def test_summary_counts() -> None:
    assert summary({"likely_fake": 2, "error": 1}) == "3 files: 2 likely fake, 1 error"
    assert summary({"likely_real": 1}) == "1 file: 1 likely real"
    assert summary({}) == "0 files"
