from __future__ import annotations

from collections import Counter

import pytest

pytest.importorskip("yaml", reason="needs the extra [train]")

from unmask.base.errors import DataError
from unmask.train.recipe import SamplingRecipe
from unmask.train.sampling import Sampler

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
