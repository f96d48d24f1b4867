"""The few XMP fields that tell how a picture was made, found without an XML parser.

A packet comes from strangers. An XML parser would have to be guarded against entity bombs, and damaged packets, which
are common, would give nothing; the fields wanted are single attributes or elements, which a pattern finds.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

_MAX_PACKET = 1 << 20
_MAX_PLACES = 16
_MAX_VALUE = 8000
# All are matched at the place where the name of the property ends.
_ATTRIBUTE = re.compile(r"\s?=\s?([\"'])(.*?)\1", re.S)
_RESOURCE = re.compile(r"\s[^<>]*?resource\s?=\s?([\"'])(.*?)\1", re.S)
_ELEMENT = re.compile(r"(?:\s[^<>]*)?>")
_TAG = re.compile(r"<[^<>]*>")
_FIELDS = {
    "creator_tool": "CreatorTool",
    "digital_source_type": "DigitalSourceType",
    "credit": "Credit",
    "ai_prompt": "AIPromptInformation",
    "ai_system": "AISystemUsed",
}


def read_xmp(packet: str) -> dict[str, str]:
    """Find the fields of :class:`unmask.provenance.types.Xmp` in an XMP packet.

    All ways of writing a property are read: ``xmp:CreatorTool="x"``, ``<xmp:CreatorTool>x</xmp:CreatorTool>`` (in it
    perhaps an ``rdf:Alt`` list), and ``<x:DigitalSourceType rdf:resource="x"/>``.
    """
    packet = packet[:_MAX_PACKET]
    found = {}
    for name, field in _FIELDS.items():
        value = next((value for place in _places(packet, field) if (value := _value(packet, place, field))), "")
        if name == "digital_source_type":
            value = value.rstrip("/").rpartition("/")[2]
        if value:
            found[name] = value
    return found


def _places(packet: str, field: str) -> Iterator[int]:
    """Where a name ends that stands as a property; the first few, so that a packet of nothing else costs no time."""
    place = 0
    for _ in range(_MAX_PLACES):
        place = packet.find(field, place) + len(field)
        if place < len(field):
            return
        if packet[place - len(field) - 1 : place - len(field)] in (":", "<", " ", "\n", "\t"):
            yield place


def _value(packet: str, place: int, field: str) -> str:
    rest = packet[place : place + _MAX_VALUE]
    for pattern in (_ATTRIBUTE, _RESOURCE):
        if match := pattern.match(rest):
            return html.unescape(match.group(2)).strip()
    if match := _ELEMENT.match(rest):
        inside = rest[match.end() :].partition(field + ">")
        if inside[1]:
            return html.unescape(" ".join(_TAG.sub(" ", inside[0].rpartition("</")[0]).split()))
    return ""
