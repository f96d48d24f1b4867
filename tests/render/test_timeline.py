"""The curve of a track."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from render_samples import HOSTILE, clip_report, make_track
from unmask.render.timeline import timeline_svg
from unmask.report import Segment, TrackResult

SVG = "{http://www.w3.org/2000/svg}"


def drawn(track: TrackResult, width: int = 720, duration_s: float = 3.0) -> ET.Element:
    return ET.fromstring(timeline_svg(clip_report(track, duration_s=duration_s), track, width=width))


def parts(root: ET.Element, name: str) -> list[ET.Element]:
    return [element for element in root.iter() if element.get("class") == name]


def test_curve_bands_segments_and_axis() -> None:
    root = drawn(make_track())
    assert len(parts(root, "tl-curve")) == 1
    assert len(parts(root, "tl-dot")) == 10
    stripe, foot = parts(root, "tl-segment")
    left, right = 34, 708
    scale = (right - left) / 3.0
    assert float(stripe.get("x", 0)) == pytest.approx(left + scale, abs=0.1)
    assert float(stripe.get("width", 0)) == pytest.approx(scale, abs=0.1)
    assert foot.get("x") == stripe.get("x")
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert "likely fake from 0.80" in words
    assert "likely real up to 0.20" in words
    assert {"0.0 s", "1.0 s", "2.0 s", "3.0 s"} <= set(words)
    title = root.find(f"{SVG}title")
    assert title is not None
    assert "looks faked 1.0–2.0 s" in (title.text or "")


def test_the_curve_is_parted_where_the_face_was_away() -> None:
    track = make_track(end=9.0, segments=())
    track.scores = [(t, p) for t, p in track.scores if not 3 < t < 6]
    assert len(parts(drawn(track, duration_s=9), "tl-curve")) == 2


def test_a_peak_survives_thinning() -> None:
    track = make_track(segments=())
    track.scores = [(i / 30, 0.99 if i == 7001 else 0.1) for i in range(18_000)]
    track.end_s = 600.0
    root = drawn(track, duration_s=600)
    points = [point for line in parts(root, "tl-curve") for point in line.get("points", "").split()]
    assert len(points) < 900
    assert min(float(point.split(",")[1]) for point in points) < 13


times = st.floats(0, 20_000, allow_nan=False)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(times, st.floats(0, 1)), max_size=30),
    st.lists(st.tuples(times, times), max_size=4),
    times,
    st.integers(200, 1200),
)
def test_everything_lies_inside(
    scores: list[tuple[float, float]], stretches: list[tuple[float, float]], end: float, width: int
) -> None:
    track = make_track()
    track.scores, track.end_s = sorted(scores), end
    track.segments = [Segment(start_s=min(pair), end_s=max(pair), p_fake=0.9) for pair in stretches]
    root = ET.fromstring(timeline_svg(clip_report(track, duration_s=end), track, width=width))
    for element in root.iter():
        for name in ("x", "cx"):
            assert 0 <= float(element.get(name, 0)) <= width
        for point in element.get("points", "").split():
            x, y = point.split(",")
            assert 0 <= float(x) <= width
            assert 0 <= float(y) <= 150
    assert len(parts(root, "tl-grid")) <= 3 + width / 50


def test_no_style_script_or_reference() -> None:
    text = str(timeline_svg(clip_report(make_track()), make_track()))
    assert not re.search(r"style|script|href|url\(|<!", text)


def test_words_from_outside_are_escaped() -> None:
    track = make_track()
    report = clip_report(track)
    report.path = HOSTILE
    assert "<script>" not in timeline_svg(report, track)
