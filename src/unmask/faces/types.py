"""What the faces room gives: boxes, tracks, and the recipe of a crop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the upright picture; x1 and y1 lie outside."""

Effort = Literal["thorough", "quick"]
"""``thorough``: everything from 24 px up, for pictures; ``quick``: one reduced look, for most frames of a clip."""


@dataclass(frozen=True, slots=True)
class Face:
    """A face that a backend found.

    Attributes:
        box: See :data:`Box`; may reach beyond the picture.
        score: The backend's confidence in [0, 1]; 1.0 for a box that the user gave.
        landmarks: 5×2 float32 pixels (right eye, left eye, nose, right and left corner of the mouth, as the person
            has them), or None where the backend gives none.
    """

    box: Box
    score: float
    landmarks: NDArray[np.float32] | None = None

    @property
    def size(self) -> float:
        """Shorter side of the box in pixels."""
        return min(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @property
    def turn(self) -> float | None:
        """Radians, -pi...pi, counter-clockwise as seen, by which the line from eyes to mouth leaves straight down."""
        if self.landmarks is None:
            return None
        x, y = (self.landmarks[3:5].mean(axis=0) - self.landmarks[:2].mean(axis=0)).tolist()
        return math.atan2(x, y)

    @property
    def roll(self) -> float | None:
        """Degrees, 0...180, by which the line from the eyes to the mouth is turned away from straight down."""
        turn = self.turn
        return None if turn is None else abs(math.degrees(turn))


@dataclass(slots=True)
class Track:
    """One person through a clip.

    Attributes:
        id: Number, from 0, in order of first appearance.
        times: Seconds of each sampled frame in which the face was found, rising.
        faces: The face at each of these times.
    """

    id: int
    times: list[float] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)


class CropSpec(BaseModel):
    """How a face becomes a network's input; part of a bundle's card, obeyed by training, evaluation and analysis alike.

    Attributes:
        faces: Face backend the network was trained with: ``default``, ``dlib``, ``none``, ...
        margin: Side of the square crop over the longer side of the face box.
        size: Side of the crop in pixels after resizing.
        alignment: ``none``: the crop is never turned.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    faces: str = "default"
    margin: float = Field(default=1.3, ge=1.0, le=4.0)
    size: int = Field(default=224, ge=32, le=1024)
    alignment: Literal["none"] = "none"


class FaceBackend(Protocol):
    """Anything that finds faces.

    Attributes:
        name: As it is asked for.
        certain: A score that false alarms hardly reach; a track of a clip that never reaches it is dropped.
    """

    name: str
    certain: float

    def find(self, image: NDArray[np.uint8], *, effort: Effort = "thorough") -> list[Face]:
        """Find the faces of an H×W×3 uint8 RGB picture, largest first. Safe to call from several threads."""
        ...
