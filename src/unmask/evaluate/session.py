"""One call of ``unmask evaluate``: detectors in, a folder of figures out."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from unmask.base.errors import UsageError
from unmask.base.files import replacing, write_text
from unmask.base.ort import usable_cpus
from unmask.data.manifest import Manifest
from unmask.evaluate import cost, plots, sheet
from unmask.evaluate.board import board, thin, units_of
from unmask.evaluate.foreign import ForeignDetector, foreign_card, predict_foreign
from unmask.evaluate.page import page
from unmask.evaluate.predict import FROM_CARD, FROM_MANIFEST, predict
from unmask.evaluate.store import Measured, write_predictions
from unmask.evaluate.units import scores_of
from unmask.model import Bundle

PREDICTIONS, METRICS, REPORT, PLOTS, ERRORS = "predictions.parquet", "metrics.json", "report.html", "plots", "errors"

Progress = Callable[[str], Callable[[int, int], None]]
"""Given what is begun, a function that is called with (done, all)."""


@dataclass(frozen=True)
class Task:
    """What is measured, and how.

    Attributes:
        manifest, split: The rows.
        bundles: File and loaded bundle.
        detectors: Somebody else's, not yet started.
        frames: At most so many frames a clip.
        faces: See :func:`unmask.evaluate.predict.predict`.
        threshold: From which p_fake on the detectors of others say fake.
        rounds: Rounds of timing; 0: none.
        threads: Of each network, as the bundles were loaded.
        jobs: Pictures decoded side by side.
    """

    manifest: Manifest
    split: str
    bundles: Sequence[tuple[Path, Bundle]] = ()
    detectors: Sequence[ForeignDetector] = ()
    frames: int = 32
    faces: str = FROM_MANIFEST
    threshold: float = 0.5
    rounds: int = 20
    threads: int | None = None
    jobs: int | None = None


def run(task: Task, progress: Progress) -> list[Measured]:
    """Score the rows with every detector, then time them in turns.

    Raises:
        DataError: No rows, nothing readable, or a detector that cannot be loaded.
    """
    manifest = thin(task.manifest.select(task.split), task.frames)
    names = unique_names([(f"{b.card.name} {b.card.version}", file.stem) for file, b in task.bundles])
    measured: list[Measured] = []
    timers: dict[str, cost.Timed] = {}
    with ExitStack() as alive:
        # A detector that cannot be loaded is told before anything else takes its time.
        foreign = [alive.enter_context(detector) for detector in task.detectors]
        for name, (file, bundle) in zip(names, task.bundles, strict=True):
            table = predict(
                bundle, manifest, task.split, faces=task.faces, jobs=task.jobs, on_progress=progress(f"scoring: {name}")
            )
            measured.append(Measured(name, bundle.card, table, _bundle_facts(file, bundle, task)))
            timers[name] = cost.bundle_timer(bundle)
        for name, detector in zip(_after(names, [one.name for one in foreign]), foreign, strict=True):
            card = foreign_card(detector, task.threshold)
            table = predict_foreign(detector, manifest, task.split, card, on_progress=progress(f"scoring: {name}"))
            measured.append(Measured(name, card, table, _detector_facts(detector)))
            timers[name] = _detector_timer(detector, manifest)
        times = cost.take_turns(timers, task.rounds) if task.rounds else {}
    threads = task.threads or usable_cpus()
    words = (
        f"in turns in the same run, {task.rounds} rounds, medians with quartiles; bundles: batches of {cost.BATCH} "
        f"random crops, {threads} thread{'' if threads == 1 else 's'}, without decoding and finding faces; "
        "other detectors: one picture, the whole call"
    )
    return [
        replace(one, facts=one.facts | times.get(one.name, {}) | ({"timing": words} if times else {}))
        for one in measured
    ]


def unique_names(names: Sequence[tuple[str, str]]) -> list[str]:
    """The first of each pair where it is unique, else with the second, else with a number too."""
    first = [one.strip() for one, _ in names]
    wide = [one if first.count(one) == 1 else f"{one} ({other})" for one, (_, other) in zip(first, names, strict=True)]
    return [one if wide.count(one) == 1 else f"{one} #{place + 1}" for place, one in enumerate(wide)]


def _after(taken: Sequence[str], names: Sequence[str]) -> list[str]:
    every = unique_names([(name, "") for name in (*taken, *names)])
    return every[len(taken) :]


def _bundle_facts(file: Path, bundle: Bundle, task: Task) -> dict[str, Any]:
    backend = {FROM_MANIFEST: task.manifest.about.get("faces", "as in the manifest"), FROM_CARD: bundle.card.crop.faces}
    found = "boxes of the manifest" if task.faces == FROM_MANIFEST else "found anew"
    return {
        "kind": "bundle",
        "name": bundle.card.name,
        "version": bundle.card.version,
        "sha256": bundle.sha256,
        "provider": bundle.provider,
        "faces": f"{backend.get(task.faces, task.faces)}, {found}",
        "bytes": file.stat().st_size,
        **cost.graph_cost(file),
    }


def _detector_facts(detector: ForeignDetector) -> dict[str, Any]:
    return {
        "kind": "detector",
        "name": detector.name,
        "version": f"Python {detector.version}",
        "faces": "its own affair",
        "input": "gets the whole picture, or the stored frame of a clip",
        "bytes": None,
        "parameters": None,
        "macs": None,
    }


def _detector_timer(detector: ForeignDetector, manifest: Manifest) -> cost.Timed:
    files = manifest.files()

    def run(number: int) -> float:
        # A stride that walks over all sources, whatever the order of the rows.
        answer = detector.ask(files[number * 7919 % len(files)])
        return float("nan") if answer.error or answer.seconds is None else answer.seconds * 1000

    return run


def check_free(out: Path) -> None:
    """Refuse a folder that holds figures already.

    Raises:
        UsageError: One of the files is there.
    """
    for name in (PREDICTIONS, METRICS, REPORT, PLOTS, ERRORS):
        if os.path.lexists(out / name):
            raise UsageError("this exists already", hint="Name another folder with --out", path=str(out / name))


def figures_of(measured: Sequence[Measured], *, draws: int, seed: int) -> dict[str, Any]:
    """See :func:`unmask.evaluate.board.board`."""
    return board(measured, draws=draws, seed=seed)


def write(
    out: Path,
    measured: Sequence[Measured],
    figures: dict[str, Any],
    roots: Mapping[str, Path],
    *,
    predictions: bool = True,
) -> list[Path]:
    """Write everything, or nothing: predictions, figures, plots, contact sheets of the worst errors, the page.

    Args:
        out: Folder; made where it is missing.
        measured: The detectors.
        figures: Of :func:`figures_of`.
        roots: Where the pictures lie.
        predictions: Also ``predictions.parquet``; not where the figures were made from one.

    Returns:
        The files, the page first.
    """
    with _at_once(out) as place:
        files = _write(place, measured, figures, roots, predictions=predictions)
    return [out / file.relative_to(place) for file in files]


@contextmanager
def _at_once(out: Path) -> Iterator[Path]:
    """A folder whose entries go to ``out`` when the block ends well; otherwise nothing of it stays."""
    fresh = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".unmask-", dir=out) as temporary:
            place = Path(temporary)
            yield place
            for entry in sorted(place.iterdir()):
                entry.rename(out / entry.name)
    except BaseException:
        if fresh:
            with suppress(OSError):
                out.rmdir()
        raise


def _write(
    out: Path, measured: Sequence[Measured], figures: dict[str, Any], roots: Mapping[str, Path], *, predictions: bool
) -> list[Path]:
    written = []
    if predictions:
        write_predictions(out / PREDICTIONS, measured, dict(roots))
        written.append(out / PREDICTIONS)
    write_text(out / METRICS, json.dumps(figures, indent=1, allow_nan=False) + "\n")
    written.append(out / METRICS)
    shared, own = draw(measured, figures)
    for folder, group in (("", shared), *own.items()):
        for name, text in group.items():
            write_text(out / PLOTS / slug(folder) / f"{name}.svg" if folder else out / PLOTS / f"{name}.svg", text)
    tiles = {}
    for one in measured:
        crop = one.card.crop if one.facts.get("kind") == "bundle" else None
        tiles[one.name] = sheet.cut(sheet.worst(one.predictions), roots, crop)
        if tiles[one.name]:
            file = out / ERRORS / f"{slug(one.name)}.png"
            with replacing(file) as temporary:
                sheet.draw(tiles[one.name], f"Worst errors: {one.name}").save(temporary)
            written.append(file)
    title = measured[0].name if len(measured) == 1 else f"{len(measured)} detectors side by side"
    made = f"unmask evaluate, {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"
    write_text(
        out / REPORT,
        page(figures, title=f"Evaluation: {title}", made=made, shared=shared, own=own, errors=tiles),
    )
    return [out / REPORT, *written]


def draw(measured: Sequence[Measured], figures: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Plots of all together, and of each detector by its name."""
    scores = {one.name: scores_of(units_of(one)["file"]) for one in measured}
    shared = {
        "roc": plots.roc(scores),
        "precision_recall": plots.precision_recall(scores),
        "reliability": plots.reliability(scores),
    }
    rows = [
        one["facts"] | {"name": one["name"], "auc": one["file"]["pooled"]["auc"]}
        for one in figures["detectors"]
        if "ms" in one["facts"] and one["file"]["pooled"]["auc"]["value"] is not None
    ]
    if len(rows) > 1:
        shared["speed"] = plots.speed(rows)
    own = {}
    for one, found in zip(measured, figures["detectors"], strict=True):
        edges = one.card.level("picture").thresholds
        own[one.name] = {
            "confusion": plots.confusion(found["file"]["confusion"]),
            "histogram": plots.histogram(scores[one.name], edges.likely_real, edges.likely_fake),
        }
    return shared, own


def slug(name: str) -> str:
    """A name as a file name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.") or "detector"
