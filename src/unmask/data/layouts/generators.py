"""A folder a generator: ``<generator>/fake/*`` (and ``real/*``, where the set gives the pictures it started from)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from unmask.data.frames import video_folders
from unmask.data.items import Item, Layout, LeftOut, ReadOptions
from unmask.data.layouts import imagefolder

_CLASSES = frozenset({"real", "fake", "0_real", "1_fake"})


def _generators(folder: Path) -> list[Path]:
    return [
        child
        for child in folder.iterdir()
        if child.is_dir()
        and child.name.lower() not in imagefolder.SPLIT_NAMES
        and any(inner.is_dir() and inner.name.lower() in _CLASSES for inner in child.iterdir())
    ]


def _fits(folder: Path) -> bool:
    children = [child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")]
    return bool(children) and len(_generators(folder)) == len(children)


def _read(folder: Path, options: ReadOptions) -> Iterator[Item | LeftOut]:
    items = list(imagefolder.read(folder, options))
    # generator/class/...: the class folder is the second part.
    videos = video_folders((item.path, 1) for item in items if isinstance(item, Item))
    reals = {_place(item, videos) for item in items if isinstance(item, Item) and not item.label}
    for item in items:
        if isinstance(item, LeftOut):
            yield item
            continue
        generator, stem = _place(item, videos)
        # In a set of pairs the fakes are named for the real they were put on: real/7.jpg, fake/7_0.jpg.
        original = stem.rpartition("_")[0]
        if item.label and (generator, original) in reals:
            stem = original
        source = options.source or f"{folder.name}-{generator}"
        method = generator if item.label else item.method
        yield replace(item, source=source, group=f"{source}/{stem}", method=method)


def _place(item: Item, videos: dict[PurePosixPath, PurePosixPath]) -> tuple[str, str]:
    """(generator, name without suffix, or of the video that it is a frame of)."""
    path = PurePosixPath(item.path)
    video = None if item.is_clip else videos.get(path.parent)
    return path.parts[0], video.name if video else path.stem


LAYOUT = Layout("generators", "a folder a generator: GENERATOR/{fake,real}/*", _fits, _read, rank=40)
