"""Results made by hand, for what is drawn and written from them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmask.faces.crop import crop_face, crop_square
from unmask.faces.types import Box, CropSpec
from unmask.report import (
    ErrorInfo,
    Evidence,
    FaceResult,
    Media,
    ModelInfo,
    Quality,
    Report,
    Result,
    Segment,
    TrackResult,
    Verdict,
)

ASTRONAUT_BOX: Box = (178.0, 65.0, 270.0, 176.0)
HOSTILE = "<script>alert(1)</script>{{7*7}}\"'&\x1b[2J\u202egpj.jpg"
MODEL = ModelInfo(
    name="by-hand",
    version="1.2",
    sha256="ab" * 32,
    provider="CPUExecutionProvider",
    thresholds={
        "face": {"likely_real": 0.2, "likely_fake": 0.8},
        "picture": {"likely_real": 0.2, "likely_fake": 0.8},
        "picture_5": {"likely_real": 0.3, "likely_fake": 0.9},
        "track": {"likely_real": 0.25, "likely_fake": 0.75},
    },
    domain="nothing: made by hand",
)
QUALITY = Quality(size_px=92.0, sharpness=120.5, detection=0.94)


@lru_cache
def astronaut() -> NDArray[np.uint8]:
    import skimage.data

    return np.asarray(skimage.data.astronaut())


def verdict_of(p: float | None) -> Verdict:
    if p is None:
        return "no_face"
    return "likely_fake" if p >= 0.8 else "likely_real" if p <= 0.2 else "inconclusive"


def bump(height: int = 14, width: int = 14, low: float = -3.0, high: float = 5.0) -> NDArray[np.float32]:
    """A map that runs from ``low`` at the left to ``high`` at the right."""
    return np.tile(np.linspace(low, high, width, dtype=np.float32), (height, 1))


def make_face(number: int = 0, p: float = 0.93, box: Box = ASTRONAUT_BOX) -> FaceResult:
    return FaceResult(id=number, box=box, verdict=verdict_of(p), p_fake=p, quality=QUALITY)


def picture_result(
    name: str = "astronaut.png",
    p: float = 0.93,
    boxes: tuple[Box, ...] = (ASTRONAUT_BOX,),
    image: NDArray[np.uint8] | None = None,
    **fields: Any,
) -> Result:
    image = astronaut() if image is None else image
    height, width = image.shape[:2]
    faces = [make_face(i, p, box) for i, box in enumerate(boxes)]
    evidence = [
        Evidence(
            face.id,
            0.0,
            crop_square(face.box, 1.3, width, height),
            crop_face(image, face.box, CropSpec(size=64)),
            bump(),
            p,
        )
        for face in faces
    ]
    report = Report(
        path=name,
        media=Media(kind="picture", format="png", width=width, height=height),
        verdict=verdict_of(p) if faces else "no_face",
        p_fake=p if faces else None,
        reasons=["the face scores 0.93"] if faces else ["no face was found, so there is nothing to judge"],
        faces=faces,
        model=MODEL,
        **fields,
    )
    return Result(report, evidence)


def error_result(name: str = "broken.jpg") -> Result:
    return Result(
        Report(
            path=name, verdict="error", error=ErrorInfo(code="media", message="the file is cut off. Download it again")
        )
    )


def make_track(
    number: int = 0,
    start: float = 0.0,
    end: float = 3.0,
    fps: float = 3.0,
    box: Box = (40.0, 10.0, 90.0, 80.0),
    move: float = 30.0,
    segments: tuple[tuple[float, float], ...] = ((1.0, 2.0),),
) -> TrackResult:
    """One person who goes ``move`` pixels to the right each second, with a high score inside the segments."""
    times = [round(t, 3) for t in np.arange(start, end + 1e-6, 1 / fps).tolist()]
    inside = [any(a <= t <= b for a, b in segments) for t in times]
    x0, y0, x1, y1 = box
    return TrackResult(
        id=number,
        start_s=times[0],
        end_s=times[-1],
        verdict="likely_fake" if segments else "likely_real",
        p_fake=0.93 if segments else 0.08,
        quality=QUALITY,
        scores=[(t, 0.95 if high else 0.06) for t, high in zip(times, inside, strict=True)],
        boxes=[(t, x0 + move * (t - start), y0, x1 + move * (t - start), y1) for t in times],
        segments=[Segment(start_s=a, end_s=b, p_fake=0.93) for a, b in segments],
    )


def clip_report(*tracks: TrackResult, width: int = 320, height: int = 96, duration_s: float = 3.0) -> Report:
    faked = any(track.segments for track in tracks)
    return Report(
        path="clip.mp4",
        media=Media(
            kind="clip", format="mp4", width=width, height=height, duration_s=duration_s, fps=10.0, frames_analyzed=9
        ),
        verdict="likely_fake" if faked else "likely_real" if tracks else "no_face",
        p_fake=0.93 if faked else 0.08 if tracks else None,
        tracks=list(tracks),
        model=MODEL,
        reasons=["track 0 looks faked from 1.0 s to 2.0 s (score 0.93)"] if faked else [],
    )
