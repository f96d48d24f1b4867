"""Make docs/demo.png, the picture in the README, from what `make demo` wrote; to be run when the model changes.

make demo && .venv-demo/bin/python tools/readme_picture.py
"""

from pathlib import Path

import av
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
ANNOTATED = ROOT / "demo" / "annotated"
AT_SECONDS = 3.0
GAP = 8


def main() -> None:
    picture = Image.open(next(ANNOTATED.rglob("astronaut.jpg.png"))).convert("RGB")
    with av.open(str(next(ANNOTATED.rglob("*.mp4")))) as container:
        frames = container.decode(video=0)
        frame = next(frame for frame in frames if (frame.time or 0.0) >= AT_SECONDS).to_image()
    height = min(picture.height, frame.height)
    both = [one.resize((round(one.width * height / one.height), height)) for one in (picture, frame)]
    canvas = Image.new("RGB", (both[0].width + GAP + both[1].width, height), "white")
    canvas.paste(both[0], (0, 0))
    canvas.paste(both[1], (both[0].width + GAP, 0))
    out = ROOT / "docs" / "demo.png"
    canvas.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG).save(out, optimize=True)
    print(f"{out.relative_to(ROOT)}: {canvas.width}×{canvas.height} px, {out.stat().st_size >> 10} KiB")


if __name__ == "__main__":
    main()
