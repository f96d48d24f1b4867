"""One file of a data set: which face it is about, and the frames that are kept of a clip."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import ceil, floor
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.base.errors import MediaError
from unmask.base.files import replacing
from unmask.faces.crop import crop_square
from unmask.faces.types import Box, Face, FaceBackend
from unmask.media import open_media

SURROUNDINGS = 2.5
"""Side of the stored square over the longer side of the face box: room for any margin a recipe may ask for."""

_FLAT = 2.0  # grey levels: what is left of the noise of a camera before a black wall once it is reduced
_RLE = 3  # zlib's Z_RLE
_FRAME = re.compile(r"(\d{5}|\.\d{5}\.[0-9a-f]{8})\.png")  # as store() names it, also before it is whole

Facts = dict[str, Any]


def look_at(path: str, src: Path, out: Path, backend: FaceBackend, *, frames: int, fps: float | None) -> list[Facts]:
    """The rows of one picture (one) or clip (one a frame).

    Args:
        path: The file, relative to ``src``.
        src: Folder of the data set.
        out: Folder below which frames of clips are stored, under ``frames/PATH/``.
        backend: Finds the faces.
        frames: Frames of a clip, spread evenly.
        fps: Frames a second of a clip instead.

    Returns:
        What the file itself tells of the manifest's columns, and in the first row ``phash``, its perceptual hash in
        hex: of a clip that of its first frame that shows anything; empty where none does.

    Raises:
        MediaError: The file cannot be decoded.
    """
    rows: list[Facts] = []
    hashed = ""
    previous: Box | None = None
    with open_media(src / path) as media:
        clip = media.info.kind == "clip"
        for frame in media.frames(fps=fps, max_frames=None if fps else frames):
            image = frame.image
            place: Facts = {"root": "src", "path": path}
            hashed = hashed or perceptual_hash(image)
            face = choose_face(backend.find(image), image.shape[1], image.shape[0], previous)
            if clip:
                if not rows:
                    _clear(out / "frames" / path)
                place = {"root": "out", "path": f"frames/{path}/{frame.index:05d}.png"}
                place |= {"clip": path, "time_s": round(frame.time_s, 4)}
                if face is not None:
                    previous = face.box
                    image, face = cut_surroundings(image, face)
                store(image, out / place["path"])
            rows.append(place | _facts(image, face))
            rows[0]["phash"] = hashed
    if not rows:
        raise MediaError("holds no frames", path=path)
    return rows


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


def cut_surroundings(image: NDArray[np.uint8], face: Face) -> tuple[NDArray[np.uint8], Face]:
    """The region of a frame that any crop of the face needs, and the face in its pixels.

    A crop made from the region has the pixels of one made from the frame: squares about one centre are nested, and
    both are moved inside at the same edge of the frame. A rim is for the filter that resizes the largest crop: it looks
    a little over its edge.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = crop_square(face.box, SURROUNDINGS, width, height)
    rim = 2 + (right - left) / 32
    x, y = max(0, floor(left - rim)), max(0, floor(top - rim))
    x0, y0, x1, y1 = face.box
    points = None if face.landmarks is None else face.landmarks - np.array([x, y], np.float32)
    region = image[y : min(height, ceil(bottom + rim)), x : min(width, ceil(right + rim))]
    return region, Face((x0 - x, y0 - y, x1 - x, y1 - y), face.score, points)


def _clear(folder: Path) -> None:
    """What an earlier run left of a clip: frames of other settings, and the one that a kill cut in two."""
    if folder.is_dir():
        for file in folder.iterdir():
            if _FRAME.fullmatch(file.name):
                file.unlink()


def store(image: NDArray[np.uint8], file: Path) -> None:
    """Write a frame as PNG (lossless), whole or not at all."""
    with replacing(file) as temporary:
        # Runs alone: two thirds of the time of level 4, for two percent more bytes (measured on cuts of faces).
        Image.fromarray(np.ascontiguousarray(image)).save(temporary, format="PNG", compress_type=_RLE)


def perceptual_hash(image: NDArray[np.uint8]) -> str:
    """64-bit hash (low frequencies of the cosine transform) in hex; near-duplicates differ in few bits.

    Empty for a picture of one colour, as a clip that fades in begins with: all of them have the same hash.
    """
    # Reduced here, since imagehash converts the whole picture to gray first.
    small = Image.fromarray(image).resize((64, 64), Image.Resampling.BOX, reducing_gap=2.0)
    if np.asarray(small, np.float32).std(axis=(0, 1)).max() < _FLAT:
        return ""
    return str(imagehash.phash(small))


def _facts(image: NDArray[np.uint8], face: Face | None) -> Facts:
    facts: Facts = {"width": image.shape[1], "height": image.shape[0]}
    if face is not None:
        facts |= dict(zip(("x0", "y0", "x1", "y1"), (round(float(value), 2) for value in face.box), strict=True))
        facts["face_score"] = round(float(face.score), 4)
        if face.landmarks is not None:
            facts["landmarks"] = [round(float(value), 2) for value in face.landmarks.reshape(-1)]
    return facts


def _overlap(a: Box, b: Box) -> float:
    inter = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union if union > 0 else 0.0
