"""Masks of faces from five points: whole face, inner face, halves, single features; deformed and soft."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Vector = NDArray[np.float32]

# Outlines in the face's own axes: x in units of half the eye distance towards the person's left, y in units of the
# distance from eyes to mouth, downwards from the eyes.
_KINDS = {
    "whole": 0.22,
    "square": 0.14,
    "brow_to_chin": 0.19,
    "inner": 0.16,
    "lower": 0.07,
    "half": 0.06,
    "mouth": 0.06,
    "eyes": 0.06,
    "nose": 0.04,
}

# Half the width, height above and below the origin: the feature itself, or the middle of the eyes.
_FEATURES = {"eyes": (0.75, 0.3, 0.3), "nose": (0.75, 0.75, 0.3), "mouth": (1.15, 0.4, 0.45)}
_FACES = {
    "whole": (2.05, 1.15, 1.75),
    "brow_to_chin": (1.95, 0.45, 1.7),
    "inner": (1.6, 0.4, 1.4),
    "half": (2.0, 0.75, 1.7),
    "lower": (1.75, 0.45, 1.0),
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
    unit = float(np.hypot(*down))
    small = kind in {"mouth", "eyes", "nose"}
    soft = max(0.4, float(np.exp(rng.uniform(np.log(0.01), np.log(0.08 if small else 0.16)))) * unit)
    # What will be blurred by many pixels is drawn small and enlarged: the same mask for a fraction of the time.
    scale = min(1.0, 2.5 / soft)
    grid = (max(8, round(size[0] * scale)), max(8, round(size[1] * scale)))
    ratio = np.array(grid) / np.array(size)
    mask = _drawn(_outlines(kind, landmarks, eyes, across, down, rng), grid, ratio, soft * scale)
    outline = np.array(valid if valid is not None else [(0, 0)])
    if valid is not None and not _holds(outline, size):
        # Twice the blurred edge less its middle: the ramp lies wholly inside, so nothing from outside shines through.
        mask = ImageChops.darker(mask, _drawn([outline], grid, ratio, soft * scale).point(_UPPER_HALF))
    mask = mask if grid == size else mask.resize(size, Image.Resampling.BILINEAR)
    strength = float(rng.choice([0.6, 0.8, 1.0, 1.0, 1.0]))
    return mask if strength == 1.0 else mask.point([round(strength * value) for value in range(256)])


_UPPER_HALF = [max(0, 2 * value - 255) for value in range(256)]


def _drawn(
    outlines: list[NDArray[np.float64]], size: tuple[int, int], ratio: NDArray[np.float64], soft: float
) -> Image.Image:
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    for outline in outlines:
        draw.polygon([(float(x), float(y)) for x, y in outline * ratio], fill=255)
    return mask.filter(ImageFilter.GaussianBlur(soft))


def _holds(quad: NDArray[np.float64], size: tuple[int, int]) -> bool:
    """Whether a convex polygon, in the order of its corners, holds the whole picture."""
    corners = np.array([[0, 0], [size[0], 0], [size[0], size[1]], [0, size[1]]], float)
    edge = np.roll(quad, -1, axis=0) - quad
    away = corners[:, None] - quad[None]
    turn = edge[None, :, 0] * away[..., 1] - edge[None, :, 1] * away[..., 0]
    return bool((turn > 0).all() or (turn < 0).all())


def _outlines(
    kind: str, landmarks: Vector, eyes: Vector, across: Vector, down: Vector, rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    def placed(shape: NDArray[np.float64], origin: Vector = eyes) -> NDArray[np.float64]:
        return origin + shape[:, :1] * across + shape[:, 1:] * down

    if kind in _FEATURES:
        origins = {"eyes": list(landmarks[:2]), "nose": [landmarks[2]], "mouth": [landmarks[3:].mean(axis=0)]}[kind]
        return [placed(_oval(*_FEATURES[kind], rng), origin) for origin in origins]
    if kind == "square":
        # Tools that work on an aligned square put the whole of it back, its edges softened: in pairs of inswapper the
        # change reaches from -1.3 to 1.8 downwards and 2.6 to either side.
        return [placed(_oval(rng.uniform(2.2, 2.6), 1.3, 1.8, rng, fullness=0.35, jaw=0.0, wave=0.02))]
    shape = _oval(*_FACES[kind], rng)
    if kind == "lower":
        shape[:, 1] += 0.75
    if kind == "half":
        side = rng.choice([-1, 1])
        shape[:, 0] = np.where(shape[:, 0] * side < 0, shape[:, 0] * 0.08, shape[:, 0])
    return [placed(shape)]


def _oval(
    width: float,
    up: float,
    low: float,
    rng: np.random.Generator,
    *,
    fullness: float = 0.8,
    jaw: float = 0.25,
    wave: float = 0.08,
) -> NDArray[np.float64]:
    """Closed outline about the origin, narrower below, its radius changed by slow waves.

    Args:
        width: Half the width.
        up: Height above the origin.
        low: Height below it.
        rng: Source of chance.
        fullness: Exponent of a superellipse: 1 an ellipse, cheeks and jaw are a little fuller, 0 a rectangle.
        jaw: By how much it narrows downwards.
        wave: Largest share of the radius by which a wave changes it.
    """
    angle = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    x, y = (np.sign(value) * np.abs(value) ** fullness for value in (np.cos(angle), np.sin(angle)))
    x = x * width * np.where(y > 0, 1 - jaw * y**2, 1.0)
    y = y * np.where(y > 0, low, up)
    order = np.array([1, 2, 3, 5, 7])[:, None]
    size, phase = rng.uniform(-wave, wave, (5, 1)) / np.sqrt(order), rng.uniform(0, 2 * np.pi, (5, 1))
    waves = (size * np.sin(order * angle + phase)).sum(axis=0)
    scale = rng.uniform(0.85, 1.08)
    outline: NDArray[np.float64] = np.stack([x, y], axis=1) * (scale * (1 + waves))[:, None]
    return outline
