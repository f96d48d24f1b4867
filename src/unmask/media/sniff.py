"""What a file is, told by its first bytes and never by its name.

A name proves nothing: FFmpeg, left to guess, would take a playlist called ``clip.mp4`` for a playlist and read the
files and URLs that it lists. So the container is decided here, and the one demuxer that belongs to it is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HEAD_BYTES = 4096

Loader = Literal["pillow", "animation", "heic", "clip"]


@dataclass(frozen=True, slots=True)
class Kind:
    """How a file is to be read.

    Attributes:
        format: Short lower-case name, as in ``MediaInfo.format``.
        loader: Which part of the room reads it.
        codec: Pillow's name of the format, or FFmpeg's name of the demuxer.
    """

    format: str
    loader: Loader
    codec: str


# Containers that hold everything they play. FFmpeg's own names of the demuxers.
DEMUXERS = {
    "mp4": "mov",
    "mov": "mov",
    "matroska": "matroska",
    "webm": "matroska",
    "avi": "avi",
    "mpegts": "mpegts",
    "mpeg": "mpeg",
    "flv": "flv",
    "ogg": "ogg",
    "asf": "asf",
}

_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_MOV_ATOMS = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"uuid"}
_NOT_MEDIA = (
    (b"#EXTM3U", "a playlist"),
    (b"ffconcat", "a list of clips"),
    (b"[playlist]", "a playlist"),
    (b"v=0", "a stream description (SDP)"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive (or an office document)"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"ID3", "a sound file"),
    (b"fLaC", "a sound file"),
    (b"{\\rtf", "a text document"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"<svg", "a vector drawing"),
    (b"<?xml", "an XML document"),
    (b"8BPS", "a Photoshop document"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
)


def sniff(head: bytes) -> Kind | None:
    """Tell what a file is by its first :data:`HEAD_BYTES` bytes; None when it is nothing that unmask reads."""
    return _picture(head) or _iso_media(head) or _clip(head)


def describe_other(head: bytes) -> str:
    """Name a well-known kind of file that unmask does not read, or ``""``."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, name in _NOT_MEDIA:
        if head.startswith(magic) or text[: len(magic)].lower() == magic.lower():
            return name
    return ""


def _picture(head: bytes) -> Kind | None:  # noqa: PLR0911 (a table of signatures)
    if head.startswith(b"\xff\xd8\xff"):
        return Kind("jpeg", "pillow", "JPEG")
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return Kind("png", "animation" if _is_apng(head) else "pillow", "PNG")
    if head.startswith((b"GIF87a", b"GIF89a")):
        return Kind("gif", "animation", "GIF")
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        animated = head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & 0x02)
        return Kind("webp", "animation" if animated else "pillow", "WEBP")
    if head.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        return Kind("tiff", "pillow", "TIFF")
    if head.startswith(b"BM") and len(head) >= 26 and head[6:10] == b"\0\0\0\0":
        return Kind("bmp", "pillow", "BMP")
    return None


def _is_apng(head: bytes) -> bool:
    """An animated PNG has an ``acTL`` chunk before its first ``IDAT`` (PNG specification, third edition, 11.3.6.1)."""
    position = 8
    while position + 8 <= len(head):
        kind = head[position + 4 : position + 8]
        if kind == b"acTL":
            return True
        if kind == b"IDAT":
            return False
        position += 12 + int.from_bytes(head[position : position + 4], "big")
    # Long text or colour chunks may push it out of sight; Pillow counts the frames then.
    return True


def _iso_media(head: bytes) -> Kind | None:
    """ISO base media (ISO/IEC 14496-12): MP4 and QuickTime clips, AVIF and HEIC pictures."""
    if head[4:8] != b"ftyp":
        return Kind("mov", "clip", "mov") if head[4:8] in _MOV_ATOMS else None
    size = int.from_bytes(head[:4], "big")
    box = head[8 : max(16, min(size, len(head)))]
    major = box[:4]
    brands = {major, *(box[i : i + 4] for i in range(8, len(box) - 3, 4))}
    if major == b"avis":
        return Kind("avif", "animation", "AVIF")
    if major == b"avif" or (major in {b"mif1", b"miaf"} and b"avif" in brands):
        return Kind("avif", "pillow", "AVIF")
    if major in _HEIC_BRANDS or (major in {b"mif1", b"msf1", b"miaf"} and brands & _HEIC_BRANDS):
        return Kind("heic", "heic", "HEIF")
    return Kind("mov" if major == b"qt  " else "mp4", "clip", "mov")


def _clip(head: bytes) -> Kind | None:
    name = ""
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        name = "webm" if b"webm" in head[:64] else "matroska"
    elif head.startswith(b"RIFF") and head[8:11] == b"AVI":
        name = "avi"
    elif head.startswith(b"FLV\x01"):
        name = "flv"
    elif head.startswith(b"OggS"):
        name = "ogg"
    elif head.startswith(b"\x00\x00\x01\xba"):
        name = "mpeg"
    elif head.startswith(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"):
        name = "asf"
    elif _is_mpegts(head):
        name = "mpegts"
    return Kind(name, "clip", DEMUXERS[name]) if name else None


def _is_mpegts(head: bytes) -> bool:
    """Sync bytes 0x47 every 188 bytes, or every 192 behind a four-byte time code (Blu-ray, camcorders)."""
    for first, step in ((0, 188), (4, 192)):
        marks = head[first::step]
        if len(marks) >= 3 and set(marks[:5]) == {0x47}:
            return True
    return False
