"""Where people are between the times that were looked at."""

from __future__ import annotations

import pytest

from render_samples import clip_report, make_track
from unmask.render.motion import Motion, moments
from unmask.report import TrackResult


def motion(track: TrackResult) -> Motion:
    return Motion(clip_report(track), track)


def test_boxes_and_scores_are_interpolated() -> None:
    moment = motion(make_track()).at(1 / 6)
    assert moment is not None
    assert moment.box == pytest.approx((45.0, 10.0, 95.0, 80.0), abs=0.1)
    between = motion(make_track()).at(5 / 6)
    assert between is not None
    assert between.p_fake == pytest.approx((0.06 + 0.95) / 2, abs=0.01)


def test_hidden_outside_of_the_life() -> None:
    one = motion(make_track(start=1.0, end=2.0))
    assert one.at(0.5) is None
    assert one.at(1.0) is not None
    assert one.at(2.0) is not None
    assert one.at(2.1) is not None  # a sample stands for half a step around it
    assert one.at(2.3) is None


def test_hidden_while_out_of_sight() -> None:
    track = make_track(end=6.0, segments=())
    track.boxes = [row for row in track.boxes if not 2 < row[0] < 4]
    one = motion(track)
    assert one.at(2.05) is not None
    assert one.at(3.0) is None
    late = one.at(3.95)
    assert late is not None
    assert late.box[0] == pytest.approx(40 + 30 * 4, abs=0.1)  # where the face is found again, not on the way


def test_the_label_follows_the_stretch() -> None:
    one = motion(make_track())
    found = [one.at(t) for t in (0.0, 1.5, 3.0)]
    assert [moment.verdict for moment in found if moment] == ["likely_real", "likely_fake", "likely_real"]


def test_without_a_stretch_the_label_is_the_track_s() -> None:
    track = make_track(segments=())
    track.scores = [(t, 0.99) for t, _ in track.scores]
    moment = motion(track).at(1.0)
    assert moment is not None
    assert moment.verdict == "likely_real"
    assert moment.p_fake == pytest.approx(0.99)


def test_tracks_without_boxes_or_with_one() -> None:
    track = make_track()
    track.boxes = []
    assert motion(track).at(1.0) is None
    track.boxes, track.scores = [(1.0, 0, 0, 9, 9)], []
    moment = motion(track).at(1.1)
    assert moment is not None
    assert moment.p_fake == track.p_fake


def test_the_highest_comes_first() -> None:
    real, fake = make_track(0, segments=()), make_track(1)
    report = clip_report(real, fake)
    assert [moment.track for moment in moments([Motion(report, real), Motion(report, fake)], 1.5)] == [1, 0]
