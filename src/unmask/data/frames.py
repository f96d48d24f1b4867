"""Which folders of pictures are videos: sets often come as frames, and the frames of one video must stay together."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from unmask.data.items import CLIPS
from unmask.data.lineage import FRAME_FOLDERS

MANY = 10
_NUMBER = re.compile(r"\d{3,}")
_SIZES = frozenset({"128", "256", "299", "384", "512", "768", "1024", "2048"})


def video_folders(files: Iterable[tuple[str, int]]) -> dict[PurePosixPath, PurePosixPath]:
    """The folders of pictures that are frames of one video each.

    A folder below the class can also be a generator or a person. It is taken for a video only where all pictures in it
    and in the folders beside it are named as frames (``000``, ``frame_12``, ``NAME_0001``) and one of these holds:

    - a folder called ``frames``, ``videos``, ``images`` or ``faces`` stands directly above it, or below it;
    - they are several, and the names of all hold a number of three digits or more (``0001``, ``000_003``) that is no
      usual size of pictures;
    - most of them have a twin in another folder (``real/ann``, ``fake/ann`` or ``fake/ann_fake``);
    - they are :data:`MANY` or more, and in another folder there are as many that look so.

    Args:
        files: Path and the position of its class folder among its parts.

    Returns:
        Folder that holds pictures -> folder that is named for the video (another where its parent is meant).
    """
    inside: dict[PurePosixPath, list[str]] = defaultdict(list)
    positions: dict[PurePosixPath, int] = {}
    for path, position in files:
        file = PurePosixPath(path)
        if file.suffix.lower() not in CLIPS:
            inside[file.parent].append(file.stem)
            positions[file.parent] = position
    beside: dict[PurePosixPath, dict[PurePosixPath, PurePosixPath]] = defaultdict(dict)
    for folder, position in positions.items():
        video = folder
        while video.name.lower() in FRAME_FOLDERS and len(video.parts) > position + 1:
            video = video.parent
        if len(video.parts) > position + 1:
            beside[video.parent][folder] = video
    frames = {
        parent: folders
        for parent, folders in beside.items()
        if all(_are_frames(inside[folder], video.name) for folder, video in folders.items())
    }
    names = {parent: {_plain(video.name) for video in folders.values()} for parent, folders in frames.items()}
    found: dict[PurePosixPath, PurePosixPath] = {}
    for parent, folders in frames.items():
        others = [names[other] for other in names if other != parent]
        twins = max((len(names[parent] & other) for other in others), default=0)
        if (
            parent.name.lower() in FRAME_FOLDERS
            or all(folder != video for folder, video in folders.items())
            or _are_numbered(names[parent])
            or twins > len(names[parent]) / 2
            or (len(names[parent]) >= MANY and any(len(other) >= MANY for other in others))
        ):
            found |= folders
    return found


def _are_frames(stems: list[str], name: str) -> bool:
    frame = re.compile(rf"(?:{re.escape(name)}|frame|img|image|face)?[ _-]*\d+", re.IGNORECASE)
    return all(frame.fullmatch(stem) for stem in stems)


def _are_numbered(names: set[str]) -> bool:
    numbers = [_NUMBER.findall(name) for name in names]
    return len(names) > 1 and all(numbers) and not {one for found in numbers for one in found} <= _SIZES


def _plain(name: str) -> str:
    return name.lower().removesuffix("_fake").removesuffix("_real")
