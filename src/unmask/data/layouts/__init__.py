"""Readers of data set layouts: one file each, found by themselves.

A new layout is a new module here with a constant ``LAYOUT`` (see :class:`unmask.data.items.Layout`); nothing else.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from unmask.base.errors import DataError, UsageError
from unmask.data.items import Layout, ReadOptions, media_files, no_media


@cache
def layouts() -> dict[str, Layout]:
    """All layouts by name, in the order in which ``auto`` tries them."""
    found = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    ordered = sorted((module.LAYOUT for module in found), key=lambda layout: (layout.rank, layout.name))
    return {layout.name: layout for layout in ordered}


def layout_named(name: str, folder: Path, options: ReadOptions | None = None) -> Layout:
    """The layout of that name; for ``auto`` the first that fits the folder, else folders of the classes given.

    Raises:
        UsageError: No layout has this name.
        DataError: ``auto`` found none that fits, or the folder is empty.
    """
    known = layouts()
    if name != "auto":
        if name not in known:
            raise UsageError(f"unknown layout {name!r}", hint=f"Use auto or one of: {', '.join(known)}")
        return known[name]
    for layout in known.values():
        if layout.fits(folder):
            return layout
    if not media_files(folder):
        raise no_media(folder)
    if options and (options.real or options.fake):
        return known["imagefolder"]
    raise DataError(
        "no known layout fits this folder",
        path=str(folder),
        hint=f"Name one ({', '.join(known)}), or say which folders are real and fake with --real and --fake",
    )
