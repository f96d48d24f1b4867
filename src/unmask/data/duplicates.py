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
    """Give near-duplicates one group; where explicit splits part them, leave out the one nearer to training.

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
    side = {item.group: item.split for item in items}

    def find(group: str) -> str:
        while head[group] != group:
            head[group] = head[head[group]]
            group = head[group]
        return group

    gone: dict[int, LeftOut] = {}
    order = {name: rank for rank, name in enumerate((None, *SPLITS))}
    hashed = [number for number, text in enumerate(hashes) if text]
    words = np.array([int(hashes[number], 16) for number in hashed], np.uint64)
    for i, j in ((hashed[a], hashed[b]) for a, b in near_pairs(words, distance)):
        if i in gone or j in gone:
            continue
        low, high = sorted((find(items[i].group), find(items[j].group)))
        if low == high:
            continue
        sides = {side[low], side[high]} - {None}
        if len(sides) == 2:
            # Merging would tear a whole group out of its split: the picture nearer to training goes instead.
            drop, stay = sorted((i, j), key=lambda k: order[side[find(items[k].group)]])
            kept_in = side[find(items[stay].group)]
            gone[drop] = LeftOut(items[drop].path, f"near-duplicate of a picture in {kept_in}", twin=items[stay].path)
            continue
        head[high] = low
        side[low] = next(iter(sides), None)
    kept = [replace(item, group=find(item.group)) if regroup else item for i, item in enumerate(items) if i not in gone]
    return kept, list(gone.values())
