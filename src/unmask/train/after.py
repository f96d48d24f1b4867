"""What follows a run: its curves, its figures on the test split, a summary of both. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unmask.base.errors import DataError
from unmask.base.files import sha256_of, write_text
from unmask.data.manifest import Manifest
from unmask.evaluate import session
from unmask.evaluate.rows import require_rows
from unmask.model import load_bundle
from unmask.train import curves
from unmask.train.names import BUNDLE, CURVES, SUMMARY, TEST

FIGURES = ("accuracy", "precision", "found", "false_positives", "f1", "auc", "ap", "eer", "log_loss", "brier", "ece")
"""Figures of the test's files that the summary repeats."""

Figures = dict[str, Any]


def describe(out: Path) -> dict[str, Any]:
    """Draw ``curves.png`` and write ``summary.json``, with the figures of the test where there are any.

    Args:
        out: A run folder.

    Returns:
        The summary: ``name``, ``validations``, ``best``, ``last``, ``gap`` (see :func:`unmask.train.curves.summary`),
        ``bundle`` and ``test``; plain values.

    Raises:
        DataError: The folder holds no run.
    """
    run = curves.read_run(out)
    curves.draw([run], out / CURVES)
    bundle, figures = out / BUNDLE, _read(out / TEST)
    summary = {
        "name": run.name,
        **curves.summary(run),
        "bundle": {"sha256": sha256_of(bundle), "bytes": bundle.stat().st_size} if bundle.is_file() else None,
        "test": _pooled(figures) if figures else None,
    }
    write_text(out / SUMMARY, json.dumps(summary, indent=1, allow_nan=False) + "\n")
    return summary


def _pooled(figures: Figures) -> dict[str, Any]:
    pooled = figures["detectors"][0]["file"]["pooled"]
    return {"real": pooled["real"], "fake": pooled["fake"]} | {name: pooled[name] for name in FIGURES}


def can_test(manifest: Manifest) -> str:
    """Why the test split cannot be measured, in words; empty where it can.

    Raises:
        DataError: Files of it are missing; told before the training takes its time.
    """
    if not len(manifest.select("test")):
        return "no test rows: nothing is tested. Shares are set by `unmask data prepare --fraction` or --splits"
    require_rows(manifest, "test", both=False)
    try:
        require_rows(manifest, "test")
    except DataError as error:
        return f"{error.message}, so nothing is tested"
    return ""


def measure(
    out: Path, manifest: Manifest, progress: session.Progress, *, draws: int = 1000, say: Callable[[str], None] = print
) -> Figures:
    """Measure the bundle of a run on the test split, as ``unmask evaluate`` does, into ``out/test``.

    Figures that are there already for this very bundle are read instead; those of another one are kept under another
    name.

    Args:
        out: A run folder with a bundle.
        manifest: The run's data.
        progress: See :func:`unmask.evaluate.session.run`.
        draws: Bootstrap resamples.
        say: Takes lines for the user.

    Returns:
        See :func:`unmask.evaluate.session.figures_of`.
    """
    folder, file = out / TEST, out / BUNDLE
    figures = _read(folder)
    if figures is not None:
        before = str(figures["detectors"][0]["facts"].get("sha256"))
        if before == sha256_of(file):
            return figures
        kept = _free(out / f"{TEST}-{before[:8]}")
        folder.rename(kept)
        say(f"the figures of the bundle before are in {kept}")
    session.check_free(folder)
    measured = session.run(session.Task(manifest, "test", [(file, load_bundle(file))]), progress)
    figures = session.figures_of(measured, draws=draws, seed=0)
    session.write(folder, measured, figures, manifest.roots)
    return figures


def _read(folder: Path) -> Figures | None:
    try:
        figures = json.loads((folder / session.METRICS).read_text(encoding="utf-8"))
        figures["detectors"][0]["file"]["pooled"]["auc"]["value"]
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None
    return dict(figures)


def _free(path: Path) -> Path:
    number = 1
    found = path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found
