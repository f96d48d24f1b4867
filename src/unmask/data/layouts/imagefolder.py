"""ImageFolder: a folder a class, at any depth; ``train``/``val``/``test`` above or below it give the split.

torchvision numbers the classes of such a tree by the alphabet (fake = 0): here the *names* decide, never their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from unmask.base.errors import DataError
from unmask.data.frames import video_folders
from unmask.data.items import CLIPS, NO_METHOD, Item, Layout, LeftOut, ReadOptions, media_files, no_media, relative
from unmask.data.lineage import FRAME_FOLDERS

REAL_NAMES = frozenset({"real", "reals", "original", "originals", "authentic", "genuine", "training_real", "0_real"})
FAKE_NAMES = frozenset(
    {"fake", "fakes", "ai", "synthetic", "generated", "manipulated", "deepfake", "training_fake", "1_fake"}
)
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


def label_of(parts: tuple[str, ...], options: ReadOptions) -> tuple[int, int] | None:
    """(label, position in ``parts``) by the deepest folder name that means real or fake; names the user gave win."""
    real, fake = ({name.lower() for name in names} for names in (options.real, options.fake))
    for real_names, fake_names in ((real, fake), (REAL_NAMES - fake, FAKE_NAMES - real)):
        for position in reversed(range(len(parts))):
            name = parts[position].lower()
            if name in fake_names:
                return 1, position
            if name in real_names:
                return 0, position
    return None


def split_of(parts: tuple[str, ...]) -> str | None:
    """The split that a folder name says."""
    return next((SPLIT_NAMES[part.lower()] for part in parts if part.lower() in SPLIT_NAMES), None)


def _fits(folder: Path) -> bool:
    # Three levels are enough: wrapper/split/class.
    levels = (child for depth in ("*", "*/*", "*/*/*", "*/*/*/*") for child in folder.glob(f"{depth}/"))
    return any(child.is_dir() and child.name.lower() in REAL_NAMES | FAKE_NAMES for child in levels)


def read(folder: Path, options: ReadOptions) -> Iterator[Item | LeftOut]:
    """Every picture and clip below a folder whose name means real or fake.

    Each is a group of its own, but for the frames of a video: see :func:`unmask.data.frames.video_folders`.

    Raises:
        DataError: There is no picture and no clip, or no folder name means real or fake.
    """
    source = options.source or folder.name
    unnamed: list[LeftOut] = []
    given: list[tuple[str, int, int]] = []
    for file in media_files(folder):
        path = relative(file, folder)
        found = label_of(PurePosixPath(path).parts[:-1], options)
        if found is None:
            unnamed.append(LeftOut(path, "no folder above it means real or fake: say which does with --real or --fake"))
        else:
            given.append((path, *found))
    videos = video_folders((path, position) for path, _, position in given)
    for path, label, position in given:
        place = PurePosixPath(path)
        parts = place.parts[:-1]
        # The frames of a video must stay together, and its name is no method.
        video = None if place.suffix.lower() in CLIPS else videos.get(place.parent)
        named = video.parts[:-1] if video else parts
        if video and named[-1].lower() in FRAME_FOLDERS:
            named = named[:-1]
        yield Item(
            path,
            label,
            group=f"{source}/{video or place.with_suffix('')}",
            source=source,
            method=_method(named, position, source) if label else NO_METHOD,
            split=split_of(parts),
        )
    if not (given or unnamed):
        raise no_media(folder)
    if not given:
        raise DataError(
            "no folder name below it means real or fake",
            path=str(folder),
            hint="Say which do: --real NAME --fake NAME (several times if needed)",
        )
    yield from unnamed


def _method(parts: tuple[str, ...], position: int, source: str) -> str:
    """The folder between the class and the file, else the one above the class that is no split, else the source."""
    below = [part for part in parts[position + 1 :] if part.lower() not in SPLIT_NAMES]
    above = [part for part in parts[:position] if part.lower() not in SPLIT_NAMES]
    return below[0] if below else above[-1] if above else source


LAYOUT = Layout(
    "imagefolder", "any depth/CLASS/*: pictures or clips, class names by --real and --fake", _fits, read, rank=80
)
