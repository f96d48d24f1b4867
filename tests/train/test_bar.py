"""The progress bar of a run: in a terminal only, and never on stdout."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("lightning", reason="needs the extra [train]")

from cli_support import environment
from unmask.data.manifest import Manifest

pytestmark = [pytest.mark.train, pytest.mark.slow]

RECIPE = """name: tiny
crop: {size: 32}
network: {weights: none, cnn: {widths: [4, 8], batch_norm: true}, head: {}}
export: fp32
schedule: {samples: 768, batch: 8, epoch_samples: 384, warmup: 0.0, ema: 0.5, lr: 0.01}
"""


def seen(data: Manifest, place: Path, *more: str) -> tuple[str, str]:
    """What a user sees in a terminal, and what goes to a file from stdout."""
    (place / "tiny.yaml").write_text(RECIPE)
    command = [sys.executable, "-m", "unmask", "train", "tiny.yaml", "--workers", "0", "--no-test", *more]
    command += ["--data", str(data.roots["src"] / "manifest.parquet"), "--out", "run"]
    ours, theirs = pty.openpty()
    shown = bytearray()
    with (place / "out.txt").open("w") as out:
        size = environment(COLUMNS="150", TERM="xterm")
        with subprocess.Popen(command, cwd=place, stdout=out, stderr=theirs, stdin=theirs, env=size) as run:
            os.close(theirs)
            # The other end closes when the process ends, which Linux tells as an error.
            try:
                while part := os.read(ours, 65536):
                    shown += part
            except OSError:
                pass
            os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode(errors="replace"))
    assert run.returncode == 0, text
    return text, (place / "out.txt").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals")
def test_it_shows_the_loss_and_leaves_stdout_alone(data: Manifest, tmp_path: Path) -> None:
    text, out = seen(data, tmp_path)
    assert re.search(r"epoch \d\.\d\d .*loss 0\.\d{3}, \d+ pictures/s", text)
    assert "validating" in text
    assert "unmask: epoch 8.00, 384 samples" in text, "what is said appears too"
    assert out == "run/bundle.onnx\n"


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals")
def test_quiet_is_quiet(data: Manifest, tmp_path: Path) -> None:
    text, out = seen(data, tmp_path, "-q")
    assert text.strip() == ""
    assert out == "run/bundle.onnx\n"
