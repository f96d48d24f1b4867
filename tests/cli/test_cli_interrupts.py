"""Ctrl-C, SIGTERM, a reader that goes away, a terminal."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cli_support import environment
from unmask.report import Report

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


def start(*arguments: object, cwd: Path, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "unmask", *map(str, arguments)]
    settings = {"cwd": cwd, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment()}
    return subprocess.Popen(command, **(settings | options))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_signal_keeps_what_is_done(portrait, long_clip, tmp_path, number, jobs):
    options = ["--fps", "25", "--json", "-o", "out.jsonl", "--html", "r.html", "--annotate", "marked", "--jobs", jobs]
    process = start("analyze", portrait, long_clip, *options, cwd=tmp_path)
    line = process.stdout.readline()
    assert Report.model_validate_json(line).path == str(portrait)
    # Now the long clip is under way; it takes far longer than this test waits.
    time.sleep(0.7)
    began = time.monotonic()
    process.send_signal(number)
    rest, messages = process.communicate(timeout=30)
    assert process.returncode == 130, messages
    assert time.monotonic() - began < 10
    assert rest == ""
    assert "interrupted after 1 input" in messages
    assert "Traceback" not in messages
    assert (tmp_path / "out.jsonl").read_text() == line
    page = (tmp_path / "r.html").read_text()
    assert page.rstrip().endswith("</html>")
    assert portrait.name in page
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left <= {"out.jsonl", "r.html", "astronaut.jpg.png"}, "no half-written file"


def test_a_signal_while_a_clip_is_drawn(long_clip, tmp_path):
    process = start("analyze", long_clip, "--fps", "1", "--json", "--annotate", "marked", cwd=tmp_path)
    assert Report.model_validate_json(process.stdout.readline()).tracks
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=30)
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    assert not [path for path in (tmp_path / "marked").rglob("*") if path.is_file()]


def test_a_reader_that_goes_away_ends_it_quietly(portrait, tmp_path):
    process = start("analyze", *[portrait] * 50, "--json", "-o", "out.jsonl", cwd=tmp_path)
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(30) == 1
    assert 1 <= len((tmp_path / "out.jsonl").read_text().splitlines()) < 50


def read_terminal(
    master: int, process: subprocess.Popen[str], until: Callable[[str], bool] | None = None, limit_s: float = 90
) -> str:
    """What is shown until the process ends or ``until`` is content."""
    shown = b""
    end = time.monotonic() + limit_s
    while time.monotonic() < end and not (until and until(shown.decode(errors="replace"))):
        if select.select([master], [], [], 0.1)[0]:
            try:
                shown += os.read(master, 65536)
            except OSError:
                break
        elif process.poll() is not None:
            break
    return shown.decode(errors="replace")


def percentages(shown: str) -> set[str]:
    return {part.split()[-1] for part in shown.split("%")[:-1] if part.split()}


def test_a_terminal_shows_a_bar_that_moves_within_a_clip(long_clip, tmp_path):
    import pty

    master, slave = pty.openpty()
    env = environment(TERM="xterm-256color", COLUMNS="100", LINES="30")
    process = start("analyze", long_clip, "--json", "--fps", "1", cwd=tmp_path, stdin=slave, stderr=slave, env=env)
    os.close(slave)
    shown = read_terminal(master, process, until=lambda text: len(percentages(text)) >= 3)
    process.send_signal(signal.SIGINT)
    results, _ = process.communicate(timeout=30)
    assert len(percentages(shown)) >= 3, f"the bar stands still: {shown[-500:]}"
    assert "long.mp4" in shown
    assert results == "", "stdout holds results and nothing else"


_BAR = """
from unmask.cli.progress import Bar
from time import sleep
with Bar("finding [faces]") as bar:
    for done in range(1, 5):
        bar.advance(done, 4)
        sleep(0.15)
    bar.begin("drawing")(1, 2)
    sleep(0.3)
print("result")
"""


def test_a_bar_that_counts_is_for_terminals():
    import pty

    piped = subprocess.run([sys.executable, "-c", _BAR], capture_output=True, text=True, check=True, env=environment())
    assert (piped.stdout, piped.stderr) == ("result\n", "")
    master, slave = pty.openpty()
    env = environment(TERM="xterm-256color", COLUMNS="100", LINES="30")
    process = subprocess.Popen([sys.executable, "-c", _BAR], stderr=slave, stdout=subprocess.PIPE, text=True, env=env)
    os.close(slave)
    shown = read_terminal(master, process)
    assert process.communicate(timeout=30)[0] == "result\n"
    assert all(words in shown for words in ("finding [faces]", "4/4", "drawing", "1/2")), shown


def test_a_terminal_shows_a_table(portrait, faceless, tmp_path):
    import pty

    master, slave = pty.openpty()
    env = environment(TERM="xterm-256color", COLUMNS="100", LINES="30")
    everything = {"stdin": slave, "stdout": slave, "stderr": slave, "env": env}
    process = start("analyze", portrait, faceless, cwd=tmp_path, **everything)
    os.close(slave)
    shown = read_terminal(master, process)
    assert process.wait(10) == 0
    assert "no face" in shown
    assert "astronaut.jpg" in shown
    assert "2 files" in shown
    assert "━" in shown or "─" in shown, "there is a bar"


def test_no_progress_when_quiet(portrait, tmp_path):
    import pty

    master, slave = pty.openpty()
    everything = {"stdin": slave, "stdout": slave, "stderr": slave, "env": environment(TERM="xterm-256color")}
    process = start("analyze", portrait, "--quiet", cwd=tmp_path, **everything)
    os.close(slave)
    assert read_terminal(master, process) == ""
    assert process.wait(10) == 0
