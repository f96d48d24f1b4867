"""DF40: ``[KIND/][SPLIT/]METHOD/{ff,cdf}/frames/VIDEO/*.png``, fakes only; some methods as ``METHOD/{real,fake}``.

``ff`` and ``cdf`` say which real videos a fake was made of (FaceForensics++, Celeb-DF); their names tie it to them, so
manifests of those sets can be joined with this one. Reals put beside the methods (``original_sequences``,
``Celeb-DF-v2/Celeb-real``) are read as well. Source: Yan et al., "DF40: Toward Next-Generation Deepfake Detection",
NeurIPS 2024.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from unmask.data.items import CLIPS, NO_METHOD, Item, Layout, LeftOut, ReadOptions, media_files, relative
from unmask.data.layouts.imagefolder import SPLIT_NAMES
from unmask.data.lineage import FRAME_FOLDERS, NOT_FACES, groups_of, keep_held_out

_DOMAINS = {"ff": "ff", "ffpp": "ff", "cdf": "cdf", "cdfv2": "cdf"}
_KINDS = frozenset(
    {"df40", "fs", "fr", "efs", "fe"}
    | {"face-swapping", "face-reenactment", "entire-face-synthesis", "face-editing", "face-edit"}
)
_REAL_FOLDERS = frozenset({"original_sequences", "Celeb-real", "YouTube-real"})


def _fits(folder: Path) -> bool:
    levels = (child for depth in ("*", "*/*", "*/*/*") for name in _DOMAINS for child in folder.glob(f"{depth}/{name}"))
    return any(child.is_dir() for child in levels)


def _read(folder: Path, options: ReadOptions) -> Iterator[Item | LeftOut]:
    found: list[tuple[PurePosixPath, str, str, str | None]] = []
    for file in media_files(folder):
        path = PurePosixPath(relative(file, folder))
        if NOT_FACES & set(path.parts):
            yield LeftOut(str(path), "a mask, not a picture of a face")
            continue
        folders = path.parts[:-1]
        split = next((SPLIT_NAMES[part.lower()] for part in folders if part.lower() in SPLIT_NAMES), None)
        names = [part for part in folders if part.lower() not in SPLIT_NAMES and part.lower() not in _KINDS]
        if not names:
            yield LeftOut(str(path), "in no folder of a method")
            continue
        found.append((path, names[0], _video(path), split))
    groups = groups_of(sorted({video for _, _, video, _ in found}), "df40")
    source = options.source or "df40"
    items = []
    for path, top, video, split in found:
        domain = next((_DOMAINS[part] for part in path.parts if part in _DOMAINS), None)
        # Below a domain, Celeb-real names what a fake was made of; elsewhere it holds the real videos themselves.
        real = (not domain and bool(_REAL_FOLDERS & set(path.parts))) or "real" in {p.lower() for p in path.parts}
        name = f"{source}-{domain}" if domain else source
        items.append(Item(str(path), int(not real), groups[video], name, NO_METHOD if real else top, split))
    yield from keep_held_out(items)


def _video(path: PurePosixPath) -> str:
    """A folder of frames is named for its video; a picture that lies in none stands for itself."""
    parent = path.parent.name
    if parent == "inversions":
        return path.stem
    alone = parent in FRAME_FOLDERS or parent in _DOMAINS or parent.lower() in {"real", "fake"}
    if not alone:
        return parent
    # Single pictures of two methods share their numbers, and nothing else; a clip is named for its video.
    return path.stem if path.suffix.lower() in CLIPS else str(path.with_suffix(""))


LAYOUT = Layout(
    "df40", "DF40: [KIND/][SPLIT/]METHOD/{ff,cdf}/frames/VIDEO/*.png, METHOD/{real,fake}", _fits, _read, rank=15
)
