from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_samples import noise

pytest.importorskip("imagehash", reason="needs the extra [data]")

from unmask.data.duplicates import merge_near_duplicates, near_pairs
from unmask.data.items import Item
from unmask.data.look import perceptual_hash

HASHES = st.lists(st.integers(0, 2**64 - 1), max_size=30)


@settings(deadline=None)
@given(HASHES, st.integers(0, 8), st.data())
def test_pairs_are_those_of_the_slow_way(words: list[int], distance: int, data: st.DataObject) -> None:
    for word in words[:6]:
        flips = data.draw(st.lists(st.integers(0, 63), max_size=10))
        words = [*words, word ^ sum({1 << flip for flip in flips})]
    slow = {(i, j) for j in range(len(words)) for i in range(j) if (words[i] ^ words[j]).bit_count() <= distance}
    fast = set(near_pairs(np.array(words, np.uint64), distance))
    assert fast <= slow
    # Of equal hashes only the first stands for all: the pairs tie together the same pictures.
    assert _parts(fast, len(words)) == _parts(slow, len(words))


def _parts(pairs: set[tuple[int, int]], count: int) -> list[int]:
    part = list(range(count))
    for _ in range(count):
        for i, j in pairs:
            part[i] = part[j] = min(part[i], part[j])
    return part


def test_many_hashes_are_fast() -> None:
    words = np.random.default_rng(0).integers(0, 2**64, 50_000, np.uint64)
    words[1] = words[0] ^ np.uint64(1 << 63)
    assert list(near_pairs(words, 2)) == [(0, 1)]


def test_a_saved_copy_is_near_and_another_picture_is_not() -> None:
    first = noise(1, 256)
    copy = np.asarray(Image.fromarray(first).resize((128, 128), Image.Resampling.BILINEAR))
    a, b, c = (int(perceptual_hash(picture), 16) for picture in (first, copy, noise(2, 256)))
    assert (a ^ b).bit_count() <= 2
    assert (a ^ c).bit_count() > 16


def item(path: str, group: str, split: str | None = None) -> Item:
    return Item(path, 0, group, "s", split=split)


def test_near_duplicates_come_into_one_group() -> None:
    items = [item("1", "a"), item("2", "b"), item("3", "c"), item("4", "a")]
    kept, gone = merge_near_duplicates(items, ["0", "1", "ff00ff00ff00ff00", "ffffffff"], 1)
    assert [one.group for one in kept] == ["a", "a", "c", "a"]
    assert gone == []


def test_across_explicit_splits_the_one_nearer_to_training_goes() -> None:
    items = [item("1", "a", "train"), item("2", "b", "test"), item("3", "a", "train"), item("4", "c", "val")]
    kept, gone = merge_near_duplicates(items, ["0", "1", "ffffffff", "3"], 1)
    assert [(one.path, one.group) for one in kept] == [("2", "b"), ("3", "a")]
    assert [(one.path, one.reason) for one in gone] == [
        ("1", "near-duplicate of a picture in test"),
        ("4", "near-duplicate of a picture in test"),
    ]


def test_groups_of_the_users_own_keep_their_names() -> None:
    items = [item("1", "a", "train"), item("2", "b", "train"), item("3", "c", "test")]
    kept, gone = merge_near_duplicates(items, ["0", "1", "3"], 1, regroup=False)
    assert [(one.path, one.group) for one in kept] == [("3", "c")]
    assert [(one.path, one.twin) for one in gone] == [("1", "3"), ("2", "3")]
    kept, gone = merge_near_duplicates(items[:2], ["0", "1"], 1, regroup=False)
    assert [(one.path, one.group) for one in kept] == [("1", "a"), ("2", "b")]


@pytest.mark.parametrize("held_out", ["0", "1"], ids=["equal", "one bit"])
def test_copies_of_what_is_left_out_are_left_out_too(held_out: str) -> None:
    items = [item("1", "a", "train"), item("2", "b", "train"), item("3", "c", "test"), item("4", "d", "val")]
    kept, gone = merge_near_duplicates(items, ["0", "0", held_out, "0"], 1)
    assert [(one.path, one.group) for one in kept] == [("3", "c")]
    assert [(one.path, one.twin) for one in gone] == [("1", "3"), ("2", "3"), ("4", "3")]


def test_thousands_of_copies_are_fast() -> None:
    items = [item(str(i), f"{i}", "test" if i % 2 else "train") for i in range(20_000)]
    kept, gone = merge_near_duplicates(items, ["abc"] * len(items), 2)
    assert {one.split for one in kept} == {"test"}
    assert len(gone) == 10_000


def test_the_twin_is_the_one_most_alike() -> None:
    items = [item("1", "a", "train"), item("2", "b", "test"), item("3", "b", "test")]
    _, gone = merge_near_duplicates(items, ["0", "3", "1"], 2)
    assert [(one.path, one.twin) for one in gone] == [("1", "3")]


def test_a_group_with_one_explicit_split_has_that_side() -> None:
    items = [item("1", "a", "train"), item("2", "a"), item("3", "b", "test")]
    kept, gone = merge_near_duplicates(items, ["ff00", "0", "0"], 1)
    assert [(one.path, one.group) for one in kept] == [("1", "a"), ("3", "b")]
    assert [one.path for one in gone] == ["2"]


SIDES = st.sampled_from([None, "train", "val", "test"])


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0, 1, 3, 7, 48, 16, 240]), st.sampled_from("abcdef"), SIDES)))
def test_merging_tears_no_group_and_no_near_duplicates(rows: list[tuple[int, str, str | None]]) -> None:
    side: dict[str, str | None] = {}
    items = [item(str(i), group, side.setdefault(group, split)) for i, (_, group, split) in enumerate(rows)]
    kept, gone = merge_near_duplicates(items, [f"{word:x}" for word, _, _ in rows], 1)
    assert len(kept) + len(gone) == len(items)
    sides: dict[str, set[str]] = {}
    for one in kept:
        if one.split:
            sides.setdefault(one.group, set()).add(one.split)
    assert all(len(found) == 1 for found in sides.values())
    words = [word for word, _, _ in rows]
    near = {(i, j) for j in range(len(words)) for i in range(j) if (words[i] ^ words[j]).bit_count() <= 1}
    part = _parts(near, len(words))
    groups: dict[int, set[str]] = {}
    for one in kept:
        groups.setdefault(part[int(one.path)], set()).add(one.group)
    # What hangs together is in one group or left out, and what is farthest from training is never left out.
    assert set(groups) == set(part)
    assert all(len(found) == 1 for found in groups.values())
    assert not [one for one in gone if items[int(one.path)].split == "test"]
