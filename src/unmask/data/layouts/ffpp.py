"""FaceForensics++: ``original_sequences/SET/CODEC/videos`` and ``manipulated_sequences/METHOD/CODEC/videos``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from unmask.data.items import NO_METHOD, Item, Layout, LeftOut, ReadOptions, media_files, relative

_ORIGINAL, _MANIPULATED = "original_sequences", "manipulated_sequences"


def _fits(folder: Path) -> bool:
    return (folder / _ORIGINAL).is_dir() or (folder / _MANIPULATED).is_dir()


def _read(folder: Path, options: ReadOptions) -> Iterator[Item | LeftOut]:
    source = options.source or "ffpp"
    files = [PurePosixPath(relative(file, folder)) for file in media_files(folder)]
    people = _joined(_ids(path) for path in files)
    for path in files:
        if path.parts[0] not in {_ORIGINAL, _MANIPULATED} or len(path.parts) < 4:
            yield LeftOut(str(path), "outside original_sequences and manipulated_sequences")
            continue
        if "masks" in path.parts:
            yield LeftOut(str(path), "a mask, not a picture of a face")
            continue
        label = int(path.parts[0] == _MANIPULATED)
        yield Item(str(path), label, f"ffpp-{people[_ids(path)[0]]}", source, path.parts[1] if label else NO_METHOD)


def _ids(path: PurePosixPath) -> tuple[str, ...]:
    """The videos a file is made of: 004_982.mp4 shows 004 with the face of 982; frames lie in a folder so named."""
    name = path.parent.name if path.parent.name not in {"videos", "images", "frames"} else path.stem
    parts = tuple(name.split("_"))
    return parts if all(part.isdigit() for part in parts) else (name,)


def _joined(names: Iterator[tuple[str, ...]]) -> dict[str, str]:
    """Union of everything that shares a video: a swap ties its target and its donor together."""
    head: dict[str, str] = {}

    def find(name: str) -> str:
        head.setdefault(name, name)
        while head[name] != name:
            head[name] = head[head[name]]
            name = head[name]
        return name

    for first, *others in names:
        find(first)
        for other in others:
            low, high = sorted((find(first), find(other)))
            head[high] = low
    return {name: find(name) for name in head}


LAYOUT = Layout("ffpp", "FaceForensics++: {original,manipulated}_sequences/NAME/CODEC/videos", _fits, _read, rank=10)
