"""Animated GIF, WebP, PNG and AVIF: clips that Pillow composes, one frame in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from unmask.media.pictures import broken, upright_rgb

if TYPE_CHECKING:
    from PIL.Image import Image

# Every browser shows a frame that asks for at most 10 ms for 100 ms.
_SHORTEST_MS = 10.0
_INSTEAD_MS = 100.0


def delay_ms(stored: float) -> float:
    """How long a frame is shown, given what the file says."""
    return stored if stored > _SHORTEST_MS else _INSTEAD_MS


def delays_ms(file: BinaryIO, kind: str) -> list[float]:
    """How long each frame is shown, read from the file's structure (AVIF: decoded once to find out).

    Args:
        file: Opened for reading, at its start.
        kind: ``gif``, ``webp``, ``png`` or ``avif``.

    Returns:
        Milliseconds a frame. Shorter than the animation where the file is cut off.
    """
    reader = {"gif": _gif_delays, "webp": _webp_delays, "png": _apng_delays, "avif": _avif_delays}[kind]
    return [delay_ms(value) for value in reader(file)]


def _webp_delays(file: BinaryIO) -> Iterator[float]:
    """``ANMF`` chunks of the RIFF container (https://developers.google.com/speed/webp/docs/riff_container)."""
    file.seek(12)
    while len(head := file.read(8)) == 8:
        size = int.from_bytes(head[4:], "little")
        size += size & 1
        if head[:4] == b"ANMF":
            frame = file.read(16)
            if len(frame) < 16:
                return
            yield float(int.from_bytes(frame[12:15], "little"))
            size -= 16
        file.seek(max(size, 0), 1)


def _apng_delays(file: BinaryIO) -> Iterator[float]:
    """``fcTL`` chunks (PNG specification, third edition, 11.3.6.2)."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        size = int.from_bytes(head[:4], "big")
        if head[4:] == b"fcTL":
            body = file.read(26)
            if len(body) < 26:
                return
            numerator = int.from_bytes(body[20:22], "big")
            denominator = int.from_bytes(body[22:24], "big") or 100
            yield 1000.0 * numerator / denominator
            size -= 26
        file.seek(max(size, 0) + 4, 1)


def _avif_delays(file: BinaryIO) -> Iterator[float]:
    from PIL import Image

    with Image.open(file, formats=["AVIF"]) as image:
        for index in range(getattr(image, "n_frames", 1)):
            try:
                image.seek(index)
                image.load()
            except Exception:  # cut off; walk() says so
                return
            yield float(image.info.get("duration", 0))


def _gif_delays(file: BinaryIO) -> Iterator[float]:
    """Graphic control extensions before each picture (GIF89a specification, 20 and 23)."""
    file.seek(0)
    screen = file.read(13)
    if len(screen) < 13:
        return
    if screen[10] & 0x80:
        file.seek(3 << ((screen[10] & 7) + 1), 1)
    delay = 0.0
    while mark := file.read(1):
        if mark == b"!":
            label = file.read(1)
            first = _gif_blocks(file)
            if label == b"\xf9" and len(first) >= 4:
                delay = 10.0 * int.from_bytes(first[1:3], "little")
        elif mark == b",":
            head = file.read(9)
            if len(head) < 9:
                return
            if head[8] & 0x80:
                file.seek(3 << ((head[8] & 7) + 1), 1)
            file.seek(1, 1)
            _gif_blocks(file)
            yield delay
            delay = 0.0
        elif mark == b";":
            return


def _gif_blocks(file: BinaryIO) -> bytes:
    """Skip a chain of sub-blocks; return the first."""
    first = b""
    while size := file.read(1):
        if size == b"\0":
            break
        if first:
            file.seek(size[0], 1)
        else:
            first = file.read(size[0])
    return first


def walk(image: Image, delays: list[float], name: str, notes: list[str]) -> Iterator[tuple[float, Image]]:
    """Step through the frames.

    Args:
        image: Opened by Pillow.
        delays: What :func:`delays_ms` gave.
        name: For errors.
        notes: Gets a warning when the file is cut off.

    Yields:
        (seconds since the start, the picture positioned at that frame).

    Raises:
        MediaError: Not even the first frame can be decoded.
    """
    time_ms = 0.0
    index = 0
    while True:
        try:
            image.seek(index)
            image.load()
        except EOFError:
            break
        except Exception as error:  # decoders raise nearly everything on garbage
            if index == 0:
                raise broken(error, name) from error
            notes.append(f"the animation is damaged or cut off after frame {index}; what comes before was used")
            break
        yield time_ms / 1000, image
        time_ms += delays[index] if index < len(delays) else _INSTEAD_MS
        index += 1
        if index >= getattr(image, "n_frames", 1):
            break


def frame_rgb(image: Image, name: str, orientation: int) -> NDArray[np.uint8]:
    """The current frame as H×W×3 uint8, upright. A copy, since Pillow draws the next frame over the last.

    The orientation is that of the file: not every decoder keeps it from frame to frame.
    """
    return upright_rgb(image.copy(), name, orientation)
