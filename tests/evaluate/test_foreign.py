"""Somebody else's detector: what it does wrong is counted, never scored, and never takes the others down."""
# ruff: noqa: E402 - the packages of an extra are looked for before what needs them is imported

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

pl = pytest.importorskip("polars")

from unmask.base.errors import DataError, UsageError
from unmask.data.manifest import Manifest
from unmask.evaluate.foreign import ForeignDetector, foreign_card, predict_foreign
from unmask.evaluate.measure import summarize
from unmask.evaluate.predict import SCHEMA

WAYWARD = """
import os, sys, time
import metrics  # a module of its own, of the same name as one of unmask's
print("noise on stdout")
def predict(path):
    print("more noise", flush=True)
    name = os.path.basename(path)
    answers = {
        "00.png": 0.25, "01.png": None, "02.png": 1.5, "03.png": float("nan"), "04.png": "0.5", "05.png": True,
        "06.png": [1, 2], "12.png": 1, "13.png": 0.0,
    }
    if name == "07.png": raise ValueError("not today")
    if name == "08.png": os._exit(3)
    if name == "09.png": time.sleep(60)
    if name == "10.png": return sys.stdin.read() or 0.125
    if name == "11.png": sys.exit("gone")
    return answers.get(name, metrics.HALF)
"""


@pytest.fixture
def wayward(tmp_path: Path) -> str:
    (tmp_path / "metrics.py").write_text("HALF = 0.5\n")
    file = tmp_path / "theirs.py"
    file.write_text(WAYWARD)
    return f"{file}:predict"


def test_every_misdeed_is_an_error_row(wayward: str, manifest: Manifest, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    with ForeignDetector(wayward, timeout=2, log=log) as detector:
        card = foreign_card(detector)
        table = predict_foreign(detector, manifest, "val", card)
    assert table.schema == pl.Schema(SCHEMA)
    rows = {Path(row["path"]).name: row for row in table.head(60).iter_rows(named=True)}
    scored = {name: rows[name]["p_fake"] for name in ("00.png", "10.png", "12.png", "13.png", "14.png")}
    assert scored == {"00.png": 0.25, "10.png": 0.125, "12.png": 1.0, "13.png": 0.0, "14.png": 0.5}
    assert [rows[f"{n:02}.png"]["verdict"] for n in (0, 1, 12, 13)] == [
        "likely_real",
        "no_face",
        "likely_fake",
        "likely_real",
    ]
    for number, words in {
        2: "1.5",
        3: "nan",
        4: "not a number",
        5: "True",
        6: "TypeError",
        7: "not today",
        8: "code 3",
        9: "no answer within 2 s",
        11: "process ended",
    }.items():
        row = rows[f"{number:02}.png"]
        assert row["verdict"] == row["picture_verdict"] == "error"
        assert row["logit"] is row["p_fake"] is None
        assert words in row["error"]
    assert table["p_fake"].count() == 76 - 10
    assert "more noise" in log.read_text()
    summary = summarize(table, card, draws=20)
    assert summary["protocol"]["unreadable"] == 9
    counts = summary["face"]["confusion"]
    assert counts["verdicts"]["fake"]["error"] + counts["verdicts"]["real"]["error"] == 9


def test_its_process_is_gone_afterwards(wayward: str) -> None:
    with ForeignDetector(wayward) as detector:
        process = detector._process
        assert process is not None
        os.kill(process.pid, 0)
    assert process.poll() is not None


def test_one_that_dies_again_and_again_is_given_up(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "dead.py").write_text(
        "import os\ndef predict(path):\n    if '/00' in path: return 0.5\n    os._exit(1)\n"
    )
    started = time.monotonic()
    with ForeignDetector(f"{tmp_path / 'dead.py'}:predict") as detector:
        table = predict_foreign(detector, manifest, "val", foreign_card(detector))
    assert time.monotonic() - started < 60
    assert table["error"].drop_nulls().str.contains("not asked").sum() == 76 - 1 - 10


@pytest.mark.parametrize(
    ("text", "words"),
    [("import nothing_of_this_name", "nothing_of_this_name"), ("x = 1", "predict"), ("predict = 3", "not a function")],
)
def test_one_that_cannot_be_loaded_is_told_at_once(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(DataError, match=words), ForeignDetector(f"{tmp_path / 'bad.py'}:predict"):
        pass


def test_one_that_never_scores_is_an_error(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "mute.py").write_text("def predict(path): raise OSError('no weights')")
    with (
        ForeignDetector(f"{tmp_path / 'mute.py'}:predict") as detector,
        pytest.raises(DataError, match="none of the 76 calls gave a score, first: OSError: no weights"),
    ):
        predict_foreign(detector, manifest, "val", foreign_card(detector))


@pytest.mark.parametrize("spec", ["theirs.py", "theirs.py:", "theirs:predict", "theirs.py:a b", "missing.py:predict"])
def test_wrong_names(spec: str) -> None:
    with pytest.raises(UsageError):
        ForeignDetector(spec)


def test_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "fine.py").write_text("def predict(path): return 0.5")
    spec = f"{tmp_path / 'fine.py'}:predict"
    with pytest.raises(DataError, match="cannot be loaded"), ForeignDetector(spec, python=tmp_path / "python"):
        pass
