"""Masks of faces from five points: whole face, inner face, halves, single features; deformed and soft."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Vector = NDArray[np.float32]

# Outlines in the face's own axes: x in units of half the eye distance towards the person's left, y in units of the
# distance from eyes to mouth, downwards from the eyes.
_KINDS = {
    "whole": 0.26,
    "brow_to_chin": 0.22,
    "inner": 0.20,
    "lower": 0.08,
    "half": 0.08,
    "mouth": 0.06,
    "eyes": 0.06,
    "nose": 0.04,
}


def face_axes(landmarks: NDArray[np.float32]) -> tuple[Vector, Vector, Vector, Vector]:
    """(middle of the eyes, middle of the face, across, down) in pixels.

    ``across`` reaches from the middle of the eyes to an eye, ``down`` from the eyes to the mouth. Of a head that is
    turned away the eyes fall together; ``across`` is then lengthened to what the height of the face asks for.
    """
    points = np.asarray(landmarks, np.float32)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    down = mouth - eyes
    across = (points[1] - points[0]) / 2
    height, width = max(float(np.hypot(*down)), 1.0), float(np.hypot(*across))
    if width < 0.38 * height:
        direction = across / width if width > 1e-3 else np.array([down[1], -down[0]], np.float32) / height
        across = direction * np.float32(0.38 * height)
    return eyes, eyes + down * np.float32(0.5), across, down


def draw_mask(
    landmarks: NDArray[np.float32],
    size: tuple[int, int],
    rng: np.random.Generator,
    valid: list[tuple[float, float]] | None = None,
) -> Image.Image:
    """A soft mask of a random part of the face.

    Args:
        landmarks: 5×2 pixels.
        size: Width and height of the mask.
        rng: Source of chance.
        valid: Polygon outside which nothing may be taken.

    Returns:
        8-bit mask, 255 = replaced. Its strength is at times below 255, as some tools blend.
    """
    kind = str(rng.choice(list(_KINDS), p=list(_KINDS.values())))
    eyes, _, across, down = face_axes(landmarks)
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    for outline in _outlines(kind, landmarks, eyes, across, down, rng):
        draw.polygon([(float(x), float(y)) for x, y in outline], fill=255)
    unit = float(np.hypot(*down))
    small = kind in {"mouth", "eyes", "nose"}
    soft = float(np.exp(rng.uniform(np.log(0.01), np.log(0.08 if small else 0.16)))) * unit
    blur = ImageFilter.GaussianBlur(max(soft, 0.4))
    mask = mask.filter(blur)
    if valid is not None:
        allowed = Image.new("L", size)
        ImageDraw.Draw(allowed).polygon(valid, fill=255)
        # Twice the blurred edge less its middle: the ramp lies wholly inside, so nothing from outside shines through.
        mask = ImageChops.darker(mask, allowed.filter(blur).point([max(0, 2 * value - 255) for value in range(256)]))
    strength = float(rng.choice([0.6, 0.8, 1.0, 1.0, 1.0]))
    return mask if strength == 1.0 else mask.point([round(strength * value) for value in range(256)])


def _outlines(
    kind: str, landmarks: Vector, eyes: Vector, across: Vector, down: Vector, rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    def placed(shape: NDArray[np.float64], origin: Vector = eyes) -> NDArray[np.float64]:
        return origin + shape[:, :1] * across + shape[:, 1:] * down

    if kind == "eyes":
        return [placed(_oval(0.75, 0.3, 0.3, rng), landmarks[i]) for i in (0, 1)]
    if kind == "nose":
        return [placed(_oval(0.75, 0.75, 0.3, rng), landmarks[2])]
    if kind == "mouth":
        return [placed(_oval(1.15, 0.4, 0.45, rng), landmarks[3:].mean(axis=0))]
    if kind == "lower":
        shape = _oval(1.75, 0.45, 1.0, rng)
        return [placed(shape + np.array([0.0, 0.75]))]
    if kind == "half":
        shape = _oval(2.0, 0.75, 1.7, rng)
        side = rng.choice([-1, 1])
        shape[:, 0] = np.where(shape[:, 0] * side < 0, shape[:, 0] * 0.08, shape[:, 0])
        return [placed(shape)]
    width, up, low = {"whole": (2.05, 1.15, 1.75), "brow_to_chin": (1.95, 0.45, 1.7), "inner": (1.6, 0.4, 1.4)}[kind]
    return [placed(_oval(width, up, low, rng))]


def _oval(width: float, up: float, low: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Closed outline about the origin, narrower below, its radius changed by slow waves of up to a tenth."""
    angle = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    x, y = np.cos(angle), np.sin(angle)
    # Exponent 0.8: cheeks and jaw are fuller than an ellipse.
    x, y = (np.sign(value) * np.abs(value) ** 0.8 for value in (x, y))
    x = x * width * np.where(y > 0, 1 - 0.25 * y**2, 1.0)
    y = y * np.where(y > 0, low, up)
    waves = sum(
        rng.uniform(-0.08, 0.08) / k**0.5 * np.sin(k * angle + rng.uniform(0, 2 * np.pi)) for k in (1, 2, 3, 5, 7)
    )
    scale = rng.uniform(0.85, 1.08)
    return np.stack([x, y], axis=1) * (scale * (1 + waves))[:, None]
