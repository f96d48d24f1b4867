"""From logits to the verdicts of faces, tracks and files, with the reasons in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

from unmask.analysis.clip import TrackLog
from unmask.analysis.segments import find_segments
from unmask.faces.types import Box
from unmask.model import Card, decide, p_fake, p_text
from unmask.report import FaceResult, Quality, Report, TrackResult, Verdict

DIGITS = 4
UPRIGHT = 35.0
"""Degrees up to which a face counts as upright; training turned faces by 10, besides what people do themselves."""


def judge_face(card: Card, number: int, box: Box, logit: float, quality: Quality) -> FaceResult:
    """Verdict of one face of a picture."""
    level = card.level("face")
    p = p_fake(level, logit)
    verdict: Verdict = "inconclusive" if quality.size_px < card.min_face_px else decide(level, p)
    return FaceResult(id=number, box=_round_box(box), verdict=verdict, p_fake=round(p, DIGITS), quality=quality)


def judge_track(card: Card, number: int, log: TrackLog) -> TrackResult:
    """Verdict of one person through a clip: by the mean of the logits, or by the worst second where one stands out."""
    frame, track, quality = card.level("face"), card.level("track"), log.quality
    p = p_fake(track, log.mean_logit)
    verdict: Verdict = decide(track, p)
    segments = find_segments(log.times, log.logits, card.level("segment"))
    if quality.size_px < card.min_face_px:
        verdict, segments = "inconclusive", []
    elif segments and verdict != "likely_fake":
        verdict, p = "likely_fake", max(p, *(segment.p_fake for segment in segments))
    return TrackResult(
        id=number,
        start_s=round(log.times[0], 3),
        end_s=round(log.times[-1], 3),
        verdict=verdict,
        p_fake=round(p, DIGITS),
        quality=quality,
        scores=[(round(t, 3), round(p_fake(frame, z), DIGITS)) for t, z in zip(log.times, log.logits, strict=True)],
        boxes=[(round(t, 3), *_round_box(box)) for t, box in zip(log.times, log.boxes, strict=True)],
        segments=segments,
    )


def judge_picture(card: Card, faces: Sequence[FaceResult], logits: Sequence[float], report: Report) -> None:
    """Fill the verdict of a picture: the highest face, judged by what so many real faces would reach."""
    counted = _big_enough(card, faces, logits, "face", report)
    if counted:
        report.reasons = [_highest(card, "picture", [z for _, z in counted], report)]


def judge_clip(card: Card, tracks: Sequence[TrackResult], logits: Sequence[float], report: Report) -> None:
    """Fill the verdict of a clip: the highest track, and any stretch that looks faked.

    Args:
        card: Of the bundle.
        tracks: Judged tracks.
        logits: Mean logit of each track.
        report: Changed in place.
    """
    counted = _big_enough(card, tracks, logits, "track", report)
    if not counted:
        return
    sentence = _highest(card, "clip", [z for _, z in counted], report)
    stretches = [(track.id, segment) for track, _ in counted for segment in track.segments]
    report.reasons = [
        f"track {number} looks faked from {s.start_s:.1f} s to {s.end_s:.1f} s (score {p_text(s.p_fake)})"
        for number, s in stretches
    ]
    if stretches and report.verdict != "likely_fake":
        report.verdict, report.p_fake = "likely_fake", max(report.p_fake or 0.0, *(s.p_fake for _, s in stretches))
    else:
        report.reasons.insert(0, sentence)


def hold_back_turned(rolls: Mapping[int, float | None], what: str, report: Report) -> None:
    """Warn of faces or tracks, by number, that are turned by more than :data:`UPRIGHT`, and call none of them real.

    The model has learnt little of their like: most generated faces score like real ones when they lie on their side.
    """
    turned = {number: roll for number, roll in rolls.items() if roll is not None and roll > UPRIGHT}
    for number, roll in turned.items():
        report.warnings.append(
            f"{what} {number} is turned by about {round(roll, -1):.0f}°: the model has learnt from upright faces, "
            "turn the picture and look again"
        )
    subjects: list[FaceResult | TrackResult] = [*report.faces, *report.tracks]
    for subject in subjects:
        if subject.id in turned and subject.verdict == "likely_real":
            subject.verdict = "inconclusive"
    if turned and report.verdict == "likely_real":
        report.verdict = "inconclusive"
        report.reasons = [f"a {what} that is turned so far is never called real, however low it scores"]


Subject = TypeVar("Subject", FaceResult, TrackResult)


def _big_enough(
    card: Card, subjects: Sequence[Subject], logits: Sequence[float], what: str, report: Report
) -> list[tuple[Subject, float]]:
    """The faces or tracks that can be judged; where there are none the report says why."""
    counted = [(s, z) for s, z in zip(subjects, logits, strict=True) if s.quality.size_px >= card.min_face_px]
    small = len(subjects) - len(counted)
    if not subjects:
        report.verdict, report.reasons = "no_face", ["no face was found, so there is nothing to judge"]
    elif not counted:
        report.verdict, report.p_fake = "inconclusive", max(subject.p_fake or 0.0 for subject in subjects)
        report.reasons = [f"every face is smaller than {card.min_face_px:.0f} px: too small to judge"]
    elif small:
        number = f"{small} {what}s are" if small > 1 else f"1 {what} is"
        report.warnings.append(f"{number} smaller than {card.min_face_px:.0f} px: too small to judge")
    return counted


def _highest(card: Card, kind: Literal["picture", "clip"], logits: Sequence[float], report: Report) -> str:
    """Judge a file by its highest logit; gives the reason in words."""
    level = card.level(kind, len(logits))
    p = p_fake(level, max(logits))
    verdict = decide(level, p)
    report.verdict, report.p_fake = verdict, round(p, DIGITS)
    low, high = level.thresholds.likely_real, level.thresholds.likely_fake
    # Three digits where two would make the score look like a threshold that it is not.
    near = verdict == "inconclusive" and any(f"{p:.2f}" == f"{limit:.2f}" for limit in (low, high))
    score = f"{p:.3f}" if near else p_text(p)
    least, most = (f"{limit:.3f}" if near else f"{limit:.2f}" for limit in (low, high))
    what = "face" if kind == "picture" else "track"
    who = f"the {what}" if len(logits) == 1 else f"the {kind}, judged by the highest of its {len(logits)} {what}s,"
    if verdict == "likely_fake":
        return f"{who} scores {score}; at most {card.target_fpr:.0%} of real validation faces score {most} or more"
    if verdict == "likely_real":
        return f"{who} scores {score}; at most {card.target_miss:.0%} of fake validation faces score {least} or less"
    return f"{who} scores {score}, between the thresholds {least} and {most}: the model cannot tell"


def _round_box(box: Box) -> Box:
    x0, y0, x1, y1 = (round(float(v), 1) for v in box)
    return (x0, y0, x1, y1)
