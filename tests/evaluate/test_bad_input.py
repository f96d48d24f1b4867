"""What cannot be measured, fitted or trained on is told in a sentence, with what to do, and nothing is left behind."""

# ruff: noqa: E402 - the packages of an extra are looked for before what needs them is imported

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pl = pytest.importorskip("polars")
pytest.importorskip("matplotlib")
pytest.importorskip("yaml")

from unmask.cli import main
from unmask.data.manifest import Manifest

VERBS = {
    "evaluate": ["tiny.onnx", "--split", "val", "--out", "out"],
    "calibrate": ["tiny.onnx", "--split", "val", "--out", "out"],
    "sample": ["tiny.onnx", "--split", "val", "--out", "out.png"],
    "train": ["default", "--out", "out"],
}

Spoil = Callable[["pl.DataFrame"], "pl.DataFrame"]


def both_splits(manifest: Manifest) -> pl.DataFrame:
    """The pictures as training and as validation rows, so that ``train`` finds both."""
    number = pl.int_range(pl.len()) % 4
    split = pl.when(pl.col("clip").is_null() & (number < 2)).then(pl.lit("train")).otherwise(pl.lit("val"))
    return manifest.table.with_columns(split.alias("split"))


def first(name: str, value: object) -> Spoil:
    """Another value in the first validation row."""

    def spoil(table: pl.DataFrame) -> pl.DataFrame:
        place = table["split"].to_list().index("val")
        here = pl.int_range(pl.len()) == place
        return table.with_columns(pl.when(here).then(pl.lit(value)).otherwise(pl.col(name)).alias(name))

    return spoil


def torn(table: pl.DataFrame) -> pl.DataFrame:
    """One training row's group, given to a validation row as well."""
    group = table.filter(pl.col("split") == "train")["group"][0]
    return first("group", group)(table)


def labelled(table: pl.DataFrame) -> pl.DataFrame:
    """Label names instead of numbers."""
    return table.with_columns(
        pl.when(pl.col("label") == 1).then(pl.lit("fake")).otherwise(pl.lit("real")).alias("label")
    )


CASES: dict[str, tuple[Spoil, str, str]] = {
    "no column": (
        lambda t: t.drop("group", "source"),
        "column missing: group, source",
        "A manifest needs root",
    ),
    "a file that is gone": (first("path", "stills/gone.png"), "gone.png", "--root NAME=DIR"),
    "a path upwards": (first("path", "../secret.png"), "a path that leaves its root", "stay below it"),
    "an absolute path": (first("path", "/etc/passwd"), "a path that leaves its root", "stay below it"),
    "a torn group": (torn, "group(s) on two sides of a split", "must share one split"),
    "one class": (
        lambda t: t.filter((pl.col("split") != "val") | (pl.col("label") == 0)),
        "one class only: all rows are real",
        "fake pictures too",
    ),
    "no rows": (lambda t: t.filter(pl.col("split") != "val"), "the split 'val' has no rows", "unmask data show"),
    "label names": (labelled, "a column does not hold what it should", "label is 0 or 1"),
    "a third label": (first("label", 2), "unknown label", "0 means real, 1 means fake"),
    "another split": (first("split", "dev"), "unknown split", "Use train, val, test"),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("case", CASES)
def test_manifests(
    manifest: Manifest,
    bundle_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verb: str,
    case: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert bundle_file.name == "tiny.onnx"
    spoil, words, hint = CASES[case]
    if verb == "sample" and case == "one class":
        pytest.skip("pictures of one class can be looked at")
    table = spoil(both_splits(manifest)).drop("landmarks")
    (tmp_path / "m.csv").write_text(f"#unmask {json.dumps({'roots': {'src': 'src'}})}\n{table.write_csv()}")
    before = sorted(tmp_path.rglob("*"))
    code = main([verb, *VERBS[verb], "--data", "m.csv"])
    told = capsys.readouterr()
    assert code == 1, told.err
    assert words in told.err
    assert hint in told.err
    assert "fault of unmask" not in told.err
    assert told.out == ""
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written"


@pytest.mark.parametrize("verb", ["evaluate", "calibrate", "sample"])
def test_a_split_of_another_name(
    manifest: Manifest,
    bundle_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verb: str,
) -> None:
    monkeypatch.chdir(bundle_file.parent)
    manifest.write(tmp_path / "m.parquet")
    arguments = [word.replace("val", "tset") for word in VERBS[verb]]
    assert main([verb, *arguments, "--data", "m.parquet"]) == 2
    assert "there is no split 'tset'. Use train, val, test" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "not a manifest\n", "#unmask {\n"])
def test_a_file_that_is_no_manifest(
    bundle_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    file = tmp_path / "m.csv"
    file.write_text(text)
    out = tmp_path / "out"
    assert main(["evaluate", str(bundle_file), "--data", str(file), "--out", str(out)]) == 1
    told = capsys.readouterr().err
    assert str(file) in told
    assert "fault of unmask" not in told
    assert not out.exists()


def test_one_class_is_measured_when_that_is_asked_for(
    manifest: Manifest, bundle_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reals = manifest.select("val", where=pl.col("label") == 0)
    reals.write(tmp_path / "m.parquet")
    call = ["evaluate", str(bundle_file), "--data", str(tmp_path / "m.parquet"), "--split", "val", "--rounds", "1"]
    assert main([*call, "--draws", "20", "--out", str(tmp_path / "refused")]) == 1
    assert "--one-class" in capsys.readouterr().err
    assert main([*call, "--draws", "20", "--out", str(tmp_path / "out"), "--one-class"]) == 0
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())["detectors"][0]["file"]["pooled"]
    assert figures["fake"] == 0
    assert figures["auc"]["value"] is None
    assert figures["false_positives"]["value"] is not None
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_what_breaks_off_while_it_writes_leaves_nothing(
    manifest: Manifest, bundle_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unmask.evaluate import session

    manifest.write(tmp_path / "m.parquet")

    def fails(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "page", fails)
    call = ["evaluate", str(bundle_file), "--data", str(tmp_path / "m.parquet"), "--split", "val", "--rounds", "0"]
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "mine.txt").write_text("mine")
    for name, left in (("new", None), ("kept", ["mine.txt"])):
        assert main([*call, "--draws", "10", "--out", str(tmp_path / name), "-q"]) == 130
        out = tmp_path / name
        assert (sorted(entry.name for entry in out.iterdir()) if out.exists() else None) == left
