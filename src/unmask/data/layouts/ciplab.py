"""CIPLab *real and fake face detection*: ``training_real`` and ``training_fake``, composites made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from unmask.data.items import Item, Layout, LeftOut, ReadOptions
from unmask.data.layouts import imagefolder


def _fits(folder: Path) -> bool:
    return (folder / "training_real").is_dir() and (folder / "training_fake").is_dir()


def _read(folder: Path, options: ReadOptions) -> Iterator[Item | LeftOut]:
    for item in imagefolder.read(folder, replace(options, source=options.source or "photoshop")):
        yield replace(item, method="photoshop") if isinstance(item, Item) and item.label else item


LAYOUT = Layout("ciplab", "CIPLab real and fake face: training_real, training_fake", _fits, _read, rank=10)
