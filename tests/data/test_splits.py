from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unmask.base.errors import DataError, UsageError
from unmask.data.items import SPLITS, Item
from unmask.data.splits import assign_splits

ITEMS = st.lists(
    st.builds(
        Item,
        path=st.uuids().map(str),
        label=st.integers(0, 1),
        group=st.integers(0, 30).map(str),
        source=st.sampled_from("abc"),
    ),
    max_size=80,
)
EXPLICIT = st.dictionaries(st.integers(0, 30).map(str), st.sampled_from(SPLITS))


@settings(deadline=None)
@given(ITEMS, EXPLICIT, st.floats(0, 0.45), st.integers(0, 5))
def test_a_group_is_never_on_two_sides(items: list[Item], explicit: dict[str, str], fraction: float, seed: int) -> None:
    # Only the first item of a group says its split: the others have to follow.
    seen: set[str] = set()
    given_items = []
    for item in items:
        given_items.append(replace(item, split=None if item.group in seen else explicit.get(item.group)))
        seen.add(item.group)
    result = assign_splits(given_items, fraction=fraction, seed=seed)
    sides = defaultdict(set)
    for item in result:
        sides[item.group].add(item.split)
    assert all(len(side) == 1 and side <= set(SPLITS) for side in sides.values())
    assert [replace(item, split=None) for item in result] == [replace(item, split=None) for item in items]
    used = {explicit[group] for group in sides if group in explicit}
    for group, side in sides.items():
        kept = explicit.get(group)
        # What the layout says stays; only a missing validation split may be cut out of training.
        assert kept is None or side == {kept} or (kept == "train" and "val" not in used)
        if kept is None and used == set(SPLITS):
            assert side == {"train"}


@settings(deadline=None)
@given(ITEMS, st.integers(0, 3))
def test_the_order_of_items_does_not_matter(items: list[Item], seed: int) -> None:
    forward = {item.path: item.split for item in assign_splits(items, seed=seed)}
    assert forward == {item.path: item.split for item in assign_splits(items[::-1], seed=seed)}


def test_shares_are_kept_in_every_stratum() -> None:
    items = [
        Item(f"{source}{label}{i}", label, f"{source}{label}{i}", source)
        for source, count in (("many", 200), ("few", 20))
        for label in (0, 1)
        for i in range(count)
    ]
    counts = Counter((item.source, item.label, item.split) for item in assign_splits(items, fraction=0.15, seed=1))
    for label in (0, 1):
        assert [counts["many", label, split] for split in SPLITS] == [140, 30, 30]
        assert [counts["few", label, split] for split in SPLITS] == [14, 3, 3]


def test_another_seed_gives_another_split() -> None:
    items = [Item(str(i), 0, str(i), "s") for i in range(100)]
    assert assign_splits(items, seed=1) != assign_splits(items, seed=2)
    assert assign_splits(items, seed=1) == assign_splits(items, seed=1)


def test_validation_is_cut_out_of_training_where_it_is_missing() -> None:
    items = [Item(f"{i}", i % 2, f"{i}", "s", split="train" if i < 80 else "test") for i in range(100)]
    counts = Counter(item.split for item in assign_splits(items, fraction=0.15))
    assert counts == {"train": 68, "val": 12, "test": 20}


def test_a_layout_that_tears_a_group_is_refused() -> None:
    items = [Item("a.jpg", 0, "g", "s", split="train"), Item("b.jpg", 1, "g", "s", split="test")]
    with pytest.raises(DataError, match="'g' is on two sides"):
        assign_splits(items)


@pytest.mark.parametrize("fraction", [-0.1, 0.5, float("nan")])
def test_a_share_that_leaves_nothing_is_refused(fraction: float) -> None:
    with pytest.raises(UsageError, match="fraction"):
        assign_splits([], fraction=fraction)
