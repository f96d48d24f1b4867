"""The few XMP fields that tell how a picture was made, found without an XML parser.

A packet comes from strangers. An XML parser would have to be guarded against entity bombs, and damaged packets, which
are common, would give nothing; the fields wanted are single attributes or elements, which a pattern finds.
"""

from __future__ import annotations

import html
import re

_MAX_PACKET = 1 << 20
_FIELDS = {
    "creator_tool": "CreatorTool",
    "digital_source_type": "DigitalSourceType",
    "credit": "Credit",
    "ai_prompt": "AIPromptInformation",
    "ai_system": "AISystemUsed",
}


def read_xmp(packet: str) -> dict[str, str]:
    """Find the fields of :class:`unmask.provenance.types.Xmp` in an XMP packet.

    Both ways of writing a property are read: ``xmp:CreatorTool="x"`` and ``<xmp:CreatorTool>x</xmp:CreatorTool>``
    (in it perhaps an ``rdf:Alt`` list, or an ``rdf:resource`` attribute).
    """
    packet = packet[:_MAX_PACKET]
    found = {}
    for name, field in _FIELDS.items():
        attribute = re.search(
            rf"[\s:]{field}\s{{0,20}}=\s{{0,20}}(?:\"([^\"<]{{0,4000}})\"|'([^'<]{{0,4000}})')", packet
        )
        element = re.search(
            rf"<(?:[\w-]{{1,40}}:)?{field}\b([^>]{{0,1000}})>(.{{0,4000}}?)</(?:[\w-]{{1,40}}:)?{field}>", packet, re.S
        )
        resource = re.search(
            rf"<(?:[\w-]{{1,40}}:)?{field}\b[^>]{{0,1000}}?resource\s?=\s?[\"']([^\"'<]{{0,1000}})", packet
        )
        value = ""
        if attribute:
            value = attribute.group(1) or attribute.group(2) or ""
        elif resource:
            value = resource.group(1)
        elif element:
            value = re.sub(r"<[^>]{0,1000}>", " ", element.group(2))
        value = html.unescape(value).strip()
        if name == "digital_source_type":
            value = value.rstrip("/").rpartition("/")[2]
        if value:
            found[name] = value
    return found
