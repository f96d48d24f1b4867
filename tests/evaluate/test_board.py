"""Several detectors side by side, what they cost, and what is written of them."""
# ruff: noqa: E402 - the packages of an extra are looked for before what needs them is imported

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

pl = pytest.importorskip("polars")
pytest.importorskip("matplotlib")
sklearn_metrics = pytest.importorskip("sklearn.metrics")

from support import make_card, make_graph, small_files
from unmask.base.errors import DataError, UsageError
from unmask.data.manifest import Manifest
from unmask.evaluate import session, sheet
from unmask.evaluate.board import board, thin
from unmask.evaluate.compare import differences
from unmask.evaluate.cost import graph_cost, take_turns
from unmask.evaluate.foreign import ForeignDetector
from unmask.evaluate.measure import shared_words
from unmask.evaluate.metrics import Scores
from unmask.evaluate.predict import judge, predict
from unmask.evaluate.store import Measured, read_predictions, write_predictions
from unmask.evaluate.units import faces_of, scores_of
from unmask.model import Bundle, Thresholds, load_bundle, pack


def as_scores(fake: np.ndarray, z: np.ndarray) -> Scores:
    p = 1 / (1 + np.exp(-z))
    return Scores(fake, z, p, p >= 0.8, p <= 0.3)


def test_paired_intervals_are_narrower_and_find_a_real_difference() -> None:
    rng = np.random.default_rng(0)
    fake = rng.random(400) < 0.5
    hard = rng.normal(size=400)
    one = as_scores(fake, fake + hard)
    better = as_scores(fake, 1.3 * fake + hard + 0.1 * rng.normal(size=400))
    groups = [str(i) for i in range(400)]
    same = differences(one, one, groups, by=("auc", "found"), draws=100)
    assert same["auc"] == same["found"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    gain = differences(one, better, groups, by=("auc",), draws=300)["auc"]
    truth = [sklearn_metrics.roc_auc_score(fake, scores.logit) for scores in (better, one)]
    assert gain["value"] == pytest.approx(truth[0] - truth[1])
    assert 0 < gain["low"] < gain["value"] < gain["high"]
    assert gain["high"] - gain["low"] < 0.06  # the interval of either AUC alone is about 0.09 wide


def test_confusion_and_class_report_agree_with_scikit_learn(bundle: Bundle, manifest: Manifest) -> None:
    # Thresholds at which some of both classes are called fake.
    edges = Thresholds(likely_real=0.2, likely_fake=0.25)
    card = bundle.card.model_copy(update={"levels": [bundle.card.levels[0].model_copy(update={"thresholds": edges})]})
    table = judge(predict(bundle, manifest, "val"), card)
    figures = board([Measured("one", card, table)], draws=20)["detectors"][0]["face"]
    scores = scores_of(faces_of(table))
    kept = scores.fake | scores.face
    expected = sklearn_metrics.confusion_matrix(scores.fake[kept], scores.called_fake[kept])
    assert expected.min() > 0
    counts = figures["confusion"]
    names = ("true_negatives", "false_positives", "false_negatives", "true_positives")
    assert [counts[name] for name in names] == expected.ravel().tolist()
    assert sum(counts[name] for name in names) + counts["left_out"] == 76
    report = sklearn_metrics.classification_report(
        scores.fake[kept], scores.called_fake[kept], target_names=["real", "fake"], output_dict=True
    )
    rows = {row["class"]: row for row in figures["classes"]}
    for ours, theirs in (("fake", "fake"), ("real", "real"), ("mean", "macro avg"), ("weighted mean", "weighted avg")):
        for metric, name in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert rows[ours][metric]["value"] == pytest.approx(report[theirs][name]), (ours, metric)
        assert rows[ours]["support"] == report[theirs]["support"]
    for row in rows.values():
        assert all(
            row[name]["low"] <= row[name]["value"] <= row[name]["high"] for name in ("precision", "recall", "f1")
        )
    # The mean of two classes varies less than the class that varies more.
    wide = max(rows[name]["recall"]["high"] - rows[name]["recall"]["low"] for name in ("fake", "real"))
    assert 0 < rows["mean"]["recall"]["high"] - rows["mean"]["recall"]["low"] < wide


def test_every_metric_by_source_and_method(bundle: Bundle, manifest: Manifest) -> None:
    figures = board([Measured("one", bundle.card, predict(bundle, manifest, "val"))], draws=10)["detectors"][0]
    for level in ("file", "face", "clip"):
        pooled = set(figures[level]["pooled"])
        assert pooled >= {"accuracy", "precision", "found", "f1", "auc", "eer", "ap", "log_loss", "brier", "ece"}
        for row in (*figures[level]["by_source"], *figures[level]["by_method"]):
            assert set(row) >= pooled


def test_other_rows_cannot_be_compared(bundle: Bundle, manifest: Manifest) -> None:
    table = predict(bundle, manifest, "val")
    with pytest.raises(DataError, match="same rows"):
        board([Measured("a", bundle.card, table), Measured("b", bundle.card, table.head(50))], draws=0)


def test_frames_are_thinned_evenly(manifest: Manifest) -> None:
    for frames, kept in ((1, [0]), (2, [0, 2]), (3, [0, 2, 3]), (4, [0, 1, 2, 3]), (32, [0, 1, 2, 3])):
        table = thin(manifest, frames).table
        assert table.filter(pl.col("clip").is_null()).height == 60
        for clip in range(4):
            times = table.filter(pl.col("clip") == f"{clip}.mp4")["time_s"].to_list()
            assert len(times) == len(kept)
            assert times[0] == 0


def test_stored_predictions_come_back(bundle: Bundle, manifest: Manifest, tmp_path: Path) -> None:
    table = predict(bundle, manifest, "val")
    measured = [Measured(name, bundle.card, table, {"kind": "bundle"}) for name in ("a", "b")]
    write_predictions(tmp_path / "p.parquet", measured, manifest.roots)
    again, roots = read_predictions(tmp_path / "p.parquet")
    assert roots == manifest.roots
    assert [one.name for one in again] == ["a", "b"]
    assert all(one.predictions.equals(table) and one.card == bundle.card for one in again)
    stored = pl.read_parquet(tmp_path / "p.parquet")
    assert stored.group_by("detector", "unit").len().sort("detector", "unit")["len"].to_list() == [4, 16, 60] * 2
    clip = stored.filter(pl.col("unit") == "clip").row(0, named=True)
    assert clip["clip"] == clip["path"] == "0.mp4"
    assert clip["verdict"] in ("likely_real", "inconclusive", "likely_fake")
    table.write_parquet(tmp_path / "other.parquet")
    for name in ("other.parquet", "missing.parquet"):
        with pytest.raises(DataError, match="not a file of predictions"):
            read_predictions(tmp_path / name)


def test_a_full_disk_leaves_the_older_predictions(bundle: Bundle, manifest: Manifest, tmp_path: Path) -> None:
    measured = [Measured("a", bundle.card, predict(bundle, manifest, "val"), {"kind": "bundle"})]
    file = tmp_path / "out" / "p.parquet"
    write_predictions(file, measured, manifest.roots)
    before = file.read_bytes()
    with small_files(len(before) // 2), pytest.raises(OSError, match="large") as caught:
        write_predictions(file, measured, manifest.roots)
    assert caught.value.filename == str(file)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_costs_are_those_counted_by_hand(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = {
        "conv": rng.normal(size=(8, 3, 3, 3)),
        "depth": rng.normal(size=(8, 1, 5, 5)),
        "dense": rng.normal(size=(4, 8)),
        "matrix": rng.normal(size=(4, 6)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "conv"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["a", "depth"], ["b"], group=8, pads=[2, 2, 2, 2]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("Gemm", ["d", "dense"], ["e"], transB=1),
        helper.make_node("MatMul", ["e", "matrix"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "counted",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 6])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "m.onnx")
    macs = 8 * 8 * 8 * 3 * 9 + 8 * 8 * 8 * 25 + 4 * 8 + 6 * 4
    assert graph_cost(tmp_path / "m.onnx") == {"parameters": 8 * 27 + 8 * 25 + 32 + 24, "macs": macs}


def test_timing_takes_turns() -> None:
    order: list[str] = []

    def timer(name: str, value: float):
        def run(number: int) -> float:
            order.append(f"{name}{number}")
            return value + number

        return run

    times = take_turns({"a": timer("a", 1.0), "b": timer("b", 10.0), "c": timer("c", float("nan"))}, 3, warmup=1)
    assert order == [f"{name}{number}" for number in range(4) for name in "abc"]
    assert times["a"]["ms"] == 3.0
    assert times["b"]["ms"] == 12.0
    assert "c" not in times


def test_worst_errors_one_a_group_half_of_each_class() -> None:
    rows = [(f"f{i}", "x" if i < 3 else f"g{i}", 1, 0.01 * i) for i in range(20)]
    rows += [(f"r{i}", f"h{i}", 0, 0.9 - 0.01 * i) for i in range(5)] + [("right", "k", 0, 0.2)]
    table = pl.DataFrame(rows, schema=["path", "group", "label", "p_fake"], orient="row")
    chosen = sheet.worst(table, 12)
    assert chosen["path"].to_list() == ["f0", "f3", "f4", "f5", "f6", "f7", "f8", "r0", "r1", "r2", "r3", "r4"]


def test_names_stay_apart() -> None:
    assert session.unique_names([("a 1", "x"), ("b 1", "y")]) == ["a 1", "b 1"]
    assert session.unique_names([("a 1", "x"), ("a 1", "y")]) == ["a 1 (x)", "a 1 (y)"]
    assert session.unique_names([("a 1", "x"), ("a 1", "x")]) == ["a 1 (x) #1", "a 1 (x) #2"]


def test_protocols_that_differ_are_told_apart(bundle: Bundle, manifest: Manifest) -> None:
    figures = board([Measured("one", bundle.card, predict(bundle, manifest, "val"))], draws=0)
    protocol = figures["detectors"][0]["protocol"]
    other = protocol | {"input": "the whole picture"}
    words = shared_words([("one", protocol), ("other", other)])
    assert "one: crop 32 px, margin 1.3." in words
    assert "other: the whole picture." in words
    assert words.count("compression") == 1


def test_a_whole_evaluation(bundle_file: Path, manifest: Manifest, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    pack(make_graph().SerializeToString(), make_card().model_copy(update={"name": "<b>other</b>"}), other)
    theirs = tmp_path / "theirs.py"
    theirs.write_text(
        "from PIL import Image\n"
        "def predict(path):\n"
        "    if path.endswith('04.png'): raise ValueError('no')\n"
        "    return Image.open(path).convert('RGB').resize((1, 1)).getpixel((0, 0))[0] / 255\n"
    )
    bundles = [(file, load_bundle(file, device="cpu", threads=1)) for file in (bundle_file, other)]
    task = session.Task(manifest, "val", bundles, [ForeignDetector(f"{theirs}:predict")], frames=2, rounds=3)
    told: list[str] = []

    def progress(words: str):
        told.append(words)
        return lambda done, total: None  # noqa: ARG005

    measured = session.run(task, progress)
    assert len(told) == 3
    figures = session.figures_of(measured, draws=30, seed=0)
    out = tmp_path / "out"
    files = session.write(out, measured, figures, manifest.roots)
    assert all(file.is_file() for file in files)
    stored = json.loads((out / "metrics.json").read_text())
    first, second, third = stored["detectors"]
    assert first["protocol"]["frames_a_clip"] == [2, 2]
    assert first["file"]["pooled"] == second["file"]["pooled"]
    assert third["file"]["pooled"]["auc"]["value"] > 0.9
    assert third["protocol"]["unreadable"] == 1
    assert {row["name"] for row in stored["differences"]["face"]} == {second["name"], third["name"]}
    assert stored["differences"]["face"][0]["auc"]["value"] == 0
    assert first["facts"]["bytes"] == bundle_file.stat().st_size
    assert first["facts"]["macs"] == 0
    assert all(one["facts"]["ms"] > 0 for one in stored["detectors"])
    with Image.open(out / "errors" / "tiny-1.png") as picture:
        assert picture.width > 3 * sheet.TILE

    page = (out / "report.html").read_text()
    assert "<b>other</b>" not in page
    assert "&lt;b&gt;other&lt;/b&gt;" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)  # nothing is fetched
    assert f"{first['file']['pooled']['auc']['value']:.3f}" in page
    assert page.count('class="protocol"') >= page.count("<table")
    for words in ("true positives", "false negatives", "true negatives", "false positives", "AUC of files against"):
        assert words in page

    again, roots = read_predictions(out / "predictions.parquet")
    repeated = session.figures_of(again, draws=30, seed=0)
    assert json.loads(json.dumps(repeated)) == stored
    with pytest.raises(UsageError, match="exists already"):
        session.check_free(out)
    # Without the pictures everything but the contact sheets is there.
    gone = session.write(tmp_path / "gone", again, repeated, dict.fromkeys(roots, tmp_path / "no"), predictions=False)
    assert not (tmp_path / "gone" / "predictions.parquet").exists()
    assert gone[0].is_file()
