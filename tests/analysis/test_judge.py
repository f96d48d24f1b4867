"""Verdicts: of a face, of many faces together, of tracks with a faked stretch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import make_card
from unmask.analysis.clip import TrackLog
from unmask.analysis.judge import hold_back_turned, judge_clip, judge_face, judge_picture, judge_track
from unmask.model import Card, Level, Thresholds
from unmask.report import Quality, Report

GOOD = Quality(size_px=120, sharpness=300, detection=0.9)
TINY = Quality(size_px=20, sharpness=300, detection=0.9)


@pytest.fixture
def card() -> Card:
    def level(kind: str, faces: int, fake: float) -> Level:
        return Level.model_validate(
            {"kind": kind, "faces": faces, "thresholds": Thresholds(likely_real=0.2, likely_fake=fake)}
        )

    levels = [level(*row) for row in (("face", 1, 0.8), ("track", 1, 0.8), ("picture", 1, 0.8), ("picture", 10, 0.95))]
    return make_card().model_copy(update={"levels": levels, "min_face_px": 40.0})


def log_of(times: list[float], logits: list[float]) -> TrackLog:
    count = len(times)
    return TrackLog(times, [(0.0, 0.0, 9.0, 9.0)] * count, logits, [(120.0, 300.0, 0.9)] * count)


def picture(card: Card, logits: list[float], qualities: list[Quality]) -> Report:
    report = Report(path="x", verdict="error")
    report.faces = [
        judge_face(card, i, (0, 0, 9, 9), z, q) for i, (z, q) in enumerate(zip(logits, qualities, strict=True))
    ]
    judge_picture(card, report.faces, logits, report)
    return report


def test_the_highest_of_ten_is_not_judged_as_if_it_were_alone(card: Card) -> None:
    assert picture(card, [2.0], [GOOD]).verdict == "likely_fake"
    many = picture(card, [2.0, *[-3.0] * 9], [GOOD] * 10)
    assert many.faces[0].verdict == "likely_fake"
    assert many.verdict == "inconclusive"
    assert "10 faces" in many.reasons[0]


@pytest.mark.parametrize(
    ("logits", "rolls", "verdicts", "file"),
    [
        ([-3.0], [90.0], ["inconclusive"], "inconclusive"),
        ([-3.0], [20.0], ["likely_real"], "likely_real"),
        ([-3.0], [None], ["likely_real"], "likely_real"),
        ([-3.0, -3.0], [90.0, 0.0], ["inconclusive", "likely_real"], "inconclusive"),
        ([9.0, -3.0], [90.0, 0.0], ["likely_fake", "likely_real"], "likely_fake"),
    ],
)
def test_a_turned_face_is_never_called_real(
    card: Card, logits: list[float], rolls: list[float | None], verdicts: list[str], file: str
) -> None:
    report = picture(card, logits, [GOOD] * len(logits))
    before = report.p_fake
    hold_back_turned(dict(enumerate(rolls)), "face", report)
    assert [face.verdict for face in report.faces] == verdicts
    assert (report.verdict, report.p_fake) == (file, before)
    assert len(report.warnings) == sum(roll is not None and roll > 35 for roll in rolls)
    assert ("never called real" in report.reasons[0]) == (file == "inconclusive")


def test_no_face_has_no_score(card: Card) -> None:
    report = picture(card, [], [])
    assert (report.verdict, report.p_fake) == ("no_face", None)


def test_faces_too_small_are_inconclusive_and_do_not_count(card: Card) -> None:
    alone = picture(card, [9.0], [TINY])
    assert (alone.verdict, alone.faces[0].verdict) == ("inconclusive", "inconclusive")
    beside = picture(card, [9.0, -9.0], [TINY, GOOD])
    assert beside.verdict == "likely_real"
    assert "too small" in beside.warnings[0]


def test_a_faked_stretch_makes_the_clip_fake_though_its_mean_is_real(card: Card) -> None:
    times = [i / 3 for i in range(30)]
    logits = [3.0 if 4 <= t < 5 else -2.0 for t in times]
    honest = judge_track(card, 0, log_of(times, [-2.0] * 30))
    swapped = judge_track(card, 1, log_of(times, logits))
    assert (honest.verdict, swapped.verdict) == ("likely_real", "likely_fake")
    report = Report(path="x", verdict="error")
    judge_clip(card, [honest, swapped], [-2.0, sum(logits) / 30], report)
    assert report.verdict == "likely_fake"
    assert "track 1 looks faked from 3.8 s to 4.8 s" in report.reasons[0]


@given(st.lists(st.tuples(st.floats(-30, 30), st.booleans()), max_size=12))
def test_scores_are_probabilities_and_null_only_without_a_face(faces: list[tuple[float, bool]]) -> None:
    card = make_card().model_copy(update={"min_face_px": 40.0})
    report = picture(card, [z for z, _ in faces], [GOOD if big else TINY for _, big in faces])
    assert (report.p_fake is None) == (report.verdict == "no_face") == (not faces)
    assert report.p_fake is None or 0 <= report.p_fake <= 1
    assert report.reasons
