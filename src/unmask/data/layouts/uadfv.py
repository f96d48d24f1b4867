"""UADFV: ``real/0000.mp4`` and its swap ``fake/0000_fake.mp4``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from unmask.data.items import Item, Layout, LeftOut, ReadOptions
from unmask.data.layouts import imagefolder


def _fits(folder: Path) -> bool:
    return (folder / "real").is_dir() and any((folder / "fake").glob("*_fake.*"))


def _read(folder: Path, options: ReadOptions) -> Iterator[Item | LeftOut]:
    for item in imagefolder.read(folder, replace(options, source=options.source or "uadfv")):
        if isinstance(item, LeftOut):
            yield item
            continue
        original = PurePosixPath(item.path).stem.removesuffix("_fake")
        yield replace(item, group=f"uadfv-{original}", method="uadfv" if item.label else item.method)


LAYOUT = Layout("uadfv", "UADFV: real/N.mp4, fake/N_fake.mp4", _fits, _read, rank=10)
