"""Scenes with a known face: NASA's portrait of Eileen Collins (scikit-image's astronaut, public domain) on textures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

import unmask.faces
from unmask.faces import Face, FaceBackend, load_backend
from unmask.media.types import Frame

Picture = NDArray[np.uint8]
WEIGHTS = Path(unmask.faces.__file__).parent / "weights" / "faces.onnx"
# In the portrait: what is pasted as a head and as a person, and the side and centre of the face.
HEAD = (140, 30, 310, 220)
PERSON = (70, 10, 400, 360)
FACE_SIDE = 91
FACE_CENTRE = (224, 121)


@cache
def backend() -> FaceBackend:
    return load_backend("default")


@cache
def texture(height: int, width: int, seed: int = 0) -> Picture:
    """Coloured noise of many scales, like foliage or gravel: something on which false alarms are likely."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for cell in (4, 16, 64, 256):
        coarse = rng.integers(0, 256, (height // cell + 2, width // cell + 2, 3), np.uint8)
        total += np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR), np.float32)
    total = (total / 4 - 127) * 1.5 + 127 + rng.normal(0, 6, total.shape).astype(np.float32)
    picture = np.clip(total, 0, 255).astype(np.uint8)
    picture.setflags(write=False)
    return picture


def portrait(other: bool = False) -> Picture:
    """The portrait, or a recoloured and mirrored one: another person to anything that looks at colours."""
    picture = data.astronaut()
    if not other:
        return picture
    mixed = picture.astype(np.float32)[:, ::-1] @ np.array([[0.55, 0.1, 0.05], [0.2, 0.55, 0.1], [0.0, 0.1, 0.5]])
    return np.clip(mixed, 0, 255).astype(np.uint8)


def paste(scene: Picture, side: float, centre: tuple[float, float], *, other: bool = False, head: bool = True) -> None:
    """Put the portrait on ``scene`` (in place) so that its face has this side and centre; what lies outside is cut."""
    picture, scale = portrait(other), side / FACE_SIDE
    x0, y0, x1, y1 = HEAD if head else PERSON
    face_x = FACE_CENTRE[0]
    if other:
        width = picture.shape[1]
        x0, x1, face_x = width - x1, width - x0, width - face_x
    size = (round((x1 - x0) * scale), round((y1 - y0) * scale))
    part = np.asarray(Image.fromarray(picture[y0:y1, x0:x1]).resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0))
    left, top = round(centre[0] - (face_x - x0) * scale), round(centre[1] - (FACE_CENTRE[1] - y0) * scale)
    a, b = max(0, left), max(0, top)
    c, d = min(scene.shape[1], left + size[0]), min(scene.shape[0], top + size[1])
    if c > a and d > b:
        scene[b:d, a:c] = part[b - top : d - top, a - left : c - left]


def is_at(face: Face, side: float, centre: tuple[float, float]) -> bool:
    """Whether a found face is the pasted one."""
    x0, y0, x1, y1 = face.box
    return x0 < centre[0] < x1 and y0 < centre[1] < y1 and 0.6 < face.size / side < 1.7


def frames(pictures: Iterator[Picture], fps: float = 3.0) -> Iterator[Frame]:
    for index, picture in enumerate(pictures):
        yield Frame(picture, index / fps, index)


def real_data() -> Path:
    """The folder of real data, or a visible skip."""
    folder = os.environ.get("UNMASK_DATA")
    if not folder:
        pytest.skip("$UNMASK_DATA is not set")
    return Path(folder)
