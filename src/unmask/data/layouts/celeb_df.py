"""Celeb-DF v1 and v2: ``Celeb-real``, ``Celeb-synthesis``, ``YouTube-real`` and ``List_of_testing_videos.txt``.

A line of the list is ``1 YouTube-real/00170.mp4``: **1 means real there.** The list is the test split; the rest is
training, but for clips made of the same original as a test clip, which are left out and named.
Source: Li et al., "Celeb-DF: A Large-scale Challenging Dataset for DeepFake Forensics", CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from unmask.base.errors import DataError
from unmask.data.items import NO_METHOD, Item, Layout, LeftOut, ReadOptions, media_files, relative
from unmask.data.lineage import FRAME_FOLDERS, NOT_FACES, celeb_original, keep_held_out

_LABELS = {"Celeb-real": 0, "YouTube-real": 0, "Celeb-synthesis": 1}
_LIST = "List_of_testing_videos.txt"


def _read(folder: Path, options: ReadOptions) -> Iterator[Item | LeftOut]:
    version = next((tag for tag in ("v1", "v2") if tag in folder.name.lower()), "")
    source = options.source or ("celeb-df-" + version).rstrip("-")
    testing = _read_list(folder / _LIST) if (folder / _LIST).is_file() else set()
    items: list[Item] = []
    for file in media_files(folder):
        path = PurePosixPath(relative(file, folder))
        label = _LABELS.get(path.parts[0])
        if label is None or NOT_FACES & set(path.parts):
            yield LeftOut(str(path), "outside Celeb-real, Celeb-synthesis and YouTube-real")
            continue
        plain = len(path.parts) == 2 or path.parent.name in FRAME_FOLDERS
        video = path.stem if plain else path.parent.name
        # Without the list, a person's videos are kept together; the list itself parts them, so there it is by video.
        key = celeb_original(video) if testing else video.partition("_")[0]
        split = ("test" if f"{path.parts[0]}/{video}" in testing else "train") if testing else None
        method = "celeb-synthesis" if label else NO_METHOD
        items.append(Item(str(path), label, f"celeb-df-{key}", source, method, split))
    known = {f"{PurePosixPath(item.path).parts[0]}/{PurePosixPath(item.path).stem}" for item in items}
    known |= {f"{PurePosixPath(item.path).parts[0]}/{PurePosixPath(item.path).parent.name}" for item in items}
    for name in sorted(testing - known):
        yield LeftOut(f"{name}.mp4", f"named in {_LIST}, but not there")
    yield from keep_held_out(items)


def _read_list(file: Path) -> set[str]:
    """``FOLDER/VIDEO`` of every line, without suffix."""
    found = set()
    for number, line in enumerate(file.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        flag, _, path = line.strip().partition(" ")
        place = PurePosixPath(path.strip().replace("\\", "/"))
        label = _LABELS.get(place.parts[0]) if len(place.parts) == 2 else None
        if flag not in {"0", "1"} or label is None:
            raise DataError(
                f"line {number} is not '0 or 1, folder/video': {line.strip()[:80]!r}",
                path=str(file),
                hint="Take the list from the data set again, or move it away to split by person",
            )
        if label != 1 - int(flag):
            raise DataError(
                f"line {number} says {flag} for a video in {place.parts[0]}: in these lists 1 means real",
                path=str(file),
                hint="Take the list from the data set again",
            )
        found.add(str(place.with_suffix("")))
    return found


LAYOUT = Layout(
    "celeb-df",
    f"Celeb-DF v1, v2: {', '.join(_LABELS)}; {_LIST} (1 = real) is the test split",
    lambda folder: (folder / "Celeb-real").is_dir() and (folder / "Celeb-synthesis").is_dir(),
    _read,
    rank=10,
)
