"""How one face is varied in training: NumPy and Pillow, a few milliseconds, alike for both labels."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from unmask.faces.types import Box
from unmask.train.recipe import AugmentRecipe

Picture = NDArray[np.uint8]
Place = tuple[float, float, float, float]
_BILINEAR = Image.Resampling.BILINEAR
_FILTERS = (_BILINEAR, _BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.BOX, Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class _Bend:
    """A turn about the crop's centre by ``angle``, after each row was moved sideways by ``slope`` times its height.

    Attributes:
        angle: In radians.
        slope: Tangent of the angle of the slant.
    """

    angle: float
    slope: float

    @classmethod
    def drawn(cls, recipe: AugmentRecipe, rng: np.random.Generator) -> _Bend:
        angle, slope = 0.0, 0.0
        if rng.random() < recipe.rotate:
            angle = math.radians(rng.uniform(-1, 1) * recipe.rotate_degrees)
        if recipe.shear and rng.random() < recipe.shear:
            slope = math.tan(math.radians(rng.uniform(-1, 1) * recipe.shear_degrees))
        return cls(angle, slope)

    @property
    def grow(self) -> float:
        """Side of the upright square around the bent one, over its side; 1 where nothing is bent."""
        along, across, wide = abs(math.cos(self.angle)), abs(math.sin(self.angle)), 1 + abs(self.slope)
        return max(wide * along + across, wide * across + along)

    def apply(self, image: Image.Image, place: Place, rng: np.random.Generator) -> tuple[Image.Image, Place]:
        """Bend the picture; where it ends too early the crop shrinks so far that no corner lies outside."""
        left, top, right, bottom = place
        cx, cy = (left + right) / 2, (top + bottom) / 2
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        a, b, d, e = cos, cos * self.slope + sin, -sin, cos - sin * self.slope
        bent = image.transform(
            image.size,
            Image.Transform.AFFINE,
            (a, b, cx - a * cx - b * cy, d, e, cy - d * cx - e * cy),
            Image.Resampling.BICUBIC if rng.random() < 0.5 else _BILINEAR,
        )
        # A pixel less than there is: the filters look beside the place that they are asked for.
        reach = max(1.0, min(cx, cy, image.width - cx, image.height - cy) - 1)
        half = min((right - left) / 2, reach / self.grow)
        return bent, (cx - half, cy - half, cx + half, cy + half)


def jittered_square(box: Box, width: int, height: int, recipe: AugmentRecipe, rng: np.random.Generator) -> Box:
    """A crop square as :func:`unmask.faces.crop.crop_square` makes it, with margin and place varied; inside."""
    x0, y0, x1, y1 = box
    longer = max(x1 - x0, y1 - y0)
    # On pictures that are hardly larger than the face the margin has no room; a little zoom keeps some variety.
    side = min(longer * rng.uniform(*recipe.margin), width * rng.uniform(0.9, 1.1), height * rng.uniform(0.9, 1.1))
    if recipe.zoom:
        side *= rng.uniform(1 - recipe.zoom, 1 + recipe.zoom)
    side = max(1.0, min(side, width, height))
    dx, dy = rng.uniform(-recipe.shift, recipe.shift, 2) * longer
    left = min(max((x0 + x1) / 2 + dx - side / 2, 0.0), width - side)
    top = min(max((y0 + y1) / 2 + dy - side / 2, 0.0), height - side)
    return (left, top, left + side, top + side)


def augment(pixels: Picture, box: Box, size: int, recipe: AugmentRecipe, rng: np.random.Generator) -> Picture:
    """Cut the face out, vary it and bring it to the network's size.

    Args:
        pixels: H×W×3 uint8 RGB, the face with its surroundings.
        box: The face in pixels of ``pixels``.
        size: Side of the result.
        recipe: Shares and ranges.
        rng: Source of all chance.

    Returns:
        size×size×3 uint8 RGB.
    """
    height, width = pixels.shape[:2]
    left, top, right, bottom = jittered_square(box, width, height, recipe, rng)
    bend = _Bend.drawn(recipe, rng)
    pad = 2 + int(2 * (right - left) / size) + int((bend.grow - 1) * (right - left) / 2)
    x, y = max(0, int(left) - pad), max(0, int(top) - pad)
    image = Image.fromarray(np.ascontiguousarray(pixels[y : int(bottom) + pad + 1, x : int(right) + pad + 1]))
    place = (left - x, top - y, min(right - x, image.width), min(bottom - y, image.height))
    # What happens to a picture on its way through the net happens before the face is cut out and resized.
    if rng.random() < recipe.grey:
        image = image.convert("L").convert("RGB")
    if rng.random() < recipe.rescale:
        image = rescale(image, rng.uniform(recipe.rescale_to, 0.95), rng)
    if rng.random() < recipe.encode:
        image = encode(image, recipe.quality, rng)
    if bend.grow > 1:
        image, place = bend.apply(image, place, rng)
    image = image.resize((size, size), _BILINEAR, box=place)
    if rng.random() < recipe.flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < recipe.blur:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.6)))
    if rng.random() < recipe.sharpen:
        image = image.filter(ImageFilter.UnsharpMask(rng.uniform(0.5, 2.5), int(rng.uniform(30, 160)), 0))
    if rng.random() < recipe.colour:
        image = recolour(image, rng)
    if rng.random() < recipe.noise:
        image = _noise(image, rng)
    if rng.random() < recipe.encode_after:
        image = encode(image, recipe.quality, rng)
    array = np.array(image)
    if rng.random() < recipe.cutout:
        _cut_out(array, rng)
    return array


def encode(image: Image.Image, quality: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """Encode and decode again: mostly JPEG (4:4:4 or 4:2:0), now and then WebP."""
    buffer = io.BytesIO()
    value = int(rng.integers(quality[0], quality[1] + 1))
    if rng.random() < 0.1:
        image.save(buffer, "WEBP", quality=value, method=0)
    else:
        image.save(buffer, "JPEG", quality=value, subsampling=0 if rng.random() < 0.4 else 2)
    buffer.seek(0)
    return Image.open(buffer).convert("RGB")


def rescale(image: Image.Image, factor: float, rng: np.random.Generator) -> Image.Image:
    """Make smaller and enlarge again, with filters by chance."""
    down, up = rng.integers(len(_FILTERS), size=2)
    small = (max(8, round(image.width * factor)), max(8, round(image.height * factor)))
    return image.resize(small, _FILTERS[down]).resize(image.size, _FILTERS[up])


def recolour(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Brightness, contrast, gamma, saturation and a slight tint."""
    if rng.random() < 0.5:
        image = ImageEnhance.Color(image).enhance(rng.uniform(0.5, 1.5))
    level = np.arange(256, dtype=np.float64) / 255
    gain, contrast, gamma = rng.uniform(0.8, 1.2), rng.uniform(0.8, 1.25), math.exp(rng.uniform(-0.3, 0.3))
    curve = np.clip((level**gamma - 0.5) * contrast + 0.5, 0, 1) * gain
    tint = rng.uniform(0.95, 1.05, 3) if rng.random() < 0.4 else np.ones(3)
    table = np.clip(curve[None, :] * tint[:, None] * 255 + 0.5, 0, 255).astype(np.uint8)
    return image.point(table.ravel().tolist())


def _noise(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    array = np.asarray(image, np.float32)
    channels = 1 if rng.random() < 0.4 else 3
    grain = rng.standard_normal((*array.shape[:2], channels), np.float32) * rng.uniform(1, 8)
    return Image.fromarray(np.clip(array + grain + 0.5, 0, 255).astype(np.uint8))


def _cut_out(array: Picture, rng: np.random.Generator) -> None:
    side = array.shape[0]
    height, width = (int(side * rng.uniform(0.1, 0.35)) for _ in range(2))
    y, x = int(rng.integers(0, side - height)), int(rng.integers(0, side - width))
    array[y : y + height, x : x + width] = rng.integers(0, 256, 3, dtype=np.uint8)
