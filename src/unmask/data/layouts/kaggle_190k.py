"""Kaggle *deepfake and real images* (190k): ``Dataset/{Train,Validation,Test}/{Real,Fake}``, made of OpenForensics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from unmask.data.items import Item, Layout, LeftOut, ReadOptions
from unmask.data.layouts import imagefolder

_PARTS = tuple(f"{split}/{label}" for split in ("Train", "Validation", "Test") for label in ("Real", "Fake"))


def _fits(folder: Path) -> bool:
    return any(all((home / part).is_dir() for part in _PARTS) for home in (folder, folder / "Dataset"))


def _read(folder: Path, options: ReadOptions) -> Iterator[Item | LeftOut]:
    for item in imagefolder.read(folder, replace(options, source=options.source or "deepfake-and-real")):
        # real_0.jpg is in each of the three parts, and is another picture in each: the path is the group.
        yield replace(item, method="openforensics") if isinstance(item, Item) and item.label else item


LAYOUT = Layout(
    "deepfake-and-real",
    "Kaggle deepfake and real images: Dataset/{Train,Validation,Test}/{Real,Fake}",
    _fits,
    _read,
    rank=10,
)
