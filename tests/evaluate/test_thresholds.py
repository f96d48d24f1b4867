"""Platt scaling, thresholds and levels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("scipy")
pytest.importorskip("sklearn")

from unmask.base.errors import DataError
from unmask.evaluate.platt import fit_platt, sigmoid
from unmask.evaluate.thresholds import Limits, Sample, likely_fake, likely_real, settle, upper_bound

OPEN = Limits(fpr_limit=1.0, source_limit=1.0, strict_limit=1.0)


def sample(logit: NDArray[np.float64] | list[float], kind: str = "a") -> Sample:
    z = np.asarray(logit, np.float64)
    return Sample(z, np.ones(len(z)), np.full(len(z), kind))


def join(*parts: Sample) -> Sample:
    return Sample(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("logit", "weight", "kind")))


def test_platt_agrees_with_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    fake = rng.random(5000) < 0.2
    z = 3 * (rng.normal(size=5000) + 1.2 * fake) + 7
    scale, shift = fit_platt(fake, z, np.ones(5000))
    reference = LogisticRegression(C=np.inf, class_weight="balanced").fit(z[:, None], fake)
    assert scale == pytest.approx(reference.coef_[0, 0], rel=0.02)
    assert shift == pytest.approx(reference.intercept_[0], rel=0.02)


def test_platt_knows_the_prior_and_not_the_mixture() -> None:
    rng = np.random.default_rng(1)
    real, fake = rng.normal(size=4000), rng.normal(size=500) + 2
    truth = np.repeat([False, True], [4000, 500])
    scale, shift = fit_platt(truth, np.concatenate([real, fake]), np.ones(4500))
    # Two normals of spread 1 at 0 and 2: the log odds at equal priors are 2 z - 2.
    assert scale == pytest.approx(2, abs=0.25)
    assert shift == pytest.approx(-2, abs=0.25)
    _, rare = fit_platt(truth, np.concatenate([real, fake]), np.ones(4500), prior=0.1)
    assert rare == pytest.approx(shift + np.log(0.1 / 0.9), abs=0.2)


def test_platt_stays_finite_on_separated_data() -> None:
    z = np.concatenate([np.full(50, -3.0), np.full(50, 3.0)])
    scale, shift = fit_platt(np.arange(100) >= 50, z, np.ones(100))
    assert sigmoid(3 * scale + shift) == pytest.approx(51 / 52, abs=1e-6)


def test_platt_refuses_reversed_scores_and_one_class() -> None:
    z = np.linspace(-1, 1, 100)
    with pytest.raises(DataError, match="do not rise"):
        fit_platt(z < 0, z, np.ones(100))
    with pytest.raises(DataError, match="real and fake"):
        fit_platt(np.ones(100, bool), z, np.ones(100))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.01, 0.02, 0.1]), st.integers(60, 400))
def test_likely_fake_holds_the_rate_and_is_the_lowest(seed: int, target: float, n: int) -> None:
    reals = sample(np.random.default_rng(seed).normal(size=n))
    limits = Limits(target_fpr=target, fpr_limit=1.0, source_limit=1.0, strict_limit=1.0)
    chosen = likely_fake(reals, limits)
    allowed = int(np.floor(target * n + 1e-9))
    assert int((reals.logit >= chosen.logit).sum()) == allowed


def test_a_bad_source_raises_the_threshold() -> None:
    rng = np.random.default_rng(2)
    good, bad = sample(rng.normal(size=950), "good"), sample(rng.normal(size=50) + 2.5, "bad")
    reals = join(good, bad)
    loose = Limits(target_fpr=0.05, fpr_limit=1.0, source_limit=1.0, strict_limit=1.0)
    free = likely_fake(reals, loose)
    bound = likely_fake(reals, Limits(target_fpr=0.05, fpr_limit=1.0, source_limit=0.10))
    assert bad.share_above(free.logit) > 0.2
    assert bad.share_above(bound.logit) <= 0.10
    assert "source bad" in bound.bound_by
    strict = likely_fake(reals, Limits(target_fpr=0.05, fpr_limit=1.0, strict=("bad",)))
    assert strict.logit > bound.logit


@pytest.mark.parametrize("target", [0.05, 0.2, 0.4])
def test_limits_do_not_cap_a_target_of_ones_own(target: float) -> None:
    rng = np.random.default_rng(4)
    reals = join(*(sample(rng.normal(size=2000), kind) for kind in ("a", "press", "portraits")))
    chosen = likely_fake(reals, Limits.aimed(target, 0.05))
    assert reals.share_above(chosen.logit) == pytest.approx(target, abs=0.001)
    assert chosen.bound_by == f"at most {target:.1%} of all reals are above"
    assert Limits.aimed(0.02, 0.05) == Limits(strict=())


def test_a_source_of_three_pictures_decides_nothing() -> None:
    rng = np.random.default_rng(3)
    many = sample(rng.normal(size=1000), "many")
    few = sample([10.0, 0.0, 0.0], "few")
    assert likely_fake(join(many, few), Limits()).logit < 3.5


def test_with_many_faces_the_threshold_rises() -> None:
    reals = sample(np.random.default_rng(4).normal(size=5000))
    cuts = [likely_fake(reals, OPEN, n).logit for n in (1, 2, 5, 10)]
    assert cuts == sorted(cuts)
    for n, cut in zip((1, 2, 5, 10), cuts, strict=True):
        highest = np.random.default_rng(n).choice(reals.logit, size=(20_000, n)).max(axis=1)
        assert (highest >= cut).mean() == pytest.approx(0.02, abs=0.005)


def test_too_few_reals_are_admitted() -> None:
    chosen = likely_fake(sample([0.0, 1.0, 2.0]), Limits())
    assert chosen.logit > 2
    assert chosen.notes


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(20, 300))
def test_likely_real_holds_the_miss_rate(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    fakes = join(sample(rng.normal(size=n), "big"), sample(rng.normal(size=20) - 1, "small"))
    chosen = likely_real(fakes, Limits())
    assert fakes.share_below(chosen.logit) <= 0.05 + 1e-9
    per_method = [fakes.part(kind).share_below(chosen.logit) for kind in fakes.kinds()]
    assert np.mean(per_method) <= 0.05 + 1e-9


def test_one_clip_is_no_method_of_its_own() -> None:
    rng = np.random.default_rng(6)
    big = sample(rng.normal(size=400) + 3, "big")
    tiny = [sample([-9.0], f"tiny {i}") for i in range(2)] + [sample(rng.normal(size=18) + 3, "tiny 2")]
    # Two hopeless pictures are a tenth of the small methods together: not two of the four methods.
    assert likely_real(join(big, *tiny), Limits(target_miss=0.06)).logit > 0


def test_likely_real_with_several_faces_needs_all_of_them_low() -> None:
    rng = np.random.default_rng(5)
    reals, fakes = sample(rng.normal(size=4000)), sample(rng.normal(size=4000) + 1)
    chosen = likely_real(fakes, OPEN, reals, 3)
    highest = np.maximum(rng.choice(fakes.logit, 40_000), rng.choice(reals.logit, (40_000, 2)).max(axis=1))
    assert (highest <= chosen.logit).mean() == pytest.approx(0.05, abs=0.006)


def test_crossed_thresholds_leave_an_empty_band() -> None:
    assert settle(-1.0, 2.0) == (-1.0, 2.0, False)
    low, high, crossed = settle(2.0, 1.0)
    assert low == high == 1.5
    assert crossed


def test_upper_bound_is_a_beta_quantile() -> None:
    # Beta(1, n + 1) has the quantile 1 - (1 - q)^(1 / (n + 1)).
    assert upper_bound(0, 9, 1, 1) == pytest.approx(1 - 0.2 ** (1 / 10))
