"""Step 2: pictures without faces, from Debian packages: wallpapers, and cut-out photographs of animals and things.

    mkdir work/deb && cd work/deb && apt-get download $(python references/faces/negatives.py --packages)
    for deb in *.deb; do dpkg -x "$deb" .; done; cd ../..
    python references/faces/negatives.py --unpacked work/deb --out work/negatives

Every picture comes out as an RGBA PNG of at most 1200 (wallpapers) or 360 px (cut-outs). One in eight goes to
``val``: thresholds are chosen there, nothing is taught.
"""

from __future__ import annotations

import argparse
import re
import zlib
from pathlib import Path

from PIL import Image

PACKAGES = ["gnome-backgrounds", "mate-backgrounds", "lomiri-wallpapers-16.04", "lomiri-wallpapers-20.04"]
PACKAGES += ["ukui-wallpapers", "tuxpaint-stamps-default"]
# Whatever may show a face, also a drawn, carved or masked one: there nobody can say what a detector should do.
WITH_FACES = re.compile(
    r"people|faces|cartoon|monument|/money/|toys|/apes|armor|halloween|christmas|seasonal|friends_by|life_by|_mirror|"
    r"flip\.png|hats|chess|medical|space/|dinosaur|umang|free_by",
    re.IGNORECASE,
)


def main() -> None:
    """Shrink the pictures of the unpacked packages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", action="store_true", help="print the packages' names and end")
    parser.add_argument("--unpacked", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.packages or not args.unpacked or not args.out:
        print(*PACKAGES)
        return
    count = {"train": 0, "val": 0}
    for path in sorted(args.unpacked.rglob("*")):
        if path.suffix.lower() not in {".jpg", ".png", ".webp"} or WITH_FACES.search(str(path)):
            continue
        stamp = "stamps" in path.parts
        with Image.open(path) as file:
            if min(file.size) < 40:
                continue
            image = file.convert("RGBA")
        image.thumbnail((360, 360) if stamp else (1200, 1200), reducing_gap=2.0)
        split = "val" if zlib.crc32(path.name.encode()) % 8 == 0 else "train"
        name = f"{'stamp' if stamp else 'wall'}-{count['train'] + count['val']:04d}-{path.stem}.png"
        (args.out / split).mkdir(parents=True, exist_ok=True)
        image.save(args.out / split / name, compress_level=1)
        count[split] += 1
    print(count)


if __name__ == "__main__":
    main()
