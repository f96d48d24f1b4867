from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the extra [train]")

from unmask.train.metrics import ValidationRows, file_weights, validate


def test_a_clip_counts_as_one_file() -> None:
    assert file_weights(["a", "clip", "clip", "clip", "clip"]).tolist() == [1, 0.25, 0.25, 0.25, 0.25]


def test_a_perfect_and_a_blind_network() -> None:
    labels = [0, 1] * 50
    rows = ValidationRows(labels, ["s"] * 100, ["none", "gan"] * 50, [str(i) for i in range(100)])
    good = validate(np.array(labels, float), rows)
    assert (good.pooled, good.macro, good.found, good.false) == (1.0, 1.0, 1.0, {"s": 0.0})
    blind = validate(np.zeros(100), rows)
    assert (blind.pooled, blind.found) == (0.5, 0.0)


def test_methods_are_held_against_the_reals_of_their_source() -> None:
    """Source b scores everything higher; within it nothing is told apart."""
    labels, sources = [0] * 10 + [1] * 10 + [0] * 10 + [1] * 10, ["a"] * 20 + ["b"] * 20
    rows = ValidationRows(labels, sources, ["none" if not x else "swap" for x in labels], [str(i) for i in range(40)])
    result = validate(np.array([0.0] * 10 + [1.0] * 10 + [5.0] * 20), rows)
    assert result.auc == {"a/swap": 1.0, "b/swap": 0.5}
    assert result.false["a"] == 0.0


def test_one_clip_of_many_frames_moves_the_threshold_by_one_file_only() -> None:
    labels = [0] * 100 + [0] * 96 + [1] * 10
    files = [f"p{i}" for i in range(100)] + ["clip"] * 96 + [f"f{i}" for i in range(10)]
    sources = ["pictures"] * 100 + ["talk"] * 96 + ["gan"] * 10
    rows = ValidationRows(labels, sources, ["none"] * 196 + ["gan"] * 10, files)
    result = validate(np.array([*np.linspace(-2, -1, 100), *[9.0] * 96, *[2.0] * 10]), rows)
    assert result.found == pytest.approx(1.0)
    assert result.false["talk"] == 1.0


def test_loss_and_accuracy_by_hand() -> None:
    """ln 2 for a logit of 0, 1 wrong of 4 files; the two frames of a clip are one file."""
    rows = ValidationRows(
        [0, 1, 1, 0, 0], ["a"] * 5, ["none", "x", "x", "none", "none"], ["1", "2", "3", "clip", "clip"]
    )
    result = validate(np.array([-2.0, 3.0, -1.0, -50.0, 0.0]), rows)
    each = [np.log1p(np.exp(-2)), np.log1p(np.exp(-3)), np.log1p(np.exp(1)), (0 + np.log(2)) / 2]
    assert result.loss == pytest.approx(np.mean(each))
    assert result.accuracy == pytest.approx(3 / 4)
    assert result.monitored("val_loss") == -result.loss
    assert result.monitored("val_accuracy") == result.accuracy
    assert validate(np.array([-900.0, 900.0, 900.0, -900.0, -900.0]), rows).loss == 0.0


def test_one_row_of_each_label_is_enough() -> None:
    result = validate(np.array([-1.0, 1.0]), ValidationRows([0, 1], ["a", "b"], ["none", "x"], ["1", "2"]))
    assert (result.pooled, result.macro, result.accuracy) == (1.0, 1.0, 1.0)
    assert 0 <= result.found <= 1
