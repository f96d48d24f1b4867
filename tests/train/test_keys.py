"""A wrong key is answered with the one that was meant."""

from __future__ import annotations

import pytest

pytest.importorskip("yaml", reason="needs the extra [data]")

from unmask.base.errors import UsageError
from unmask.train.keys import keys_of, near
from unmask.train.recipe import Recipe, load_recipe


@pytest.mark.parametrize(
    ("change", "key", "meant"),
    [
        ("lr=1", "lr", "schedule.lr"),
        ("schedule.lrs=1", "schedule.lrs", "schedule.lr"),
        ("schedule.learning_rate=1", "schedule.learning_rate", "schedule.lr"),
        ("network.batch_size=8", "network.batch_size", "schedule.batch"),
        ("shedule.lr=1", "shedule", "schedule"),
        ("network.droput=0.2", "network.droput", "network.dropout"),
        ("augment.rotate_degree=3", "augment.rotate_degree", "augment.rotate_degrees"),
        ("network.backbon=x", "network.backbon", "network.backbone"),
    ],
)
def test_the_key_that_was_meant_comes_first(change: str, key: str, meant: str) -> None:
    with pytest.raises(UsageError, match="there is no such key") as raised:
        load_recipe("default", [change])
    assert raised.value.message.startswith(f"{key}:")
    assert raised.value.hint.startswith(f"Did you mean {meant}")


def test_nothing_near_is_nothing_guessed() -> None:
    assert near("zzz", list(keys_of(Recipe))) == []
    with pytest.raises(UsageError) as raised:
        load_recipe("default", ["zzz=1"])
    assert "Sections: name" in raised.value.hint


def test_every_key_can_be_set() -> None:
    names = list(keys_of(Recipe))
    assert len(names) == len(set(names)) > 50
    assert {"seed", "schedule", "schedule.lr", "network.backbone", "crop.size", "augment.blur"} <= set(names)


def test_a_recipe_of_another_name() -> None:
    with pytest.raises(UsageError) as raised:
        load_recipe("defalt")
    assert raised.value.hint.startswith("Did you mean default? Packaged recipes:")
