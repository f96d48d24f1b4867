"""The same recipe with several seeds: how much of a figure is chance."""

from __future__ import annotations

import json
import math
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unmask.base.errors import DataError, TrainingError
from unmask.base.files import write_text
from unmask.train.after import FIGURES
from unmask.train.names import LAST, RECIPE, SUMMARY

SEEDS, COMMAND = "seeds.json", "command.json"
_VALIDATION = {"val_auc": "auc", "val_accuracy": "val_accuracy", "val_loss": "val_loss", "train_loss": "train_loss"}
"""Name in ``seeds.json`` -> name in ``best`` of a run's summary."""
_ASIDE, _SPEECH = frozenset({"--workers", "--draws", "--cache"}), frozenset({"--quiet", "--debug"})
"""Options, with a value and without, that make no other runs: speed, width of the intervals, what is printed."""


def folder_of(out: Path, seed: int) -> Path:
    """The run folder of one seed."""
    return out / f"seed-{seed}"


def is_done(folder: Path, *, tested: bool) -> bool:
    """Whether a run has come to its end, its test included if it is to have one."""
    summary = _summary(folder)
    return bool(summary and summary.get("bundle") and (summary.get("test") or not tested))


def refuse_other_runs(out: Path, seeds: Sequence[int], resume: bool) -> None:
    """Raise where the folder holds runs that are not to be gone on with.

    Raises:
        DataError: It does.
    """
    begun = [seed for seed in seeds if (folder_of(out, seed) / RECIPE).exists()]
    if (out / RECIPE).exists() or (begun and not resume):
        alone = (out / RECIPE).exists()
        raise DataError(
            "holds a run of one seed" if alone else f"holds runs already, as {folder_of(out, begun[0]).name}",
            path=str(out),
            hint="Name another folder" if alone else "Go on with --resume, or name another folder",
        )


def _same_command(out: Path, command: Sequence[str], resume: bool) -> None:
    """Note what the runs are made by, or see that it is the same: other runs are no further seeds of these."""
    file = out / COMMAND
    if resume and file.exists():
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
            if not (isinstance(before, list) and all(isinstance(word, str) for word in before)):
                raise ValueError
        except (OSError, ValueError) as error:
            raise DataError(
                "is damaged: it does not say what the runs were made by",
                path=str(file),
                hint="Delete it if recipe, data and options are those of the runs there; else name another folder",
            ) from error
        if _meaning(before) != _meaning(command):
            raise DataError(
                "was started with another recipe, other data or other options",
                path=str(out),
                hint=f"Give those that {file} holds, or name another folder",
            )
    out.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(list(command)))


def _meaning(command: Sequence[str]) -> list[str]:
    """The words that a run's weights and figures depend on."""
    words = iter(command)
    kept = []
    for word in words:
        if word in _ASIDE:
            next(words, None)
        elif word not in _SPEECH:
            kept.append(word)
    return kept


def run_all(
    out: Path, seeds: Sequence[int], command: Sequence[str], *, resume: bool, tested: bool, say: Callable[[str], None]
) -> None:
    """Train with one seed after the other, each in a process of its own; those that are done are left alone.

    Args:
        out: Folder of the run folders.
        seeds: In this order.
        command: ``train`` and its arguments, without ``--out``, ``--resume`` and the seed.
        resume: Go on with what was begun.
        tested: Whether each is to be tested.
        say: Takes lines for the user.

    Raises:
        DataError: ``out`` was begun by another command.
        TrainingError: One of them ended with an error, which it has told itself.
        KeyboardInterrupt: One of them was interrupted.
    """
    _same_command(out, command, resume)
    for place, seed in enumerate(seeds, 1):
        folder = folder_of(out, seed)
        if is_done(folder, tested=tested):
            say(f"seed {seed} ({place} of {len(seeds)}) is done")
            continue
        say(f"seed {seed} ({place} of {len(seeds)}): {folder}")
        more = ["--resume"] if resume and (folder / LAST).exists() else []
        line = [sys.executable, "-m", "unmask", *command, "--set", f"seed={seed}", "--out", str(folder), *more]
        # What it prints is about one seed; this command's own stdout holds the table of all.
        code = _wait(line)
        if code == 130:
            raise KeyboardInterrupt
        if code:
            raise TrainingError(
                f"the run with seed {seed} ended with code {code}",
                path=str(folder),
                hint="The same command with --resume goes on from there",
            )


def _wait(line: Sequence[str]) -> int:
    """Run a process and hand each interrupt on to it once: in a terminal it would get it from there as well."""
    group = 0 if os.name == "posix" else None
    with subprocess.Popen(line, stdout=sys.stderr, process_group=group) as child, _handed_on(child) as handed:
        code = child.wait()
    # Interrupted while it loads its packages, a process ends with whatever error that makes of it.
    return 130 if handed and code else code


@contextmanager
def _handed_on(child: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    handed: list[int] = []

    def hand_on(number: int, frame: object) -> None:  # noqa: ARG001
        handed.append(number)
        child.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield handed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def gather(out: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """Mean and deviation of the figures of all seeds; writes ``seeds.json``.

    Returns:
        ``seeds``, and ``figures``: name -> ``mean``, ``deviation`` (of a sample, n - 1; None for one), ``values``;
        ``val_...`` and ``train_...`` are of the best validation, the others of the files of the test split. A figure
        that one of the runs lacks is left out.
    """
    runs = [_summary(folder_of(out, seed)) or {} for seed in seeds]
    figures = {}
    for name, values in (
        *((name, [_value((run.get("test") or {}).get(name)) for run in runs]) for name in FIGURES),
        *((name, [_value((run.get("best") or {}).get(own)) for run in runs]) for name, own in _VALIDATION.items()),
    ):
        known = [value for value in values if value is not None and math.isfinite(value)]
        if known and len(known) == len(runs):
            figures[name] = {
                "mean": statistics.fmean(known),
                "deviation": statistics.stdev(known) if len(known) > 1 else None,
                "values": known,
            }
    result = {"seeds": list(seeds), "figures": figures}
    write_text(out / SEEDS, json.dumps(result, indent=1, allow_nan=False) + "\n")
    return result


def _value(figure: Any) -> float | None:
    return figure.get("value") if isinstance(figure, dict) else figure


def _summary(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
