"""Kaggle *140k real and fake faces*: ``real_vs_fake/real-vs-fake/SPLIT/{real,fake}``, FFHQ and StyleGAN."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from unmask.data.items import Item, Layout, LeftOut, ReadOptions
from unmask.data.layouts import imagefolder

_INNER = "real_vs_fake/real-vs-fake"


def _read(folder: Path, options: ReadOptions) -> Iterator[Item | LeftOut]:
    for item in imagefolder.read(folder, replace(options, source=options.source or "140k")):
        if isinstance(item, LeftOut):
            yield item
            continue
        stem = PurePosixPath(item.path).stem
        # The reals keep their FFHQ numbers: the same photograph in another set gets the same group.
        group = f"ffhq-{int(stem)}" if not item.label and stem.isdigit() else f"140k-{stem}"
        yield replace(item, group=group, method="stylegan" if item.label else item.method)


LAYOUT = Layout(
    "140k", f"Kaggle 140k real and fake faces: {_INNER}/SPLIT/CLASS", lambda f: (f / _INNER).is_dir(), _read, rank=10
)
