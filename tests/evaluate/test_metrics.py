"""Metrics against scikit-learn and against their own definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from unmask.evaluate import ranking
from unmask.evaluate.intervals import estimates
from unmask.evaluate.metrics import Scores, balance, expected_calibration_error, measure, values

sklearn_metrics = pytest.importorskip("sklearn.metrics")


def make_scores(fake: list[bool], logit: list[float], high: float = 0.8, low: float = 0.3) -> Scores:
    z = np.array(logit, np.float64)
    p = 1 / (1 + np.exp(-z))
    with np.errstate(invalid="ignore"):
        return Scores(np.array(fake), z, p, p >= high, p <= low)


@st.composite
def rows(draw: st.DrawFn) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Truth, score (few values, so that ties are common) and weights."""
    n = draw(st.integers(2, 40))
    fake = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    score = np.array(draw(st.lists(st.integers(-5, 5), min_size=n, max_size=n)), np.float64) / 2
    weight = np.array(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)), np.float64)
    assume(weight[fake].sum() > 0 and weight[~fake].sum() > 0)
    return fake, score, weight


@settings(max_examples=150, deadline=None)
@given(rows())
def test_order_metrics_agree_with_scikit_learn(
    data: tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]],
) -> None:
    fake, score, weight = data
    c = ranking.curve(fake, score, weight[None])
    assert ranking.auc(c)[0] == pytest.approx(sklearn_metrics.roc_auc_score(fake, score, sample_weight=weight))
    expected = sklearn_metrics.average_precision_score(fake, score, sample_weight=weight)
    assert ranking.average_precision(c)[0] == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(rows(), st.sampled_from([0.0, 0.01, 0.05, 0.3]))
def test_found_rate_at_a_limit_is_the_best_threshold(
    data: tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]], limit: float
) -> None:
    fake, score, weight = data
    c = ranking.curve(fake, score, weight[None])
    fpr, tpr, _ = sklearn_metrics.roc_curve(fake, score, sample_weight=weight, drop_intermediate=False)
    assert ranking.found_at(c, limit)[0] == pytest.approx(tpr[fpr <= limit + 1e-12].max())
    eer = ranking.equal_error_rate(c)[0]
    assert 0 <= eer <= 1
    # By definition the straight line through the neighbouring points meets fpr = 1 - tpr there.
    assert np.interp(eer, fpr, tpr) <= 1 - eer + 1e-9 or np.any(np.isclose(fpr, eer))


def test_equal_error_rate_of_a_known_case() -> None:
    fake = np.array([True, True, True, True, False, False, False, False])
    score = np.array([4.0, 3.0, 2.0, 0.0, 1.0, -1.0, -2.0, 2.5])
    assert ranking.equal_error_rate(ranking.curve(fake, score, np.ones((1, 8))))[0] == pytest.approx(0.25)


@settings(max_examples=60, deadline=None)
@given(rows())
def test_balanced_log_loss_and_brier_agree_with_scikit_learn(
    data: tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]],
) -> None:
    fake, score, weight = data
    scores = make_scores(fake.tolist(), score.tolist())
    found = measure(scores, weight[None])
    even = balance(fake, weight[None])[0]
    assert even[fake].sum() == pytest.approx(0.5)
    assert found["log_loss"][0] == pytest.approx(sklearn_metrics.log_loss(fake, scores.p, sample_weight=even))
    assert found["brier"][0] == pytest.approx(sklearn_metrics.brier_score_loss(fake, scores.p, sample_weight=even))


@settings(max_examples=60, deadline=None)
@given(rows())
def test_rates_agree_with_scikit_learn(
    data: tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]],
) -> None:
    fake, score, weight = data
    scores = make_scores(fake.tolist(), score.tolist())
    found = measure(scores, weight[None])
    called, kw = scores.called_fake, {"sample_weight": weight}
    assert found["accuracy"][0] == pytest.approx(sklearn_metrics.accuracy_score(fake, called, **kw))
    assert found["found"][0] == pytest.approx(sklearn_metrics.recall_score(fake, called, **kw))
    assert found["f1"][0] == pytest.approx(sklearn_metrics.f1_score(fake, called, **kw))
    if weight[called].sum() > 0:
        assert found["precision"][0] == pytest.approx(sklearn_metrics.precision_score(fake, called, **kw))
    parts = found["found"] + found["missed"] + found["inconclusive_fake"]
    assert parts[0] == pytest.approx(1)


def test_weights_count_like_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    fake, z = rng.random(50) < 0.5, rng.normal(size=50)
    z[::9] = np.nan
    times = rng.integers(0, 4, 50)
    scores = make_scores(fake.tolist(), z.tolist())
    weighted = measure(scores, times[None].astype(float))
    repeated = measure(scores.take(np.repeat(np.arange(50), times)))
    for name, value in repeated.items():
        assert weighted[name][0] == pytest.approx(value[0]), name


def test_a_fake_without_a_face_is_not_found() -> None:
    seen = make_scores([True, True, False, False], [3.0, 2.5, -3.0, -2.5])
    blind = make_scores([True, True, True, True, False, False], [3.0, 2.5, np.nan, np.nan, -3.0, -2.5])
    full, half = values(seen), values(blind)
    assert full["found"] == full["tpr_at_fpr_1"] == full["accuracy"] == 1
    assert half["auc"] == 1
    assert half["coverage_fake"] == half["found"] == half["tpr_at_fpr_1"] == half["tpr_at_fpr_5"] == 0.5
    assert half["missed"] == 0
    assert half["accuracy"] == pytest.approx(4 / 6)


def test_a_real_without_a_face_does_not_lower_the_false_positive_rate() -> None:
    scores = make_scores([False, False, True], [3.0, np.nan, 3.0])
    assert values(scores)["false_positives"] == 1
    assert values(scores)["coverage_real"] == 0.5


def test_one_class_has_no_auc() -> None:
    found = values(make_scores([True, True], [1.0, 2.0]))
    assert np.isnan(found["auc"])
    assert np.isnan(found["eer"])
    assert np.isnan(found["tpr_at_fpr_1"])
    assert np.isnan(found["log_loss"])
    assert np.isnan(found["false_positives"])
    assert found["coverage_fake"] == 1


def test_calibration_error_by_hand() -> None:
    fake = np.array([True, False, True, True])
    p = np.array([0.9, 0.9, 0.1, 0.1])
    # Two bins of two rows: |0.9 - 0.5| and |0.1 - 1.0|.
    assert expected_calibration_error(fake, p, np.ones((1, 4)))[0] == pytest.approx((0.4 + 0.9) / 2)
    assert expected_calibration_error(fake, np.array([1.0, 0.0, 1.0, 1.0]), np.ones((1, 4)))[0] == 0


def test_intervals_cover_and_widen_with_groups() -> None:
    rng = np.random.default_rng(1)
    fake = rng.random(400) < 0.5
    z = rng.normal(size=400) + 1.5 * fake
    scores = make_scores(fake.tolist(), z.tolist())
    single = estimates(scores, [str(i) for i in range(400)], by=("auc", "found"))
    # Every row ten times, ten rows a group: the same witnesses, so the same interval as before, not one that is
    # narrower by the root of ten.
    tenfold = scores.take(np.repeat(np.arange(400), 10))
    grouped = estimates(tenfold, [str(i // 10) for i in range(4000)], by=("auc", "found"))
    for name in ("auc", "found"):
        one, ten = single[name], grouped[name]
        assert one["value"] == pytest.approx(ten["value"])
        assert one["low"] < one["value"] < one["high"]
        assert ten["high"] - ten["low"] == pytest.approx(one["high"] - one["low"], rel=0.15)


def test_interval_of_a_rate_agrees_with_the_binomial() -> None:
    scores = make_scores([True] * 200, [5.0] * 60 + [-5.0] * 140)
    found = estimates(scores, [str(i) for i in range(200)], by=("found",), draws=4000)["found"]
    error = 1.96 * np.sqrt(0.3 * 0.7 / 200)
    assert found["low"] == pytest.approx(0.3 - error, abs=0.01)
    assert found["high"] == pytest.approx(0.3 + error, abs=0.01)


def test_no_interval_from_a_handful_of_groups() -> None:
    scores = make_scores([True, False] * 20, [1.0, 0.0] * 20)
    found = estimates(scores, [str(i % 4) for i in range(40)], by=("auc",))["auc"]
    assert found == {"value": 1.0, "low": None, "high": None}


def test_empty_table() -> None:
    none = np.zeros(0)
    empty = Scores(none.astype(bool), none, none, none.astype(bool), none.astype(bool))
    assert estimates(empty, [])["auc"] == {"value": None, "low": None, "high": None}


def test_without_resamples_there_are_values_and_no_intervals() -> None:
    scores = make_scores([True, False] * 20, [1.0, 0.0] * 20)
    found = estimates(scores, [str(i) for i in range(40)], by=("auc",), draws=0)["auc"]
    assert found == {"value": 1.0, "low": None, "high": None}


def test_without_one_class_its_precision_is_not_defined() -> None:
    found = values(make_scores([False] * 4, [5.0, -5.0, -5.0, -5.0]))
    assert found["false_positives"] == 0.25
    assert found["precision_real"] == 1.0
    assert np.isnan([found[name] for name in ("precision", "found", "f1", "auc")]).all()
    found = values(make_scores([True] * 4, [5.0, -5.0, -5.0, -5.0]))
    assert found["found"] == 0.25
    assert found["precision"] == 1.0
    assert np.isnan([found[name] for name in ("precision_real", "recall_real", "f1_real", "auc")]).all()
