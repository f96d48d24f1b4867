"""Pictures and clips made on the spot, whose frames say which number they have."""

from __future__ import annotations

import io
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

BITS = 10
BLOCK = 16
# container: (FFmpeg's muxer, codec of the pictures, codec of the sound)
CONTAINERS = {
    "mp4": ("mp4", "libx264", "aac"),
    "mov": ("mov", "mpeg4", "aac"),
    "mkv": ("matroska", "libx264", "libopus"),
    "webm": ("webm", "libvpx-vp9", "libopus"),
    "avi": ("avi", "mpeg4", "mp2"),
    "ts": ("mpegts", "libx264", "mp2"),
    "mpg": ("mpeg", "mpeg2video", "mp2"),
    "flv": ("flv", "flv", "libmp3lame"),
    "ogg": ("ogg", "libvpx", "libopus"),
    "wmv": ("asf", "wmv2", "libmp3lame"),
}


def numbered(number: int, width: int = 2 * BITS * BLOCK, height: int = 96) -> NDArray[np.uint8]:
    """A grey picture with a row of black and white blocks: the bits of ``number``; a red bar at the top."""
    picture = np.full((height, width, 3), 96, np.uint8)
    picture[:16] = (200, 30, 30)
    for bit in range(BITS):
        value = 235 if number >> bit & 1 else 20
        picture[height // 2 : height // 2 + BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = value
    return picture


def number_of(picture: NDArray[np.uint8]) -> int:
    """Read the number back."""
    row = picture[picture.shape[0] // 2 + BLOCK // 2]
    return sum(int(row[bit * BLOCK + BLOCK // 2].mean() > 128) << bit for bit in range(BITS))


def make_clip(
    container: str = "mp4",
    *,
    frames: int = 30,
    fps: int = 10,
    sound: bool = False,
    codec: str | None = None,
    pixels: str = "yuv420p",
    times: Iterable[int] | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
    pixel_shape: Fraction | None = None,
    size: tuple[int, int] = (2 * BITS * BLOCK, 96),
) -> bytes:
    """Encode numbered pictures. ``times`` are their times in milliseconds, if not evenly spaced."""
    muxer, standard, sound_codec = CONTAINERS[container]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=muxer, container_options=container_options or {}) as output:
        output.metadata.update(metadata or {})
        stream: Any = output.add_stream(codec or standard, rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        stream.bit_rate = 2_000_000
        stream.options = options or {}
        if rotation:
            stream.set_display_rotation(rotation)
        if pixel_shape:
            stream.codec_context.sample_aspect_ratio = pixel_shape
        audio: Any = output.add_stream(sound_codec, rate=48000) if sound else None
        base = Fraction(1, fps)
        if times is not None:
            base = Fraction(1, 1000)
            stream.codec_context.time_base = base
        for number, pts in enumerate(times if times is not None else range(frames)):
            frame = av.VideoFrame.from_ndarray(numbered(number, *size), format="rgb24")
            frame.pts, frame.time_base = pts, base
            if pixels != "yuv420p":
                frame = frame.reformat(format=pixels)
                frame.pts, frame.time_base = pts, base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if audio is not None:
            _beep(output, audio, frames / fps)
    return buffer.getvalue()


def _beep(output: Any, stream: Any, seconds: float) -> None:
    resampler = av.AudioResampler(
        format=stream.codec_context.format, layout=stream.codec_context.layout, rate=48000, frame_size=0
    )
    wave = (np.sin(np.arange(int(48000 * seconds)) / 20) * 8000).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
    frame.sample_rate = 48000
    fifo = av.AudioFifo()
    for piece in resampler.resample(frame):
        piece.pts = None
        fifo.write(piece)
    length = stream.codec_context.frame_size or 1024
    position = 0
    while (piece := fifo.read(length, True)) is not None:
        piece.pts, piece.time_base = position, Fraction(1, 48000)
        position += piece.samples
        output.mux(stream.encode(piece))
    output.mux(stream.encode(None))


def make_sound(muxer: str = "mp4", codec: str = "aac") -> bytes:
    """A file with sound alone."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=muxer) as output:
        _beep(output, output.add_stream(codec, rate=48000), 1.0)
    return buffer.getvalue()


STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How an upright picture is stored, by its EXIF orientation."""


def make_animation(
    kind: str,
    *,
    frames: int = 8,
    delay: int | list[int] = 100,
    size: tuple[int, int] = (320, 96),
    orientation: int | None = None,
) -> bytes:
    """``kind``: GIF, WEBP, PNG or AVIF. With an EXIF ``orientation`` the pictures are stored turned, to be upright."""
    pictures = [Image.fromarray(numbered(number, *size)) for number in range(frames)]
    buffer = io.BytesIO()
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    if orientation is not None:
        pictures = [picture.transpose(STORED[orientation]) for picture in pictures]
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    pictures[0].save(buffer, kind, save_all=True, append_images=pictures[1:], duration=delay, loop=0, **options)
    return buffer.getvalue()


def encode(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """Store a Pillow picture."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def scene(width: int = 160, height: int = 120) -> NDArray[np.uint8]:
    """A smooth picture whose corners differ: red, green, blue and white."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    x, y = x / (width - 1), y / (height - 1)
    corners = np.array([[[220, 30, 30], [30, 200, 40]], [[40, 50, 210], [240, 240, 240]]], np.float64)
    top = corners[0, 0] * (1 - x[..., None]) + corners[0, 1] * x[..., None]
    bottom = corners[1, 0] * (1 - x[..., None]) + corners[1, 1] * x[..., None]
    return np.rint(top * (1 - y[..., None]) + bottom * y[..., None]).astype(np.uint8)
