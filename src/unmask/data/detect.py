"""Which face of a picture a row is about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.base.errors import UsageError
from unmask.faces.types import Box, Face, FaceBackend
from unmask.faces.yunet import YuNet, suppress


def choose_face(faces: Sequence[Face], width: int, height: int, previous: Box | None = None) -> Face | None:
    """The face that a picture is about: large and near the middle.

    Area times (1 - d/2), d the distance of the face's centre from the picture's over half the diagonal: a face of twice
    the area wins wherever it is, of two alike the more central. In a clip the face that overlaps the one of the
    previous frame (intersection over union of at least 0.2) is preferred, so that a row of frames shows one person.
    """
    if not faces:
        return None
    if previous is not None:
        nearest = max(faces, key=lambda face: _overlap(face.box, previous))
        if _overlap(nearest.box, previous) >= 0.2:
            return nearest

    def weight(face: Face) -> float:
        x0, y0, x1, y1 = face.box
        away = np.hypot((x0 + x1 - width) / 2, (y0 + y1 - height) / 2) / (np.hypot(width, height) / 2)
        return float((x1 - x0) * (y1 - y0) * (1 - away / 2))

    return max(faces, key=weight)


def _overlap(a: Box, b: Box) -> float:
    inter = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union if union > 0 else 0.0


class TwoPass:
    """A YuNet file run twice: reduced to 320 px with a border of a quarter, then at 640 px at most.

    The border is for faces that fill the picture, the second pass for small ones.
    """

    def __init__(self, name: str, model: Path) -> None:
        self.name = name
        self._net = YuNet(model, device="cpu", threads=1)

    def find(self, image: NDArray[np.uint8]) -> list[Face]:
        """Faces in pixels of the picture, largest first."""
        faces = self._pass(image, 320, 0.25) + self._pass(image, 640, 0.0)
        if not faces:
            return []
        boxes = np.array([face.box for face in faces], np.float32)
        kept = suppress(boxes, np.array([face.score for face in faces], np.float32), 0.3)
        return sorted((faces[i] for i in kept), key=lambda face: -face.size)

    def _pass(self, image: NDArray[np.uint8], side: int, border: float) -> list[Face]:
        height, width = image.shape[:2]
        scale = min(side / max(height, width) / (1 + border), 1.0 if not border else 2.0)
        small = Image.fromarray(image).resize(
            (max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BILINEAR
        )
        pad = int(max(small.size) * border / 2)
        framed = np.pad(np.asarray(small), ((pad, pad), (pad, pad), (0, 0)))
        found = []
        for face in self._net.find(framed):
            x0, y0, x1, y1 = ((value - pad) / scale for value in face.box)
            points = None if face.landmarks is None else (face.landmarks - pad) / scale
            found.append(Face((x0, y0, x1, y1), face.score, points))
        return found


def open_backend(name: str) -> FaceBackend:
    """The face backend of that name, one thread for each call.

    Raises:
        UsageError: There is no such backend.
    """
    if name.startswith("yunet:"):
        return TwoPass(name, Path(name.removeprefix("yunet:")))
    raise UsageError(f"unknown face backend {name!r}", hint="Use yunet:FILE")
