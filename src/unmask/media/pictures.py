"""Pictures: from a file or a Pillow object to upright 8-bit RGB."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from unmask.base.errors import MediaError, UnmaskError
from unmask.base.extras import require
from unmask.media.sniff import Kind

if TYPE_CHECKING:
    from PIL.Image import Image, Transpose

# Lets pass what cameras of 108 megapixels give; 120 million pixels are 360 MB as RGB.
MAX_PIXELS = 120_000_000

# The names of the few-byte sRGB profiles that large sites put into every picture (saucecontrol/Compact-ICC-Profiles).
_SMALL_SRGB = frozenset({"c2", "c2ci", "urgb"})

_FILTERS = threading.Lock()


def too_large(width: int, height: int, name: str) -> MediaError:
    """The error for pictures and clips whose pixels would fill the memory."""
    return MediaError(
        f"{width}×{height} pixels are more than the {MAX_PIXELS // 1_000_000} million that unmask decodes",
        hint="Reduce its size first, or cut out the face",
        path=name,
    )


def check_size(width: int, height: int, name: str) -> None:
    """Refuse decompression bombs and pictures without pixels.

    Raises:
        MediaError: Too many pixels, or none.
    """
    if width < 1 or height < 1:
        raise MediaError("the picture has no pixels", path=name)
    if width * height > MAX_PIXELS:
        raise too_large(width, height, name)


def broken(error: BaseException, name: str) -> UnmaskError:
    """Turn whatever a decoder raised into one error for the user."""
    if isinstance(error, UnmaskError):
        return error
    if isinstance(error, MemoryError):
        return MediaError("there is not enough memory to decode this", path=name)
    detail = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    return MediaError(f"the file is damaged or cut off: {detail}", hint="Copy or download it again", path=name)


def open_picture(file: BinaryIO, kind: Kind, name: str) -> Image:
    """Read the header of a picture; pixels are decoded by :func:`upright_rgb`.

    Raises:
        MediaError: The header is damaged, or the picture is too large.
        MissingExtraError: It is HEIC and pillow-heif is not installed.
    """
    from PIL import Image

    try:
        if kind.loader == "heic":
            image = _open_heic(file, name)
        else:
            with quiet():
                image = Image.open(file, formats=_pillow_formats(kind))
    except Image.DecompressionBombError as error:
        raise MediaError(
            f"the picture has more than the {MAX_PIXELS // 1_000_000} million pixels that unmask decodes",
            hint="Reduce its size first, or cut out the face",
            path=name,
        ) from error
    except Exception as error:  # decoders raise nearly everything on garbage
        raise broken(error, name) from error
    check_size(image.width, image.height, name)
    return image


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's warnings off stderr: of sizes, which are checked here, and of metadata, which change nothing.

    The filters belong to the whole process, hence the lock; only headers and metadata are read inside.
    """
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _pillow_formats(kind: Kind) -> list[str]:
    # Phones store several pictures in one JPEG (MPO); the first is the photograph.
    return [kind.codec, "MPO"] if kind.codec == "JPEG" else [kind.codec]


def _open_heic(file: BinaryIO, name: str) -> Image:
    try:
        heif: Any = require("pillow_heif", "heic", "reading HEIC pictures")
    except UnmaskError as error:
        error.path = name
        raise
    container = heif.open_heif(file, convert_hdr_to_8bit=True)
    check_size(container.size[0], container.size[1], name)
    image: Image = container.to_pillow()
    return image


def upright_rgb(image: Image, name: str, orientation: int | None = None) -> NDArray[np.uint8]:
    """Decode a Pillow picture to upright RGB.

    * EXIF orientation is applied.
    * An embedded colour profile other than sRGB is converted to sRGB (Display P3, Adobe RGB, CMYK profiles).
    * Transparency is laid over white, as web pages and viewers show cut-out portraits.
    * 16-bit grey keeps its upper eight bits; floating point is read as 0 to 1 (or 0 to 255 if it goes beyond 1).

    Args:
        image: What Pillow opened.
        name: For errors.
        orientation: As in EXIF, 1 to 8; default: what the picture itself says.

    Returns:
        H×W×3 uint8, contiguous.

    Raises:
        MediaError: The pixels are damaged or cut off. Half a picture is never returned.
    """
    check_size(image.width, image.height, name)
    try:
        image.load()
        # Loading a TIFF turns it and takes the mark away.
        turn = _turns().get(orientation_of(image) if orientation is None else orientation)
        pixels = np.asarray(_to_rgb(image if turn is None else image.transpose(turn)))
    except Exception as error:  # decoders raise nearly everything on garbage
        raise broken(error, name) from error
    return np.ascontiguousarray(pixels)


@functools.cache
def _turns() -> dict[int, Transpose]:
    """What makes a picture of each EXIF orientation upright (Exif 3.0, 4.6.5.1.6)."""
    from PIL.Image import Transpose

    return {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }


def upright_size(image: Image) -> tuple[int, int]:
    """Width and height after the EXIF orientation, without decoding the pixels."""
    width, height = image.size
    # Pillow itself turns TIFF pictures, and says the upright size.
    quarter = image.format != "TIFF" and orientation_of(image) in (5, 6, 7, 8)
    return (height, width) if quarter else (width, height)


def orientation_of(image: Image) -> int:
    """How a picture is to be turned, as in EXIF: 1 (upright) to 8. Reads the header only."""
    try:
        with quiet():
            value = image.getexif().get(0x0112, 1)
    except Exception:  # a damaged EXIF block turns nothing
        return 1
    return value if value in range(1, 9) else 1


def _to_rgb(image: Image) -> Image:
    from PIL import Image as Images

    if image.mode == "F" or image.mode.startswith("I"):
        return _from_deep_grey(image)
    if image.mode in ("P", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in ("LA", "La", "RGBa"):
        image = image.convert("RGBA")
    image = _to_srgb(image)
    if image.mode == "RGBA":
        if image.getchannel("A").getextrema()[0] == 255:
            return image.convert("RGB")
        white = Images.new("RGBA", image.size, (255, 255, 255, 255))
        return Images.alpha_composite(white, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_deep_grey(image: Image) -> Image:
    from PIL import Image as Images

    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    top = float(values.max(initial=0.0))
    if image.mode == "F":
        scale = 255.0 if top <= 1.0 else 1.0
    else:
        scale = 1.0 if image.mode == "I" and top <= 255 else 1 / 257
    grey = np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)
    return Images.fromarray(grey).convert("RGB")


def _to_srgb(image: Image) -> Image:
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK", "L"):
        return image
    import io

    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        description = ImageCms.getProfileDescription(source).strip().lower()
        if "srgb" in description or description in _SMALL_SRGB:
            return image
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image  # a damaged profile changes colours a little; it is no reason to refuse the picture
    return converted or image
