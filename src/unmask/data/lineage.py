"""What a clip was made of, read from the names that the field's sets give: needed to keep it on one side of a split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from unmask.data.items import SPLITS, Item, LeftOut

NOT_FACES = frozenset({"masks", "mask", "landmarks"})
"""Folders that stand beside the frames in preprocessed sets."""
FRAME_FOLDERS = frozenset({"videos", "images", "frames", "frames_all", "faces", "inversions"})
"""Folders that hold files, or folders of frames, and are no name of a video."""

_ACTORS = re.compile(r"(\d\d)(?:_\d\d)?__")
_FFPP = re.compile(r"\d{3}(?:_\d{3})?")
_CELEB = re.compile(r"(id\d+)(?:_id\d+)?_(\d+)")


def joined(names: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """Union of everything that shares a video: part -> the first name of all that hang together."""
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


def ffpp_parts(name: str) -> tuple[str, ...]:
    """The videos that a FaceForensics++ clip is made of: 004_982 shows 004 with the face of 982.

    Clips of the actors (DeepFakeDetection: ``01_02__kitchen_still__ABC``) belong to the actor who was filmed: 28 actors
    lend each other their faces, and tied by both they would all be one group.
    """
    if actor := _ACTORS.match(name):
        return (f"actor-{actor[1]}",)
    return tuple(name.split("_")) if _FFPP.fullmatch(name) else (name,)


def celeb_original(name: str) -> str:
    """The filmed video behind a Celeb-DF clip: id0_id16_0003 is id0_0003 with another face; other names stay."""
    found = _CELEB.fullmatch(name)
    return f"{found[1]}_{found[2]}" if found else name


def groups_of(videos: Sequence[str], otherwise: str) -> dict[str, str]:
    """Video name -> group, by the names of FaceForensics++ and Celeb-DF; other names form a group each.

    The groups are the same for every layout that gives these sets, so manifests of several can be joined.

    Args:
        videos: Names of videos without suffix.
        otherwise: Goes before names that are of neither set.
    """
    heads = joined(ffpp_parts(name) for name in videos)
    groups = {}
    for name in videos:
        first = ffpp_parts(name)[0]
        if _FFPP.fullmatch(name) or first.startswith("actor-"):
            groups[name] = f"ffpp-{heads[first]}"
        elif _CELEB.fullmatch(name):
            groups[name] = f"celeb-df-{celeb_original(name)}"
        else:
            groups[name] = f"{otherwise}-{name}"
    return groups


def keep_held_out(items: Sequence[Item]) -> Iterator[Item | LeftOut]:
    """Where a published split tears a group, its rows nearer to training are left out: what is measured on stays."""
    rank = {name: number for number, name in enumerate((None, *SPLITS))}
    farthest: dict[str, int] = {}
    for item in items:
        farthest[item.group] = max(farthest.get(item.group, 0), rank[item.split])
    for item in items:
        side = farthest[item.group]
        if item.split is not None and rank[item.split] < side:
            yield LeftOut(item.path, f"made of the same original as a clip in {SPLITS[side - 1]}")
        else:
            yield item
