"""Views of the carried portrait: turned, warped, mirrored, in other light and before other backgrounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from unmask.data import PORTRAIT

Picture = NDArray[np.uint8]
Points = NDArray[np.float32]

# Right eye, left eye (as the person has them), nose, corners of the mouth; read off the portrait.
_POINTS = np.array([[203, 101], [246, 102], [225, 127], [204, 140], [244, 141]], np.float64)
_CENTRE = np.array([224.0, 121.0])
_MIRRORED = [1, 0, 2, 4, 3]
_CELLS = 6


def portrait() -> Image.Image:
    """The portrait, RGB."""
    with Image.open(PORTRAIT) as image:
        return image.convert("RGB")


def view(source: Image.Image, rng: np.random.Generator) -> tuple[Picture, Points]:
    """A square cut out around the face, as another camera on another day might have seen it.

    Everything is done in one resampling, by a grid whose nodes are moved: turned up to 14 degrees, stretched by up to
    7 %, mirrored in every second, and bent smoothly by a few percent of the face, which changes its features.

    Args:
        source: The portrait.
        rng: Source of all chance.

    Returns:
        S×S×3 uint8 with S from 176 to 272, and the 5×2 points of the face in it.
    """
    side = int(rng.integers(176, 273))
    angle = np.deg2rad(rng.uniform(-14, 14))
    spread = np.abs(np.cos(angle)) + np.abs(np.sin(angle))
    width = rng.uniform(165, 250)
    stretch = rng.uniform(0.93, 1.07)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    flip = -1.0 if rng.random() < 0.5 else 1.0
    linear = turn @ np.diag([flip * stretch, 1 / stretch]) * (width / side)
    reach = width * spread * max(stretch, 1 / stretch) / 2
    centre = _CENTRE + rng.uniform(-0.06, 0.06, 2) * width
    # All of the square lies inside the portrait: black corners would be a mark.
    centre = np.clip(centre, reach + 8, np.array(source.size) - reach - 8)
    bend = rng.normal(0, 0.012 * width, (_CELLS + 1, _CELLS + 1, 2))
    nodes = np.linspace(0, side, _CELLS + 1)
    grid = np.stack(np.meshgrid(nodes, nodes), axis=2)

    def to_source(points: NDArray[np.float64]) -> NDArray[np.float64]:
        moved: NDArray[np.float64] = (points - side / 2) @ linear.T + centre
        return moved

    corners = to_source(grid) + bend
    edges = nodes.round().astype(int)
    mesh = []
    for i in range(_CELLS):
        for j in range(_CELLS):
            box = (int(edges[j]), int(edges[i]), int(edges[j + 1]), int(edges[i + 1]))
            quad = [corners[i, j], corners[i + 1, j], corners[i + 1, j + 1], corners[i, j + 1]]
            mesh.append((box, tuple(float(value) for corner in quad for value in corner)))
    image = source.transform((side, side), Image.Transform.MESH, mesh, Image.Resampling.BICUBIC)
    points = _back(_POINTS, to_source, np.asarray(np.linalg.inv(linear), np.float64), bend, side)
    if flip < 0:
        points = points[_MIRRORED]
    return light(np.asarray(image), rng), points.astype(np.float32)


def _back(
    targets: NDArray[np.float64],
    to_source: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    inverse: NDArray[np.float64],
    bend: NDArray[np.float64],
    side: int,
) -> NDArray[np.float64]:
    """Where points of the portrait lie in the view: a few steps of a fixed-point iteration, the bend being small."""
    points = np.full_like(targets, side / 2)
    for _ in range(20):
        points = points + (targets - to_source(points) - _between(bend, points / side * _CELLS)) @ inverse.T
    return points


def _between(values: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bilinear interpolation of node values at N×2 (x, y) in units of cells."""
    place = np.clip(at, 0, _CELLS - 1e-6)
    x, y = place[:, 0].astype(int), place[:, 1].astype(int)
    u, v = (place[:, 0] - x)[:, None], (place[:, 1] - y)[:, None]
    top = values[y, x] * (1 - u) + values[y, x + 1] * u
    low = values[y + 1, x] * (1 - u) + values[y + 1, x + 1] * u
    mixed: NDArray[np.float64] = top * (1 - v) + low * v
    return mixed


def light(pixels: Picture, rng: np.random.Generator) -> Picture:
    """Other light and colours: exposure, contrast, white balance, saturation, a lamp from one side; some in grey."""
    height, width = pixels.shape[:2]
    values = pixels.astype(np.float32) / 255
    values = values ** np.float32(np.exp(rng.uniform(-0.3, 0.3)))
    values = (values - 0.45) * np.float32(rng.uniform(0.8, 1.15)) + 0.45 + np.float32(rng.uniform(-0.06, 0.06))
    values *= rng.uniform(0.9, 1.1, 3).astype(np.float32)
    grey = values.mean(axis=2, keepdims=True)
    colour = 0.0 if rng.random() < 0.08 else rng.uniform(0.6, 1.25)
    values = grey + (values - grey) * np.float32(colour)
    direction, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.28)
    down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    values *= (1 + strength * (np.cos(direction) * across + np.sin(direction) * down))[..., None].astype(np.float32)
    result: Picture = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    return result


def before_background(pixels: Picture, rng: np.random.Generator) -> Picture:
    """The picture as it is, or hung on a larger ground: a wash of two colours with soft blotches."""
    if rng.random() < 0.5:
        return pixels
    side = int(pixels.shape[0] * rng.uniform(1.15, 1.5))
    colours = rng.integers(20, 236, (2, 3)).astype(np.float32)
    ramp = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
    ground = np.broadcast_to(colours[0] * (1 - ramp) + colours[1] * ramp, (side, side, 3))
    if rng.random() < 0.5:
        ground = ground.transpose(1, 0, 2)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    blotches = (np.asarray(coarse, np.float32)[..., None] - 128) * np.float32(rng.uniform(0.1, 0.4))
    canvas = Image.fromarray(np.clip(ground + blotches, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))
    room = side - pixels.shape[0]
    canvas.paste(Image.fromarray(pixels), (int(rng.integers(0, room + 1)), int(rng.integers(0, room + 1))))
    return np.asarray(canvas)
