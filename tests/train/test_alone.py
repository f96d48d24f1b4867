"""One run at a time in a run folder, and nobody kept out by one that is dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("lightning", reason="needs the extra [train]")

from cli_support import environment
from unmask.base.errors import DataError
from unmask.cli import main
from unmask.train.alone import alone

if TYPE_CHECKING:
    from unmask.data.manifest import Manifest
    from unmask.train.recipe import Recipe

pytestmark = pytest.mark.train

if sys.platform == "win32":
    pytest.skip("signals and fork", allow_module_level=True)

HOLDER = """
import os, sys, time
from pathlib import Path
from unmask.train.alone import alone
with alone(Path(sys.argv[1])):
    child = os.fork()  # as the processes that make the samples
    if child:
        print(child, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds ``run``, and a child of it."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        yield process
        process.kill()
        os.kill(child, signal.SIGKILL)


def test_a_second_one_is_refused_until_the_first_is_dead(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match=r"run: is in use: another process trains into it\. Wait"),
        alone(tmp_path / "run"),
    ):
        raise AssertionError
    with alone(tmp_path / "other"):
        pass
    holder.kill()
    holder.wait()
    # The child may not have come so far as to let go of what it was born with.
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(DataError), alone(tmp_path / "run"):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("held by a dead process")


@pytest.mark.usefixtures("holder")
def test_the_command_and_the_run_are_refused(
    data: Manifest, recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from unmask.train import run as running

    (tmp_path / "r.yaml").write_text("name: x\ncrop: {size: 32}\nnetwork: {weights: none, cnn: {}, head: {}}\n")
    manifest = str(data.roots["src"] / "manifest.parquet")
    for more in ([], ["--resume"], ["--seeds", "2"]):
        call = ["train", str(tmp_path / "r.yaml"), "--data", manifest, "--out", str(tmp_path / "run"), *more]
        assert main(call) == 1
        assert "run: is in use" in capsys.readouterr().err
    with pytest.raises(DataError, match="is in use"):
        running.train(recipe, data, tmp_path / "run", say=str)
    assert [file.name for file in (tmp_path / "run").iterdir()] == [".lock"]


def test_it_may_be_nested_and_leaves_nothing_of_nothing(tmp_path: Path) -> None:
    with alone(tmp_path / "run"):
        with alone(tmp_path / "run"):
            pass
        assert (tmp_path / "run").is_dir()
    assert not (tmp_path / "run").exists()
    with alone(tmp_path / "run"):
        (tmp_path / "run" / "recipe.yaml").touch()
    assert (tmp_path / "run").is_dir()
    with pytest.raises(ZeroDivisionError), alone(tmp_path / "failed"):
        _ = 1 / 0
    assert not (tmp_path / "failed").exists()
