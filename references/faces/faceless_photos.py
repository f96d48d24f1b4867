"""Photographs without a face for a second check of false alarms: animals, buildings, hands, instruments, text.

    apt-get download gcompris-qt-data && dpkg -x gcompris-qt-data_*.deb unpacked
    python references/faces/faceless_photos.py unpacked work/faceless
    python references/faces/bench.py ... --faceless work/faceless

They lie in Debian's package ``gcompris-qt-data`` (bookworm, 3.1-2), in Qt resource files. Nothing was ever trained on
them and no threshold was chosen with them.
"""

from __future__ import annotations

import io
import re
import struct
import sys
from pathlib import Path

from PIL import Image, UnidentifiedImageError

KEPT = {
    "explore_farm_animals": range(9),
    "explore_world_animals": range(16),
    "explore_world_music": [2, 6, 7],
    "louis-braille": [1, 2, 3, 4, 5, 7, 8],
    "explore_monuments": [*range(26), 27, 29, 30, 31, 33, 34, 35, 36, 37, *range(39, 47)],
    "leftright": range(8),
}
"""Which pictures of each activity, in the order of its file; those with people, statues and drawings are left out."""


def pictures(resource: bytes) -> list[Image.Image]:
    """All WebP and JPEG pictures of at least 200 px in a Qt resource file, in its order of each kind."""
    out = []
    starts = [
        m.start() for kind in (rb"RIFF....WEBP", rb"\xff\xd8\xff") for m in re.finditer(kind, resource, re.DOTALL)
    ]
    for start in starts:
        length = len(resource) - start
        if resource[start : start + 4] == b"RIFF":
            length = struct.unpack("<I", resource[start + 4 : start + 8])[0] + 8
        try:
            image = Image.open(io.BytesIO(resource[start : start + length])).convert("RGBA")
        except (UnidentifiedImageError, OSError, SyntaxError):
            continue
        if min(image.size) >= 200:
            out.append(Image.alpha_composite(Image.new("RGBA", image.size, "black"), image).convert("RGB"))
    return out


def main() -> None:
    """Write the pictures into a folder."""
    unpacked, out = (Path(argument) for argument in sys.argv[1:3])
    out.mkdir(parents=True, exist_ok=True)
    for name, kept in KEPT.items():
        found = pictures((unpacked / f"usr/share/gcompris-qt/rcc/{name}.rcc").read_bytes())
        for index in kept:
            found[index].save(out / f"{name}-{index:02d}.png", compress_level=1)
    print(len(list(out.glob("*.png"))))


if __name__ == "__main__":
    main()
