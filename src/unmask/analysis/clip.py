"""What is kept of the people of a clip while it streams by."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from unmask.faces.quality import sharpness
from unmask.faces.types import Box, Face
from unmask.report import Evidence, Quality

EVIDENCE_PER_TRACK = 3
EVIDENCE_PER_CLIP = 60


@dataclass(frozen=True, slots=True)
class Sample:
    """One face of one frame, scored.

    Attributes:
        time_s: Seconds in the clip.
        face: As found.
        square: What was cut out, x0, y0, x1, y1 in pixels.
        crop: S×S×3 uint8 RGB.
        map: h×w float32 evidence in logits.
        logit: Not calibrated.
    """

    time_s: float
    face: Face
    square: Box
    crop: NDArray[np.uint8]
    map: NDArray[np.float32]
    logit: float

    @property
    def quality(self) -> Quality:
        """Quality of this sample."""
        return Quality(
            size_px=round(self.face.size, 1),
            sharpness=round(sharpness(self.crop), 1),
            detection=round(self.face.score, 3),
        )


@dataclass(slots=True)
class TrackLog:
    """One person: a few numbers for every sample, pictures only for the most telling samples."""

    times: list[float] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    logits: list[float] = field(default_factory=list)
    qualities: list[tuple[float, float, float]] = field(default_factory=list)
    rolls: list[float] = field(default_factory=list)
    evidence: list[tuple[float, Evidence]] = field(default_factory=list)

    def add(self, sample: Sample) -> None:
        """Note the numbers of one sample."""
        quality = sample.quality
        self.times.append(sample.time_s)
        self.boxes.append(sample.face.box)
        self.logits.append(sample.logit)
        self.qualities.append((quality.size_px, quality.sharpness, quality.detection))
        roll = sample.face.roll
        if roll is not None:
            self.rolls.append(roll)

    def wants(self, logit: float) -> bool:
        """Whether a sample of this logit could be kept; saves copying the others."""
        return len(self.evidence) < EVIDENCE_PER_TRACK or logit > self.evidence[-1][0]

    def keep(self, logit: float, evidence: Evidence) -> None:
        """Keep the evidence if it is among the highest of this track and no higher one lies within a second."""
        near = {i for i, (_, kept) in enumerate(self.evidence) if abs(kept.time_s - evidence.time_s) < 1.0}
        if any(self.evidence[i][0] >= logit for i in near):
            return
        rest = [entry for i, entry in enumerate(self.evidence) if i not in near]
        self.evidence = sorted([*rest, (logit, evidence)], key=lambda entry: -entry[0])[:EVIDENCE_PER_TRACK]

    @property
    def mean_logit(self) -> float:
        """Mean over the samples."""
        return float(np.mean(self.logits))

    @property
    def roll(self) -> float | None:
        """Median of :attr:`unmask.faces.types.Face.roll`."""
        return statistics.median(self.rolls) if self.rolls else None

    @property
    def quality(self) -> Quality:
        """Medians over the samples."""
        size, sharp, detection = (statistics.median(column) for column in zip(*self.qualities, strict=True))
        return Quality(size_px=size, sharpness=sharp, detection=detection)


def bounded(logs: dict[int, TrackLog]) -> list[Evidence]:
    """The evidence of all tracks by track and time; of many tracks only the :data:`EVIDENCE_PER_CLIP` highest."""
    entries = sorted(
        ((logit, number, evidence) for number, log in logs.items() for logit, evidence in log.evidence),
        key=lambda entry: -entry[0],
    )[:EVIDENCE_PER_CLIP]
    kept = sorted(entries, key=lambda entry: (entry[1], entry[2].time_s))
    return [replace(evidence, subject=number) for _, number, evidence in kept]
