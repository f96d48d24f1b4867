"""What a reader of a layout gives: one item a picture or clip, and what it left out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from unmask.base.errors import DataError

PICTURES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"})
CLIPS = frozenset(
    {
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".ts",
        ".mts",
        ".m2ts",
        ".mpg",
        ".mpeg",
        ".flv",
        ".ogv",
        ".ogg",
        ".gif",
    }
)
SPLITS = ("train", "val", "test")
_DRIVE = re.compile("[A-Za-z]:")
NO_METHOD = "none"
"""The ``method`` of a real picture."""


@dataclass(frozen=True, slots=True)
class Item:
    """One picture or clip of a data set.

    Attributes:
        path: Relative to the data set's folder, with forward slashes.
        label: 0 real, 1 fake, whatever the set itself calls them.
        group: What must stay on one side of a split: a person, an original video, a pair.
        source: The data set, or the part of it that was gathered alike.
        method: The manipulation or generator; ``none`` for a real one.
        split: ``train``, ``val`` or ``test`` where the layout has them, else None.
    """

    path: str
    label: int
    group: str
    source: str
    method: str = NO_METHOD
    split: str | None = None

    @property
    def is_clip(self) -> bool:
        """Whether the file's suffix is that of a clip."""
        return Path(self.path).suffix.lower() in CLIPS


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that a data set names or holds and that gives no row.

    Attributes:
        path: Relative to the data set's folder.
        reason: A few words that are the same for all of a kind, since they are counted.
        failed: Whether the file is at fault, not the choice: it cannot be read.
        twin: Of a near-duplicate, the picture that stays.
    """

    path: str
    reason: str
    failed: bool = False
    twin: str = ""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a user can tell a reader.

    Attributes:
        real: Further folder names that mean real (compared without case).
        fake: Further folder names that mean fake.
        source: Name of the data set instead of the reader's own.
    """

    real: tuple[str, ...] = ()
    fake: tuple[str, ...] = ()
    source: str | None = None


Reader = Callable[[Path, ReadOptions], Iterator[Item | LeftOut]]


@dataclass(frozen=True, slots=True)
class Layout:
    """One way in which a data set lies on a disk.

    Attributes:
        name: What is typed on the command line.
        about: What it looks like, in one line.
        fits: Whether a folder has this layout; must be quick and must not read pictures.
        read: Gives the items in a stable order.
        rank: Layouts are tried by ``auto`` in rising rank: the more particular, the lower.
    """

    name: str
    about: str
    fits: Callable[[Path], bool]
    read: Reader = field(repr=False)
    rank: int = 50


def stays_below(path: str) -> bool:
    """Whether a relative path, on whatever system, leads to something below the folder that it is joined to."""
    plain = path.replace("\\", "/")
    return not (plain.startswith("/") or _DRIVE.match(plain) or ".." in plain.split("/") or "\0" in plain)


def media_files(folder: Path, kinds: frozenset[str] = PICTURES | CLIPS) -> list[Path]:
    """All pictures and clips below a folder, sorted; names that begin with a dot are passed over.

    Folders that are links are followed, each once: large sets are often linked together from several disks.

    Raises:
        DataError: A folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise DataError(
            f"cannot be listed: {(error.strerror or str(error)).lower()}",
            path=str(error.filename),
            hint="Check its permissions, or move it out of the set",
        ) from error

    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        true_place = os.path.realpath(place)
        if true_place in seen:
            folders.clear()
            continue
        seen.add(true_place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = (Path(place, name) for name in names if not name.startswith("."))
        found += [file for file in files if file.suffix.lower() in kinds and file.is_file()]
    return sorted(found)


def no_media(folder: Path) -> DataError:
    """The error for a folder without a picture or clip."""
    return DataError("holds no pictures and no clips", path=str(folder), hint="Give the folder of a data set")


def relative(path: Path, root: Path) -> str:
    """``path`` below ``root`` with forward slashes."""
    return path.relative_to(root).as_posix()
