"""Somebody else's detector beside the bundles: a function from a path to p_fake, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import polars as pl

from unmask.base.errors import DataError, UsageError
from unmask.data.manifest import BOX, Manifest
from unmask.evaluate.predict import SCHEMA
from unmask.model import Card, decide

LOAD_S = 600.0
"""So long may importing a detector take: networks are loaded, caches are filled."""

MAX_DEATHS = 10
"""After so many crashes and timeouts the rest is not asked any more; every row that is left is an error."""

_WORKER = Path(__file__).with_name("worker.py")
_EDGE = 1e-9


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one call.

    Attributes:
        p: In [0, 1], or None where the detector found no face or failed.
        error: What went wrong, or None.
        seconds: That the function took, where it ended.
    """

    p: float | None
    error: str | None = None
    seconds: float | None = None


class ForeignDetector:
    """A function ``path -> p_fake`` of a Python file, behind pipes. Use it in a ``with`` block.

    Args:
        spec: ``FILE.py:FUNCTION``. The function takes the path of a picture as text and gives a number in [0, 1],
            1 = fake, or None where it finds no face.
        python: Interpreter that has what the detector needs; default: this one.
        timeout: Seconds a call may take; then the process is ended and started anew.
        log: What the detector prints; default: nowhere.

    Raises:
        UsageError: ``spec`` or ``python`` is not what it should be.
        DataError: On entering the block: the file cannot be loaded.
    """

    def __init__(
        self, spec: str, *, python: str | Path | None = None, timeout: float = 60.0, log: Path | None = None
    ) -> None:
        file, _, function = spec.rpartition(":")
        if not (file.endswith(".py") and function.isidentifier()):
            raise UsageError(f"{spec!r} is not FILE.py:FUNCTION", hint="For example: --detector mine.py:predict")
        self.file, self.function = Path(file).resolve(), function
        if not self.file.is_file():
            raise UsageError("there is no such file", hint="Check --detector", path=file)
        self.name = f"{self.file.stem}:{function}"
        self.python = str(python or sys.executable)
        self.version = ""
        self.log = log
        self._timeout = timeout
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._deaths = 0

    def __enter__(self) -> Self:
        if reason := self._start():
            raise DataError(
                f"the detector cannot be loaded: {reason}",
                hint="--detector-python names the interpreter that has what it needs"
                + (f"; what it printed is in {self.log}" if self.log and self.log.exists() else ""),
                path=str(self.file),
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def ask(self, path: Path) -> Answer:
        """Score one picture; never raises for what the detector does."""
        if self._process is None:
            if self._deaths >= MAX_DEATHS:
                return Answer(None, f"not asked: it had crashed or hung {MAX_DEATHS} times")
            if reason := self._start():
                self._deaths += 1
                return Answer(None, f"it cannot be started again: {reason}")
        assert self._process is not None
        try:
            _send(self._process.stdin, {"path": str(path)})
            line = self._lines.get(timeout=self._timeout)
        except queue.Empty:
            return self._died(f"no answer within {self._timeout:g} s")
        except OSError:
            line = None
        if line is None:
            return self._died(f"its process ended{self._how()}")
        return _read(line)

    def _died(self, reason: str) -> Answer:
        self._deaths += 1
        self._end()
        return Answer(None, reason)

    def _how(self) -> str:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(5)
            return f" by signal {-code}" if code < 0 else f" with code {code}"
        return ""

    def _start(self) -> str | None:
        """Start the process and wait until it is ready; gives the reason where it does not get so far."""
        command = [self.python, "-u", str(_WORKER), str(self.file), self.function]
        try:
            if self.log:
                self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") if self.log else contextlib.nullcontext(subprocess.DEVNULL) as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    encoding="utf-8",
                    # Ended as a whole, with whatever it started itself; and Ctrl-C is for us to handle.
                    start_new_session=True,
                )
        except OSError as error:
            return f"{self.python}: {error.strerror}"
        self._lines = queue.Queue()
        threading.Thread(target=_listen, args=(self._process.stdout, self._lines), daemon=True).start()
        try:
            line = self._lines.get(timeout=max(LOAD_S, self._timeout))
        except queue.Empty:
            self._end()
            return f"not ready within {max(LOAD_S, self._timeout):g} s"
        answer = _parsed(line)
        if not answer.get("ready"):
            how = self._how() if line is None else ""
            self._end()
            return str(answer.get("error") or f"its process ended{how}")
        self.version = str(answer.get("python", ""))
        return None

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            if process.stdin:
                process.stdin.close()
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()


def _listen(pipe: IO[str] | None, lines: queue.Queue[str | None]) -> None:
    with contextlib.suppress(OSError, ValueError):
        for line in pipe or ():
            lines.put(line)
    lines.put(None)


def _send(pipe: IO[str] | None, question: dict[str, str]) -> None:
    assert pipe is not None
    pipe.write(json.dumps(question) + "\n")
    pipe.flush()


def _parsed(line: str | None) -> dict[str, Any]:
    try:
        answer = json.loads(line or "")
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _read(line: str) -> Answer:
    answer = _parsed(line)
    p, seconds = answer.get("p"), answer.get("seconds")
    if "error" in answer or "p" not in answer:
        return Answer(None, str(answer.get("error", "an answer that cannot be read")), seconds)
    if p is not None and not (isinstance(p, int | float) and 0 <= p <= 1):
        return Answer(None, f"gave {p!r}, not a p_fake in [0, 1]", seconds)
    return Answer(None if p is None else float(p), None, seconds)


def foreign_card(detector: ForeignDetector, threshold: float = 0.5) -> Card:
    """A card for a detector that has none: its p_fake as it is, one threshold, no face too small."""
    level = {"kind": "face", "thresholds": {"likely_real": threshold, "likely_fake": threshold}}
    facts = {"name": detector.name, "version": "", "architecture": "not known", "crop": {}, "levels": [level]}
    return Card.model_validate(facts)


def predict_foreign(
    detector: ForeignDetector,
    manifest: Manifest,
    split: str | None,
    card: Card,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> pl.DataFrame:
    """Ask for every row: the whole picture, or the stored frame of a clip.

    Args:
        detector: In its ``with`` block.
        manifest: Rows.
        split: ``train``, ``val``, ``test`` or None for all.
        card: Of :func:`foreign_card`.
        on_progress: Called with (done, all) rows.

    Returns:
        A table as that of :func:`unmask.evaluate.predict.predict`; crashes, timeouts and values that are no score are
        rows with the verdict ``error``.

    Raises:
        DataError: No rows, or no call gave an answer.
    """
    chosen = manifest.select(split)
    if not len(chosen):
        raise DataError(f"the split {split!r} has no rows", hint="See the counts with: unmask data show MANIFEST")
    rows = []
    for done, row in enumerate(chosen.table.iter_rows(named=True)):
        answer = detector.ask(chosen.file(row))
        rows.append(_row(row, answer, card))
        if on_progress:
            on_progress(done + 1, len(chosen))
    table = pl.DataFrame(rows, schema=SCHEMA)
    failed = table.filter(pl.col("verdict") == "error")
    if failed.height == table.height:
        raise DataError(
            f"none of the {table.height} calls gave a score, first: {failed['error'][0]}",
            path=str(detector.file),
            hint="Its function takes the path of a picture and returns a number in [0, 1], 1 = fake",
        )
    return table


def _row(row: dict[str, Any], answer: Answer, card: Card) -> dict[str, Any]:
    result = {name: row.get(name) for name in SCHEMA if name not in BOX}
    result |= {"faces": 0, "face_score": None, "picture_faces": 0, "error": answer.error}
    if answer.p is None:
        verdict = "error" if answer.error else "no_face"
        return result | {"verdict": verdict, "picture_verdict": verdict}
    inside = min(max(answer.p, _EDGE), 1 - _EDGE)
    logit = math.log(inside / (1 - inside))
    verdict = decide(card.level("face"), answer.p)
    scores = {"logit": logit, "p_fake": answer.p, "verdict": verdict}
    return result | scores | {f"picture_{name}": value for name, value in scores.items()} | {"picture_faces": 1}
