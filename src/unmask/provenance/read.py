"""Reads provenance with what Pillow and PyAV give."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from unmask.base.errors import UnmaskError
from unmask.media.media import Media, open_media
from unmask.media.pictures import quiet
from unmask.provenance.types import Exif, Provenance, Xmp
from unmask.provenance.xmp import read_xmp

if TYPE_CHECKING:
    from PIL.Image import Image

    from unmask.media.clip import Labels

MAX_TEXT = 2000
"""Longest value that is kept, in characters; longer ones end in ``…``."""
MAX_ITEMS = 40
"""Most entries that are kept of a group."""

_EXIF = {
    "make": 0x010F,
    "model": 0x0110,
    "software": 0x0131,
    "changed": 0x0132,
    "artist": 0x013B,
    "copyright": 0x8298,
    "description": 0x010E,
}
_EXIF_PHOTO = {"taken": 0x9003, "user_comment": 0x9286, "lens": 0xA434}
_IPTC = {
    (2, 5): "title",
    (2, 40): "special_instructions",
    (2, 55): "date_created",
    (2, 65): "originating_program",
    (2, 80): "byline",
    (2, 105): "headline",
    (2, 110): "credit",
    (2, 115): "source",
    (2, 116): "copyright",
    (2, 120): "caption",
}
_NOT_TEXT = {"xmp", "XML:com.adobe.xmp", "icc_profile", "exif", "Raw profile type exif", "Raw profile type xmp"}


def read_provenance(source: Media | str | os.PathLike[str] | bytes) -> dict[str, Any]:
    """Read what a file says of its making.

    Args:
        source: An opened :class:`~unmask.media.Media`, a path or the bytes of a file.

    Returns:
        :class:`Provenance` as a dictionary without what was not found: safe for JSON, bounded in size (values end
        after :data:`MAX_TEXT` characters). Empty for arrays, and for files that cannot be read: never an error.
    """
    try:
        if isinstance(source, Media):
            found = _read(source)
        else:
            with open_media(source) as media:
                found = _read(media)
    except UnmaskError:
        return {}
    return found.model_dump(exclude_none=True)


def _read(media: Media) -> Provenance:
    found = Provenance()
    labels = media.labels()
    if labels is not None:
        _attempt(_read_container, labels, found)
        return found
    with media.open_image() as image:
        if image is None:
            return found
        with quiet():
            for reader in (_read_exif, _read_xmp, _read_iptc, _read_text, _read_icc):
                _attempt(reader, image, found)
    return found


def _attempt(reader: Any, subject: Any, found: Provenance) -> None:
    """Run one reader. A damaged block hides itself, not what the others find."""
    try:
        reader(subject, found)
    except Exception:  # metadata are garbage often enough, and no parser of them has an error of its own
        return


def clean(value: object) -> str:
    """Any stored value as printable text of bounded length."""
    if isinstance(value, (bytes, bytearray)):
        raw = bytes(value[: 4 * MAX_TEXT])
        value = raw.decode("utf-8", "replace")
    text = str(value)[: 2 * MAX_TEXT].encode("utf-8", "replace").decode("utf-8")
    text = "".join(c for c in text if c.isprintable() or c in "\n\t").strip()
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def _table(values: Mapping[Any, Any]) -> dict[str, str]:
    pairs = ((clean(key)[:100], clean(value)) for key, value in list(values.items())[:MAX_ITEMS])
    return {key: value for key, value in pairs if key and value}


def _exif_of(image: Image) -> Any:
    """EXIF without decoding: for a PNG Pillow reads the whole picture to see whether a block follows its pixels."""
    from PIL.Image import Image as AnyImage

    return AnyImage.getexif(image)


def _read_exif(image: Image, found: Provenance) -> None:
    exif = _exif_of(image)
    photo = exif.get_ifd(0x8769)
    values = {name: clean(exif[tag]) for name, tag in _EXIF.items() if tag in exif}
    for name, tag in _EXIF_PHOTO.items():
        if tag in photo:
            values[name] = _comment(photo[tag]) if name == "user_comment" else clean(photo[tag])
    known = Exif(**{name: value for name, value in values.items() if value}, has_gps=bool(exif.get_ifd(0x8825)) or None)
    if known.model_dump(exclude_none=True):
        found.exif = known


def _comment(value: object) -> str:
    """UserComment starts with eight bytes that name its encoding (Exif 3.0, 4.6.6.6)."""
    if not isinstance(value, bytes):
        return clean(value)
    code, body = value[:8], value[8 : 8 + 4 * MAX_TEXT]
    if code.startswith(b"UNICODE"):
        # The byte order is not stored; text has its zero bytes in the upper halves.
        order = "utf-16-be" if body[:200:2].count(0) >= body[1:200:2].count(0) else "utf-16-le"
        return clean(body.decode(order, "replace"))
    return clean(body if code.startswith((b"ASCII", b"JIS", b"\0")) else value)


def _read_xmp(image: Image, found: Provenance) -> None:
    packet: Any = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if packet is None:
        packet = _exif_of(image).get(700)
    if not packet:
        return
    text = packet if isinstance(packet, str) else bytes(packet).decode("utf-8", "replace")
    found.xmp = Xmp(**{name: clean(value) for name, value in read_xmp(text).items() if clean(value)})


def _read_iptc(image: Any, found: Provenance) -> None:
    from PIL import IptcImagePlugin

    stored = IptcImagePlugin.getiptcinfo(image) or {}
    values = {}
    for key, name in _IPTC.items():
        value: Any = stored.get(key)
        if value:
            values[name] = "; ".join(clean(v) for v in value[:MAX_ITEMS]) if isinstance(value, list) else value
    found.iptc = _table(values) or None


def _read_text(image: Image, found: Provenance) -> None:
    values = {
        key: value
        for key, value in image.info.items()
        if key == "comment" or (image.format == "PNG" and key not in _NOT_TEXT and isinstance(value, str))
    }
    found.text = _table(values) or None


def _read_icc(image: Image, found: Provenance) -> None:
    import io

    from PIL import ImageCms

    profile = image.info.get("icc_profile")
    if profile:
        found.icc_profile = clean(ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))) or None


def _read_container(labels: Labels, found: Provenance) -> None:
    found.container = _table(labels.container) or None
    found.streams = [_table(track) for track in labels.tracks[:MAX_ITEMS]] or None
