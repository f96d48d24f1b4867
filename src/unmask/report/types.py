"""The types of a result. The JSON of ``unmask analyze --json`` is a :class:`Report`, one object a line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = "1.0"

Verdict = Literal["likely_fake", "likely_real", "inconclusive", "no_face", "error"]
Probability = float | None


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Media(_Model):
    """Facts of the file; sizes in pixels of the upright picture."""

    kind: Literal["picture", "clip"]
    format: str
    width: int
    height: int
    duration_s: float | None = None
    fps: float | None = Field(None, description="Frames a second of the file itself")
    frames_analyzed: int = 1


class Quality(_Model):
    """How good the material is that a score rests on."""

    size_px: float = Field(description="Shorter side of the face box (median over a track)")
    sharpness: float = Field(description="Variance of the Laplacian of the grey crop (median over a track)")
    detection: float = Field(description="Confidence of the face detector in [0, 1] (median over a track)")


class FaceResult(_Model):
    """One face of a picture."""

    id: int
    box: tuple[float, float, float, float] = Field(description="x0, y0, x1, y1 in pixels of the upright picture")
    verdict: Verdict
    p_fake: Probability
    quality: Quality
    parts: list[dict[str, Any]] = Field(default_factory=list)


class Segment(_Model):
    """A stretch of a track that looks faked."""

    start_s: float
    end_s: float
    p_fake: float


class TrackResult(_Model):
    """One person through a clip."""

    id: int
    start_s: float
    end_s: float
    verdict: Verdict
    p_fake: Probability
    quality: Quality
    parts: list[dict[str, Any]] = Field(default_factory=list)
    scores: list[tuple[float, float]] = Field(default_factory=list, description="(seconds, p_fake of that frame)")
    boxes: list[tuple[float, float, float, float, float]] = Field(
        default_factory=list, description="(seconds, x0, y0, x1, y1)"
    )
    segments: list[Segment] = Field(default_factory=list)


class ModelInfo(_Model):
    """The bundle that gave the scores."""

    name: str
    version: str
    sha256: str
    provider: str
    thresholds: dict[str, dict[str, float]] = Field(description="By level: likely_real and likely_fake")
    domain: str = ""
    faces: str = Field("default", description="The face backend that was used")


class ErrorInfo(_Model):
    """Why a file could not be judged."""

    code: str
    message: str


class Report(_Model):
    """What unmask says of one input. A score is evidence, not proof.

    ``p_fake`` is in [0, 1], 1 = fake, and null for ``no_face`` and ``error``.
    """

    schema_version: str = SCHEMA_VERSION
    path: str
    sha256: str | None = None
    media: Media | None = None
    verdict: Verdict
    p_fake: Probability = None
    reasons: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    faces: list[FaceResult] = Field(default_factory=list)
    tracks: list[TrackResult] = Field(default_factory=list)
    provenance: dict[str, Any] = Field(default_factory=dict)
    model: ModelInfo | None = None
    timing_ms: dict[str, float] = Field(default_factory=dict)
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the model saw of one face and what it made of it; not part of the JSON.

    Attributes:
        subject: ``id`` of the face (pictures) or of the track (clips).
        time_s: Seconds in the clip; 0.0 for pictures.
        square: The part of the picture that was cut out (x0, y0, x1, y1 in pixels).
        crop: S×S×3 uint8 RGB, the network's input.
        map: h×w float32, evidence in logits: above 0 speaks for fake. Its mean is the part of the logit it explains.
        p_fake: Calibrated score of this crop.
    """

    subject: int
    time_s: float
    square: tuple[float, float, float, float]
    crop: NDArray[np.uint8]
    map: NDArray[np.float32]
    p_fake: float


@dataclass(frozen=True, slots=True)
class Result:
    """A report with the crops and maps behind it (all faces of a picture; for a clip the most telling few a track)."""

    report: Report
    evidence: list[Evidence] = field(default_factory=list)
