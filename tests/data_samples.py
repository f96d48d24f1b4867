"""Small pictures and clips for the tests of the data room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plant = Callable[..., Path]


def noise(seed: int, side: int = 48) -> NDArray[np.uint8]:
    """Coarse noise: no two seeds look alike, also to a perceptual hash."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def write_clip(file: Path, pictures: list[NDArray[np.uint8]], fps: int = 10) -> None:
    import av

    height, width = pictures[0].shape[:2]
    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w") as output:
        stream: Any = output.add_stream("libx264", rate=fps, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
