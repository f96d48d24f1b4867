"""The types of a result, and nothing that behaves."""

from unmask.report.types import (
    SCHEMA_VERSION,
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

__all__ = [
    "SCHEMA_VERSION",
    "ErrorInfo",
    "Evidence",
    "FaceResult",
    "Media",
    "ModelInfo",
    "Quality",
    "Report",
    "Result",
    "Segment",
    "TrackResult",
    "Verdict",
]
