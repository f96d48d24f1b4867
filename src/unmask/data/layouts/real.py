"""Real pictures and clips only: every file below the folder; the first folder is the source, the rest the person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from unmask.data.items import Item, Layout, LeftOut, ReadOptions, media_files, relative


def _read(folder: Path, options: ReadOptions) -> Iterator[Item | LeftOut]:
    for file in media_files(folder):
        path = relative(file, folder)
        parts = PurePosixPath(path).parts[:-1]
        source = options.source or (parts[0] if parts else folder.name)
        # people/<name>/*: a folder below the source's own holds one person, who stays on one side.
        group = "/".join(parts) if len(parts) > 1 else str(PurePosixPath(path).with_suffix(""))
        yield Item(path, 0, f"{source}/{group}", source)


def _never(folder: Path) -> bool:
    """Never guessed: a folder without a word on its labels may as well be full of fakes."""
    del folder
    return False


LAYOUT = Layout("real", "real only: [SOURCE/[PERSON/]]*", _never, _read, rank=99)
