"""Make a clip of one picture: a slow camera move, and a stretch in which the face is faked by blending.

The fake is a self-blend: an altered copy of the face (moved, scaled, recoloured, re-sampled) is blended into the
picture it was taken from. It leaves the traces of a face swap without being one of anybody. Source of the idea:
Shiohara, Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022, arXiv 2204.08376.
"""

from __future__ import annotations

import argparse
import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from unmask.base.files import replacing
from unmask.data import PORTRAIT

Picture = NDArray[np.uint8]


def make_clip(
    out: Path,
    picture: Picture,
    fake: Picture,
    *,
    size: tuple[int, int],
    seconds: float,
    fps: int,
    faked: tuple[float, float],
) -> None:
    """Write the clip.

    Args:
        out: Where to; H.264 in the container of its ending.
        picture: H×W×3 uint8 RGB.
        fake: The same with a faked face.
        size: Width and height of the clip in pixels.
        seconds: Its length.
        fps: Frames a second.
        faked: Start and end in seconds of the stretch that shows ``fake``.
    """
    scenes = [_scene(image, size) for image in (picture, fake)]
    rng = np.random.default_rng(0)
    with replacing(out) as temporary, av.open(str(temporary), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "20", "preset": "veryfast", "threads": "1"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number in range(round(seconds * fps)):
            time_s = number / fps
            scene = scenes[faked[0] <= time_s < faked[1]]
            frame = av.VideoFrame.from_ndarray(_shot(scene, size, time_s, rng), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def make_fake(picture: Picture, seed: int) -> Picture:
    """The picture with its largest face self-blended."""
    from unmask.data.blend import self_blend
    from unmask.faces import load_backend

    face = load_backend("default").find(picture)[0]
    assert face.landmarks is not None
    return self_blend(picture, face.landmarks, np.random.default_rng(seed))


def repeat(clip: Path, out: Path, times: int) -> None:
    """Write a clip that shows ``clip`` several times over; packets are copied, so it takes no time."""
    with replacing(out) as temporary, av.open(str(temporary), "w") as target:
        stream, offset = None, 0
        for _ in range(times):
            with av.open(str(clip)) as source:
                video = source.streams.video[0]
                stream = stream or target.add_stream_from_template(video)
                end = 0
                for packet in source.demux(video):
                    if packet.dts is None:
                        continue
                    end = max(end, (packet.pts or 0) + (packet.duration or 0))
                    packet.pts = (packet.pts or 0) + offset
                    packet.dts += offset
                    packet.stream = stream
                    target.mux(packet)
                offset += end


def _scene(picture: Picture, size: tuple[int, int]) -> Image.Image:
    """The picture scaled to the height of the clip, on a blurred copy of itself where the clip is wider."""
    image = Image.fromarray(picture)
    width, height = size
    scale = height / image.height
    front = image if scale == 1 else image.resize((round(image.width * scale), height), Image.Resampling.BICUBIC)
    if front.width >= width:
        return front
    back = image.resize((width, width), Image.Resampling.BICUBIC).crop(
        (0, (width - height) // 2, width, (width + height) // 2)
    )
    back = back.filter(ImageFilter.GaussianBlur(width / 40))
    back.paste(front, ((width - front.width) // 2, 0))
    return back


def _shot(scene: Image.Image, size: tuple[int, int], time_s: float, rng: np.random.Generator) -> Picture:
    """What a slowly moving camera sees: a little zoom and sway, a breath of light, sensor noise."""
    zoom = 1.12 + 0.06 * math.sin(time_s * 0.9)
    width, height = scene.width / zoom, scene.height / zoom
    left = (scene.width - width) * (0.5 + 0.4 * math.sin(time_s * 0.7))
    top = (scene.height - height) * (0.2 + 0.2 * math.sin(time_s * 1.1))
    shot = scene.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
    light = 1 + 0.04 * math.sin(time_s * 2.3)
    grain = rng.integers(-2, 3, (size[1], size[0], 1), np.int16)
    pixels = np.asarray(shot, np.int16) * np.int16(round(light * 100)) // np.int16(100)
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)


def main(argv: list[str] | None = None) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Make a clip of a picture, a stretch of it faked by blending.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--picture", type=Path, default=PORTRAIT)
    parser.add_argument("--size", default="512x512", help="width x height in pixels (even numbers)")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--fake", default="2-4", help="start-end in seconds of the faked stretch, or none")
    parser.add_argument("--seed", type=int, default=0, help="chooses the blend")
    args = parser.parse_args(argv)
    picture = np.asarray(Image.open(args.picture).convert("RGB"))
    width, height = (int(part) for part in args.size.split("x"))
    none = args.fake == "none"
    start, end = (0.0, 0.0) if none else (float(part) for part in args.fake.split("-"))
    fake = picture if none else make_fake(picture, args.seed)
    make_clip(args.out, picture, fake, size=(width, height), seconds=args.seconds, fps=args.fps, faked=(start, end))


if __name__ == "__main__":
    main()
