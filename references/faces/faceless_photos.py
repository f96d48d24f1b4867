"""Photographs without a face: animals, buildings, hands, text. Every second one to train on, the others to check.

    apt-get download gcompris-qt-data && dpkg -x gcompris-qt-data_*.deb unpacked
    python references/faces/faceless_photos.py unpacked work/photos
    cp work/photos/train/* work/negatives/train/
    python references/faces/bench.py ... --photos work/photos/check

They lie in Debian's package ``gcompris-qt-data`` (bookworm, 3.1-2), in Qt resource files.
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
    """Write the pictures into two folders."""
    unpacked, out = (Path(argument) for argument in sys.argv[1:3])
    names = [(name, index) for name in sorted(KEPT) for index in KEPT[name]]
    found = {name: pictures((unpacked / f"usr/share/gcompris-qt/rcc/{name}.rcc").read_bytes()) for name in KEPT}
    for number, (name, index) in enumerate(names):
        folder = out / ("train" if number % 2 else "check")
        folder.mkdir(parents=True, exist_ok=True)
        image = found[name][index]
        if number % 2:
            image.thumbnail((1200, 1200))
        # The name is the one by which training knows a background.
        image.convert("RGBA").save(folder / f"wall-9{number:03d}-{name}-{index:02d}.png", compress_level=1)
    print({folder.name: len(list(folder.iterdir())) for folder in sorted(out.iterdir())})


if __name__ == "__main__":
    main()
