"""Degradations that pictures meet on their way: re-encoding, reduction, blur, noise. NumPy and Pillow only.

Evaluation uses them at fixed levels (:data:`LEVELS`), training at random ones. Every function takes and gives an H×W×3
uint8 RGB picture of the same size.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Picture = NDArray[np.uint8]
Change = Callable[[Picture], Picture]


def jpeg(image: Picture, quality: int, *, subsampling: int = 2) -> Picture:
    """JPEG and back.

    Args:
        image: H×W×3 uint8 RGB.
        quality: 1 to 100.
        subsampling: Of the colours: 0 = 4:4:4, 1 = 4:2:2, 2 = 4:2:0.
    """
    return _through(image, "JPEG", quality=quality, subsampling=subsampling)


def webp(image: Picture, quality: int) -> Picture:
    """Lossy WebP (quality 1 to 100) and back."""
    return _through(image, "WEBP", quality=quality, method=2)


def _through(image: Picture, kind: str, **options: int) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return np.asarray(Image.open(buffer).convert("RGB"))


def blur(image: Picture, sigma: float) -> Picture:
    """Gaussian blur; ``sigma`` in pixels of the picture."""
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma))) if sigma > 0 else image


def reduce(image: Picture, factor: float, *, filter: Image.Resampling = Image.Resampling.BICUBIC) -> Picture:
    """Reduce to ``factor`` of the size, in (0, 1], and enlarge again."""
    if not 0 < factor <= 1:
        raise ValueError(f"factor must lie in (0, 1], not {factor}")
    height, width = image.shape[:2]
    small = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(image).resize(small, filter).resize((width, height), filter))


def noise(image: Picture, sigma: float, *, seed: int | np.random.Generator = 0) -> Picture:
    """Gaussian noise on each channel; ``sigma`` as a share of the full range."""
    rng = np.random.default_rng(seed)
    loud = image + rng.normal(0.0, 255.0 * sigma, image.shape).astype(np.float32)
    result: Picture = np.clip(np.rint(loud), 0, 255).astype(np.uint8)
    return result


def social(image: Picture, side: int, quality: int) -> Picture:
    """What a social network does: reduce to a longer side of ``side`` px, JPEG; here enlarged back to the old size."""
    height, width = image.shape[:2]
    factor = min(1.0, side / max(height, width))
    small = Image.fromarray(image).resize(
        (max(1, round(width * factor)), max(1, round(height * factor))), Image.Resampling.LANCZOS
    )
    again = Image.fromarray(jpeg(np.asarray(small), quality))
    return np.asarray(again.resize((width, height), Image.Resampling.BICUBIC))


LEVELS: dict[str, Change] = {
    **{f"jpeg {q}": partial(jpeg, quality=q) for q in (80, 60, 40, 20, 10)},
    "webp 60": partial(webp, quality=60),
    **{f"blur {s:g} px": partial(blur, sigma=s) for s in (0.5, 1.0, 2.0, 3.0)},
    **{f"reduce to {f:g}": partial(reduce, factor=f) for f in (0.75, 0.5, 0.25)},
    **{f"noise {s:g}": partial(noise, sigma=s) for s in (0.01, 0.03, 0.1)},
    "social 768 px q60": partial(social, side=768, quality=60),
    "social 512 px q40": partial(social, side=512, quality=40),
}
"""Name -> degradation at a level in use in the field. Blur and noise are in pixels and values of the picture."""
