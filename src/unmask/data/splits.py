"""Splits that keep a group on one side: by seed, stratified by source and label."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from unmask.base.errors import DataError, UsageError
from unmask.data.items import SPLITS, Item


def check_fraction(fraction: float) -> None:
    """Raises:
    UsageError: ``fraction`` is not between 0 and 0.45.
    """
    if not 0 <= fraction <= 0.45:
        raise UsageError(f"a fraction of {fraction} leaves too little to train on", hint="Use 0 to 0.45")


def assign_splits(items: Sequence[Item], *, fraction: float = 0.15, seed: int = 0) -> list[Item]:
    """Give every item a split.

    A split that the layout gave stays. A group with one explicit split takes its other items along. The remaining
    groups are dealt out by a seeded hash of their names: ``fraction`` of the groups of each stratum (sources and labels
    a group holds) to validation and as many to test, unless the layout has such a split itself, the rest to training.
    Where the layout has a training but no validation split, validation is taken from its training groups, and so is
    test where it has none either. A layout that puts everything into training and validation gives no test rows. Adding
    a group moves few others, since each keeps its place in the order of hashes.

    Raises:
        UsageError: ``fraction`` is not between 0 and 0.45.
        DataError: The layout itself puts a group on two sides.
    """
    check_fraction(fraction)
    given: dict[str, str] = {}
    for item in items:
        if item.split and given.setdefault(item.group, item.split) != item.split:
            raise DataError(
                f"the group {item.group!r} is on two sides: {given[item.group]} and {item.split}",
                path=item.path,
                hint="Give splits of your own with --splits FILE",
            )
    explicit = set(given.values())
    strata: dict[tuple[object, ...], set[str]] = defaultdict(set)
    traits: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for item in items:
        traits[item.group].add((item.source, item.label))
    # Validation is missing where the layout has only train and test: it is taken from what would be training.
    from_train = "train" in explicit and "val" not in explicit
    for group, trait in traits.items():
        if group not in given or (from_train and given[group] == "train"):
            strata[tuple(sorted(trait))].add(group)
    chosen = dict(given)
    held_out = [name for name in SPLITS[1:] if name not in explicit]
    for groups in strata.values():
        ordered = sorted(groups, key=lambda group: hashlib.blake2b(f"{seed}/{group}".encode()).digest())
        cut = 0
        for name in held_out:
            # At least one where there are enough to share, none where a stratum is a single group.
            size = round(fraction * len(ordered))
            size = max(size, 1) if fraction and len(ordered) >= 3 else size
            part = ordered[cut : cut + size]
            cut += size
            for group in part:
                chosen[group] = name
        for group in ordered[cut:]:
            chosen[group] = "train"
    return [replace(item, split=chosen[item.group]) for item in items]
