"""Near-duplicates by perceptual hash, brought into one group or left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from unmask.data.items import SPLITS, Item, LeftOut

BITS = 64


def near_pairs(hashes: NDArray[np.uint64], distance: int) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, of hashes that differ in at most ``distance`` bits; of equal ones each with the first only.

    Two hashes that differ in at most d bits agree wholly in one of d + 1 bands of bits (pigeonhole), so only those that
    share a band are compared: a million hashes need seconds, not days.
    """
    unique, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    for i, u in enumerate(inverse):
        if first[u] != i:
            yield int(first[u]), i
    edges = np.linspace(0, BITS, distance + 2).round().astype(int)
    seen: set[tuple[int, int]] = set()
    for low, high in pairwise(edges):
        band = (unique >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.diff(band[order], prepend=~band[order[:1]]))
        for members in np.split(order, starts[1:]):
            for place, a in enumerate(members[:-1]):
                others = members[place + 1 :]
                for b in others[_differing_bits(unique[others] ^ unique[a]) <= distance]:
                    i, j = sorted((int(first[a]), int(first[b])))
                    if (i, j) not in seen:
                        seen.add((i, j))
                        yield i, j


def _differing_bits(words: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Number of ones of each word (NumPy 1 has no ``bitwise_count``)."""
    ones: NDArray[np.intp] = np.unpackbits(words.view(np.uint8).reshape(-1, 8), axis=1).sum(axis=1, dtype=np.intp)
    return ones


def merge_near_duplicates(
    items: Sequence[Item], hashes: Sequence[str], distance: int, *, regroup: bool = True
) -> tuple[list[Item], list[LeftOut]]:
    """Give near-duplicates one group; where explicit splits part them, leave out those nearer to training.

    What hangs together by near pairs counts as a whole: only those on the side farthest from training stay.

    Args:
        items: The items.
        hashes: The perceptual hash of each, in hex; of an empty one nothing is a duplicate.
        distance: Bits that may differ.
        regroup: Whether groups may get other names. Without it only what explicit splits part is left out: for groups
            that the user has given.

    Returns:
        The items that stay, with groups joined, and those that were left out.
    """
    head = {item.group: item.group for item in items}
    # A group with one explicit split takes its other items along.
    side: dict[str, str | None] = {}
    for item in items:
        side[item.group] = side.get(item.group) or item.split

    def find(group: str) -> str:
        while head[group] != group:
            head[group] = head[head[group]]
            group = head[group]
        return group

    gone: dict[int, LeftOut] = {}
    order = {name: rank for rank, name in enumerate((None, *SPLITS))}
    hashed = [number for number, text in enumerate(hashes) if text]
    words = np.array([int(hashes[number], 16) for number in hashed], np.uint64)
    for places in _connected(words, distance):
        members = [hashed[place] for place in places]
        sides = [side[find(items[k].group)] for k in members]
        farthest = max(sides, key=lambda name: order[name])
        twins: dict[int, int] = {}
        held_out = [place for place, name in zip(places, sides, strict=True) if name == farthest]
        for place, k, name in zip(places, members, sides, strict=True):
            if name in (None, farthest):
                # Whose group has no side yet comes along.
                low, high = sorted((find(items[k].group), find(items[hashed[held_out[0]]].group)))
                head[high] = low
                side[low] = farthest
            else:
                # Merging would tear a whole group out of its split: the picture nearer to training goes instead.
                # Thousands of copies can hang together: each hash is compared once.
                word = int(words[place])
                if word not in twins:
                    twins[word] = held_out[int(_differing_bits(words[held_out] ^ words[place]).argmin())]
                reason = f"near-duplicate of a picture in {farthest}"
                gone[k] = LeftOut(items[k].path, reason, twin=items[hashed[twins[word]]].path)
    kept = [replace(item, group=find(item.group)) if regroup else item for i, item in enumerate(items) if i not in gone]
    return kept, [gone[k] for k in sorted(gone)]


def _connected(hashes: NDArray[np.uint64], distance: int) -> list[list[int]]:
    """Places of all that hang together by near pairs, two or more each, in order.

    All of them are gathered before any is left out: else the copies of one that is left out would hang on nothing.
    """
    head = list(range(len(hashes)))

    def find(place: int) -> int:
        while head[place] != place:
            head[place] = head[head[place]]
            place = head[place]
        return place

    for i, j in near_pairs(hashes, distance):
        low, high = sorted((find(i), find(j)))
        head[high] = low
    parts: dict[int, list[int]] = {}
    for place in range(len(hashes)):
        parts.setdefault(find(place), []).append(place)
    return [part for part in parts.values() if len(part) > 1]
