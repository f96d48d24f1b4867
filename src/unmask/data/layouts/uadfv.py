"""UADFV: ``real/0000.mp4`` and its swap ``fake/0000_fake.mp4``; or their frames, in a folder a video."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from unmask.data.items import Item, Layout, LeftOut, ReadOptions
from unmask.data.layouts import imagefolder
from unmask.data.lineage import FRAME_FOLDERS

_FRAMES = re.compile(r"\d{4}_fake")


def _fits(folder: Path) -> bool:
    if not (folder / "real").is_dir():
        return False
    fakes = [*(folder / "fake").glob("*_fake*"), *(folder / "fake").glob("frames/*_fake")]
    return any(_FRAMES.fullmatch(fake.name) or (fake.suffix and fake.stem.endswith("_fake")) for fake in fakes)


def _read(folder: Path, options: ReadOptions) -> Iterator[Item | LeftOut]:
    for item in imagefolder.read(folder, replace(options, source=options.source or "uadfv")):
        if isinstance(item, LeftOut):
            yield item
            continue
        path = PurePosixPath(item.path)
        # real/[frames/]VIDEO/000.png, or the file itself is named for the video.
        folders = [part for part in path.parts[1:-1] if part.lower() not in FRAME_FOLDERS]
        name = folders[-1] if folders and not item.is_clip else path.stem
        method = "uadfv" if item.label else item.method
        yield replace(item, group=f"uadfv-{name.removesuffix('_fake')}", method=method)


LAYOUT = Layout("uadfv", "UADFV: real/N.mp4, fake/N_fake.mp4, or [frames/]N/*.png", _fits, _read, rank=10)
