from __future__ import annotations

from collections import Counter

import pytest

pytest.importorskip("yaml", reason="needs the extra [train]")

from unmask.base.errors import DataError
from unmask.train.recipe import SamplingRecipe, steps_of_epoch
from unmask.train.sampling import EpochSampler, Sampler

# Rows: 6 reals and 6 fakes of a paired source, 40 fakes and 4 reals of others.
LABELS = [0] * 6 + [1] * 6 + [1] * 40 + [0] * 4
SOURCES = ["pairs"] * 12 + ["many"] * 40 + ["few"] * 4
METHODS = ["none"] * 6 + ["swap"] * 6 + ["gan"] * 40 + ["none"] * 4
GROUPS = [f"p{i}" for i in range(6)] * 2 + [f"m{i}" for i in range(40)] + [f"f{i}" for i in range(4)]


def sampler(seed: int = 3, **recipe: object) -> Sampler:
    return Sampler(LABELS, SOURCES, METHODS, GROUPS, SamplingRecipe.model_validate(recipe), seed)


def test_batches_are_half_real_and_repeatable() -> None:
    first, again, other = (sampler(seed).batch(5, 16) for seed in (3, 3, 4))
    assert first == again != other
    assert sum(pick.label for pick in first) == 8
    assert all(pick.make != "as-is" or LABELS[pick.row] == pick.label for pick in first)


def test_shares_are_kept() -> None:
    made = sampler(fake={"pairs/swap": 0.7, "many/gan": 0.2, "self-blend": 0.1}, real={"pairs": 0.5, "few": 0.5})
    picks = [pick for step in range(300) for pick in made.batch(step, 16) if pick.label]
    kinds = Counter("blend" if pick.make != "as-is" else SOURCES[pick.row] for pick in picks)
    assert kinds["pairs"] / len(picks) == pytest.approx(0.7, abs=0.04)
    assert kinds["blend"] / len(picks) == pytest.approx(0.1, abs=0.03)


def test_a_paired_fake_brings_its_real() -> None:
    picks = sampler(fake={"pairs/swap": 1}, rest=0, paired=["pairs"], real={"few": 1, "pairs": 1}).batch(0, 32)
    for real, fake in zip(picks[::2], picks[1::2], strict=True):
        assert GROUPS[real.row] == GROUPS[fake.row]


def test_a_blend_stands_beside_what_it_is_made_of() -> None:
    picks = sampler(fake={"self-blend": 1, "many/gan": 0, "pairs/swap": 0}).batch(0, 8)
    assert all(
        real.row == fake.row and LABELS[fake.row] == 0 for real, fake in zip(picks[::2], picks[1::2], strict=True)
    )


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match=r"faceswap.*They hold: many/gan, pairs/swap"):
        sampler(fake={"x/faceswap": 1})
    with pytest.raises(DataError, match="nothing has a share"):
        sampler(rest=0, fake={"many/gan": 1})


@pytest.mark.parametrize(("rows", "batch"), [(48, 8), (50, 8), (5, 8), (33, 32), (1000, 64)])
def test_every_row_once_an_epoch(rows: int, batch: int) -> None:
    """Whole batches; where the last one is filled up, by rows of the same epoch, each at most once more."""
    labels = [int(row % 3 == 0) for row in range(rows)]
    made = EpochSampler(labels, balance=False, seed=1)
    assert len(made) == rows
    steps = steps_of_epoch(rows, batch)
    orders = []
    for epoch in range(3):
        picks = [pick for step in range(steps) for pick in made.batch(epoch * steps + step, batch)]
        assert len(picks) == steps * batch
        counts = Counter(pick.row for pick in picks)
        assert set(counts) == set(range(rows))
        assert max(counts.values()) - min(counts.values()) <= 1
        assert sorted(pick.row for pick in picks[:rows]) == list(range(rows))
        assert all(pick.label == labels[pick.row] and pick.make == "as-is" for pick in picks)
        orders.append([pick.row for pick in picks])
    assert rows < 6 or orders[0] != orders[1] != orders[2], "shuffled anew"
    again = EpochSampler(labels, balance=False, seed=1)
    assert again.batch(2 * steps, batch) == made.batch(2 * steps, batch), "a resumed run draws the same"


def test_the_rarer_label_is_repeated_until_both_are_alike() -> None:
    labels = [0] * 30 + [1] * 8
    made = EpochSampler(labels, balance=True, seed=1)
    assert len(made) == 60
    picks = [pick for step in range(6) for pick in made.batch(step, 10)]
    counts = Counter(pick.row for pick in picks)
    assert all(counts[row] == 1 for row in range(30))
    assert sorted({counts[row] for row in range(30, 38)}) == [3, 4]
    assert sum(pick.label for pick in picks) == 30
