"""Backend ``dlib``: the frontal detector of dlib (HOG and a linear classifier), for recipes published with it.

Source: King, "Max-Margin Object Detection", arXiv 1502.00046. It finds upright frontal faces from about 80 px.
"""

from __future__ import annotations

import math
import threading

import numpy as np
from numpy.typing import NDArray

from unmask.base.extras import require
from unmask.faces.resize import shrink
from unmask.faces.types import Effort, Face

_LONG_SIDE = 640


class DlibFrontal:
    """dlib's frontal detector: long side 640, then enlarged twice where nothing was found."""

    name = "dlib"
    certain = 0.75

    def __init__(self) -> None:
        self._dlib = require("dlib", "dlib", "the face backend dlib")
        # A detector of dlib keeps scratch memory, so each thread has its own.
        self._local = threading.local()

    def find(self, image: NDArray[np.uint8], *, effort: Effort = "thorough") -> list[Face]:
        """Faces of an H×W×3 uint8 RGB picture, largest first, without landmarks.

        The score is 1 / (1 + exp(-d)), d being dlib's distance from the decision border; 0.5 is the border itself.
        ``quick`` leaves the enlarged try out.
        """
        if not hasattr(self._local, "detector"):
            self._local.detector = self._dlib.get_frontal_face_detector()
        factor = max(1.0, max(image.shape[:2]) / _LONG_SIDE)
        height, width = (max(1, round(side / factor)) for side in image.shape[:2])
        small = np.ascontiguousarray(image) if factor == 1.0 else shrink(image, width, height)
        faces: list[Face] = []
        for upsample in (0, 1) if effort == "thorough" else (0,):
            boxes, distances, _ = self._local.detector.run(small, upsample, 0.0)
            for box, distance in zip(boxes, distances, strict=True):
                x0, y0, x1, y1 = (float(v) for v in (box.left(), box.top(), box.right() + 1, box.bottom() + 1))
                scaled = (x0 * factor, y0 * factor, x1 * factor, y1 * factor)
                faces.append(Face(scaled, 1 / (1 + math.exp(-distance))))
            if faces:
                break
        return sorted(faces, key=lambda face: -face.size)


def load(argument: str, *, device: str, threads: int | None) -> DlibFrontal:  # noqa: ARG001
    """See :func:`unmask.faces.backends.load_backend`."""
    return DlibFrontal()
