"""The card: what a bundle says of itself, as JSON in the metadata of its ONNX file."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from unmask.faces.types import CropSpec

METADATA_KEY = "unmask_card"

LevelKind = Literal["face", "track", "segment", "picture", "clip"]


STAND_IN: dict[LevelKind, LevelKind] = {"segment": "face", "track": "face", "picture": "face", "clip": "picture"}
"""Which level judges where a card has none of a kind."""


class Thresholds(BaseModel):
    """On the calibrated ``p_fake``: at or above ``likely_fake`` fake, at or below ``likely_real`` real."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    likely_real: float = Field(ge=0, le=1)
    likely_fake: float = Field(ge=0, le=1)


class Level(BaseModel):
    """Calibration and thresholds of one kind of decision.

    ``p_fake = sigmoid(scale * z + shift)`` (Platt, 1999), z being the logit of a face, the mean logit of a track or of
    a segment (about a second of a track), or the highest of the logits of a file's faces or tracks.

    Attributes:
        kind: ``face``, ``track``, ``segment``, ``picture`` (a file with ``faces`` faces) or ``clip`` (with ``faces``
            tracks).
        faces: For ``picture`` and ``clip``: fitted for files with at most so many faces; the highest of ten faces is
            not judged by a threshold made for one.
        scale, shift: Of the calibration.
        thresholds: See :class:`Thresholds`.
        fitted_on: What it was fitted on, in words, with counts.
        ece: Expected calibration error on that data (15 bins), or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: LevelKind
    faces: int = Field(1, ge=1)
    scale: float = Field(1.0, gt=0)
    shift: float = 0.0
    thresholds: Thresholds
    fitted_on: str = ""
    ece: float | None = None

    @property
    def name(self) -> str:
        """For people: ``face``, ``picture, up to 5 faces``, ``clip, up to 2 tracks``."""
        what = "tracks" if self.kind == "clip" else "faces"
        return self.kind if self.faces == 1 else f"{self.kind}, up to {self.faces} {what}"


class TrainingSet(BaseModel):
    """One data set that a network was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    real: int
    fake: int
    terms: str


class Card(BaseModel):
    """Everything that is needed to use a bundle rightly and to know where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str
    version: str
    architecture: str
    crop: CropSpec
    levels: list[Level] = Field(description="At least the level `face`")
    prior: float = Field(0.5, gt=0, lt=1, description="Share of fakes that calibration and thresholds assume")
    target_fpr: float = Field(0.02, description="False-positive rate on validation reals that likely_fake was set for")
    target_miss: float = Field(0.05, description="Share of validation fakes that may fall to likely_real")
    min_face_px: float = Field(0.0, description="Smaller faces (shorter side of the box) are always inconclusive")
    map_range: tuple[float, float] = Field((-4.0, 4.0), description="Logits shown as the ends of the evidence map")
    domain: str = Field("", description="What the calibration holds for, in words")
    metrics: dict[str, Any] = Field(default_factory=dict)
    training: list[TrainingSet] = Field(default_factory=list)
    terms: str = ""
    code_version: str = ""
    machine: str = ""
    created: str = ""

    @model_validator(mode="after")
    def _has_face_level(self) -> Card:
        if not any(level.kind == "face" for level in self.levels):
            raise ValueError("a card needs at least the level 'face'")
        return self

    def level(self, kind: LevelKind, faces: int = 1) -> Level:
        """The level made for ``faces`` faces: the smallest fitted number that is not below it, else the largest.

        A card without the level ``segment`` has stretches judged by ``face``, one without ``clip`` by ``picture``.
        """
        rows = sorted((level for level in self.levels if level.kind == kind), key=lambda level: level.faces)
        if not rows:
            return self.level(STAND_IN[kind], faces)
        return next((level for level in rows if level.faces >= faces), rows[-1])
