"""What follows a run: its test, its summary, the figures of several seeds. No torch is needed for it."""
# ruff: noqa: E402 - the packages of an extra are looked for before what needs them is imported

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pl = pytest.importorskip("polars")
pytest.importorskip("matplotlib")

from support import make_card, make_graph
from unmask.base.errors import DataError, TrainingError
from unmask.model import pack
from unmask.train import after, seeds

if TYPE_CHECKING:
    from unmask.data.manifest import Manifest

METRICS = """step,epoch,samples,seconds,train_loss,train_accuracy,val_loss,val_accuracy,improved,score,pooled
3,1,24,1,0.6,0.7,0.61,0.69,1,0.5,0.75
6,2,48,2,0.5,0.8,0.52,0.78,1,0.6,0.85
"""


def begin(*_: Any) -> Any:
    """A bar that nobody looks at."""
    return lambda done, total: None  # noqa: ARG005


def make_bundle(out: Path, name: str = "tiny") -> None:
    pack(make_graph().SerializeToString(), make_card().model_copy(update={"name": name}), out / "bundle.onnx")


@pytest.fixture
def tested(data: Manifest) -> Manifest:
    """The validation rows as test rows."""
    from unmask.data.manifest import Manifest

    return Manifest(data.table.with_columns(split=pl.col("split").replace("val", "test")), data.roots)


def test_the_test_is_made_once_for_each_bundle(tested: Manifest, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(METRICS)
    make_bundle(tmp_path)
    before = after.describe(tmp_path)
    assert before["test"] is None
    assert before["best"]["epoch"] == 2
    assert before["gap"]["verdict"] == "fine"
    assert (tmp_path / "curves.png").stat().st_size > 5000

    figures = after.measure(tmp_path, tested, begin, draws=10)
    assert figures["detectors"][0]["file"]["pooled"]["fake"] == 12
    summary = after.describe(tmp_path)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert summary["test"]["accuracy"] == figures["detectors"][0]["file"]["pooled"]["accuracy"]
    stamp = (tmp_path / "test" / "metrics.json").stat().st_mtime_ns
    assert after.measure(tmp_path, tested, begin, draws=10) == json.loads(
        (tmp_path / "test" / "metrics.json").read_text()
    )
    assert (tmp_path / "test" / "metrics.json").stat().st_mtime_ns == stamp, "not measured again"

    make_bundle(tmp_path, "other")
    said: list[str] = []
    again = after.measure(tmp_path, tested, begin, draws=10, say=said.append)
    kept = tmp_path / f"test-{summary['bundle']['sha256'][:8]}"
    assert (kept / "metrics.json").stat().st_mtime_ns == stamp, "the figures of the bundle before are kept"
    assert str(kept) in said[0]
    assert again["detectors"][0]["name"].startswith("other")


def test_why_there_is_no_test(data: Manifest, tested: Manifest, tmp_path: Path) -> None:
    from unmask.data.manifest import Manifest

    assert after.can_test(tested) == ""
    assert after.can_test(data).startswith("no test rows")
    reals = Manifest(tested.table.filter(pl.col("label") == 0), tested.roots)
    assert "one class only" in after.can_test(reals)
    with pytest.raises(DataError, match="of 24 files of the split 'test' 24 are missing"):
        after.can_test(Manifest(tested.table, {"src": tmp_path}))


def write_summary(folder: Path, auc: float, loss: float | None, **more: Any) -> None:
    folder.mkdir(parents=True)
    figure = {"value": auc, "low": auc - 0.1, "high": auc + 0.1}
    summary = {"bundle": {"sha256": "0"}, "test": {"auc": figure}, "best": {"auc": 0.5, "val_loss": loss}} | more
    (folder / "summary.json").write_text(json.dumps(summary))


def test_mean_and_deviation_of_seeds(tmp_path: Path) -> None:
    for seed, auc in ((1, 0.8), (2, 0.9), (3, 0.85)):
        write_summary(seeds.folder_of(tmp_path, seed), auc, None if seed == 2 else 0.4)
    result = seeds.gather(tmp_path, [1, 2, 3])
    assert json.loads((tmp_path / "seeds.json").read_text()) == result
    auc = result["figures"]["auc"]
    assert auc["mean"] == pytest.approx(0.85)
    assert auc["deviation"] == pytest.approx(statistics.stdev([0.8, 0.9, 0.85]))
    assert auc["values"] == [0.8, 0.9, 0.85]
    assert result["figures"]["val_auc"]["deviation"] == 0
    assert "val_loss" not in result["figures"], "one of the runs has none"


def test_a_seed_is_done_when_it_has_what_was_asked_for(tmp_path: Path) -> None:
    write_summary(tmp_path / "a", 0.8, 0.4)
    write_summary(tmp_path / "b", 0.8, 0.4, test=None)
    write_summary(tmp_path / "c", 0.8, 0.4, bundle=None)
    (tmp_path / "d").mkdir()
    assert [seeds.is_done(tmp_path / name, tested=True) for name in "abcd"] == [True, False, False, False]
    assert [seeds.is_done(tmp_path / name, tested=False) for name in "abcd"] == [True, True, False, False]


def test_folders_with_other_runs_are_refused(tmp_path: Path) -> None:
    seeds.refuse_other_runs(tmp_path, [1, 2], resume=False)
    (tmp_path / "seed-2").mkdir()
    (tmp_path / "seed-2" / "recipe.yaml").write_text("")
    with pytest.raises(DataError, match="holds runs already, as seed-2"):
        seeds.refuse_other_runs(tmp_path, [1, 2], resume=False)
    seeds.refuse_other_runs(tmp_path, [1, 2], resume=True)
    (tmp_path / "recipe.yaml").write_text("")
    with pytest.raises(DataError, match="holds a run of one seed"):
        seeds.refuse_other_runs(tmp_path, [1, 2], resume=True)


def test_only_what_makes_other_runs_is_another_command(tmp_path: Path) -> None:
    command = ["train", "own", "--data", "m.parquet", "--set", "schedule.lr=1e-4", "--workers", "1", "--draws", "1000"]
    seeds._same_command(tmp_path, command, resume=False)
    seeds._same_command(tmp_path, [*command[:6], "--draws", "0", "--workers", "4", "--quiet", "--debug"], resume=True)
    seeds._same_command(tmp_path, command, resume=True)
    for other in (["train", "default", *command[2:]], [*command, "--set", "schedule.batch=8"], command[:4]):
        with pytest.raises(DataError, match="another recipe, other data or other options"):
            seeds._same_command(tmp_path, other, resume=True)


@pytest.mark.parametrize("content", [b'["train", ', b"\xff\xfe", b"{}", b"[1]"])
def test_a_damaged_note_of_the_command_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "command.json").write_bytes(content)
    with pytest.raises(DataError, match=r"command\.json: is damaged"):
        seeds._same_command(tmp_path, ["train", "own"], resume=True)


def test_a_seed_that_fails_ends_all_and_one_that_is_done_is_left_alone(tmp_path: Path) -> None:
    write_summary(seeds.folder_of(tmp_path, 1), 0.8, 0.4)
    said: list[str] = []
    command = ["train", "no-such-recipe", "--data", "m.parquet"]
    with pytest.raises(TrainingError, match="the run with seed 2 ended with code 2"):
        seeds.run_all(tmp_path, [1, 2, 3], command, resume=True, tested=True, say=said.append)
    assert said[0] == "seed 1 (1 of 3) is done"
    assert [line.split()[1] for line in said] == ["1", "2"], "the third is not begun"


@pytest.mark.skipif(sys.platform == "win32", reason="has no process groups")
def test_an_interrupt_is_handed_on_once_and_waited_for(tmp_path: Path) -> None:
    note = tmp_path / "ready"
    program = f"""
import pathlib, signal, sys, time
count = 0
def stop(*_):
    global count
    count += 1
signal.signal(signal.SIGINT, stop)
pathlib.Path({str(note)!r}).write_text("")
while not count:
    time.sleep(0.05)
time.sleep(1)  # what a run takes to keep its checkpoint
sys.exit(7 if count == 1 else 0)
"""

    def press() -> None:
        while not note.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    threading.Thread(target=press).start()
    assert seeds._wait([sys.executable, "-c", program]) == 130
    assert signal.getsignal(signal.SIGINT) is before
