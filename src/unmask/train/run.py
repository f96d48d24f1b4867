"""One training run: from manifests and a recipe to a run folder."""

from __future__ import annotations

import csv
import json
import logging
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812
import torch
import yaml
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from torch.utils.data import DataLoader

import unmask
from unmask.base.errors import DataError
from unmask.base.files import replacing, write_text
from unmask.base.ort import usable_cpus
from unmask.data.manifest import Manifest
from unmask.train.bundle import make_bundle
from unmask.train.cache import build_cache
from unmask.train.dataset import ArraySet, StepRange, TrainingSet, sampler_of, validation_crops
from unmask.train.export import export_onnx
from unmask.train.metrics import Validation, ValidationRows
from unmask.train.module import DetectorModule, averaged
from unmask.train.network import build
from unmask.train.recipe import Recipe

LAST, BEST, METRICS = "last.ckpt", "best.pt", "metrics.csv"
GRAPH, BUNDLE = "network.onnx", "bundle.onnx"
_VALIDATION_BATCH = 16


@dataclass(frozen=True)
class RunResult:
    """What a run left behind.

    Attributes:
        folder: The run folder.
        graph: The ONNX graph of the best averaged weights.
        bundle: The same with its card: calibrated on the validation rows, ready for ``unmask analyze --model``.
        score, samples, seconds: Of the best validation, and of the whole run.
    """

    folder: Path
    graph: Path
    bundle: Path
    score: float
    samples: int
    seconds: float


def train(
    recipe: Recipe,
    manifest: Manifest,
    out: Path,
    *,
    resume: bool = False,
    cache: Path | None = None,
    workers: int = 1,
    latest: Path | None = None,
    say: Callable[[str], None] = print,
) -> RunResult:
    """Train a detector.

    Args:
        recipe: What and how.
        manifest: The data; several manifests are first put together by :func:`unmask.data.manifest.join`.
        out: Run folder: resolved recipe, environment, metrics, checkpoints and the graph. A folder that holds a
            run is only gone on with, never overwritten.
        resume: Go on from the last checkpoint in ``out``.
        cache: Where decoded faces are kept (about 150 KB each); default ``out/cache``.
        workers: Processes that make samples, for each training process.
        latest: Also write the graph there at each new best.
        say: Takes lines for the user.

    Raises:
        DataError: The data or the recipe cannot be used (a split without faces of one label, a missing picture), or
            ``out`` holds a run and ``resume`` is off.
        MissingExtraError: The package with the start weights is not installed.
    """
    last = out / LAST
    manifest.require(("train", "val"))
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    if rank == 0:
        _open_folder(out, recipe, resume)
    training, validation = manifest.select("train", with_face=True), manifest.select("val", with_face=True)
    sampler = sampler_of(training, recipe)
    home = cache or out / "cache"
    regions = build_cache(training, home / "train", threads=usable_cpus(), progress=_every(say, "faces cached"))
    rows = _validation_rows(validation)
    world = recipe.schedule.processes
    torch.set_num_threads(1 if world > 1 else usable_cpus())
    L.seed_everything(recipe.seed, verbose=False)
    network = build(recipe.network).to(memory_format=torch.channels_last)
    keeper = _Keeper(out, recipe, latest, say)
    module = DetectorModule(network, recipe, rows, keeper)
    batch = recipe.schedule.batch
    steps = max(1, min(recipe.schedule.epoch_samples // batch, recipe.steps))
    trainer = _trainer(recipe, out, steps)
    crops = validation_crops(validation, recipe.crop)
    mine = list(range(rank, len(crops), world))
    loaders = (
        DataLoader(
            TrainingSet(regions, sampler, recipe),
            batch_sampler=StepRange(
                lambda: trainer.global_step, lambda: recipe.size_at(module.done), steps, batch, rank, world
            ),
            num_workers=workers,
            persistent_workers=workers > 0,
            prefetch_factor=3 if workers else None,
        ),
        DataLoader(torch.utils.data.Subset(ArraySet(crops), mine), batch_size=_VALIDATION_BATCH),
    )
    if rank == 0:
        say(f"{len(training)} training faces, {len(validation)} validation faces, {recipe.steps} steps of {batch}")
    with warnings.catch_warnings(), _interruptible(trainer):
        warnings.simplefilter("ignore")
        trainer.fit(module, *loaders, ckpt_path=str(last) if resume and last.exists() else None, weights_only=True)
        trainer.save_checkpoint(last)
    if trainer.is_global_zero:
        make_bundle(out / GRAPH, manifest, recipe, out / BUNDLE)
    return RunResult(out, out / GRAPH, out / BUNDLE, module.best, trainer.global_step * batch, module.seconds)


def _validation_rows(manifest: Manifest) -> ValidationRows:
    table = manifest.table
    columns = (table[name].to_list() for name in ("label", "source", "method", "path", "clip"))
    labels, sources, methods, paths, clips = columns
    return ValidationRows(labels, sources, methods, [clip or path for path, clip in zip(paths, clips, strict=True)])


@contextmanager
def _interruptible(trainer: L.Trainer) -> Iterator[None]:
    """Lightning ends the process on Ctrl-C; here the caller is told, as everywhere in unmask."""
    try:
        yield
    except SystemExit as end:
        if trainer.interrupted:
            raise KeyboardInterrupt from end
        raise
    if trainer.interrupted:
        raise KeyboardInterrupt


def _trainer(recipe: Recipe, out: Path, steps: int) -> L.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    schedule = recipe.schedule
    checkpoint = ModelCheckpoint(
        dirpath=out,
        filename=LAST.removesuffix(".ckpt"),
        train_time_interval=timedelta(minutes=schedule.checkpoint_minutes),
        save_top_k=1,
        enable_version_counter=False,
    )
    callbacks: list[Callback] = [checkpoint]
    live = sys.stderr.isatty()
    if live:
        callbacks.append(RichProgressBar())
    return L.Trainer(
        accelerator="cpu" if schedule.processes > 1 else "auto",
        devices=schedule.processes,
        strategy="ddp" if schedule.processes > 1 else "auto",
        precision=schedule.precision,
        max_steps=recipe.steps,
        max_epochs=-1,
        limit_train_batches=steps,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=live,
        enable_model_summary=False,
        default_root_dir=out,
    )


class _Keeper:
    """Keeps what a validation gives: a line for the user, a row of the table, the best weights and their graph."""

    def __init__(self, out: Path, recipe: Recipe, latest: Path | None, say: Callable[[str], None]) -> None:
        self._out, self._recipe, self._latest, self._say = out, recipe, latest, say

    def __call__(self, module: DetectorModule, result: Validation, facts: dict[str, float]) -> None:
        row: dict[str, Any] = {
            **facts,
            "score": result.score,
            "macro": result.macro,
            "pooled": result.pooled,
            "found": result.found,
            **{f"auc {name}": value for name, value in result.auc.items()},
            **{f"false {name}": value for name, value in result.false.items()},
        }
        self._append(row)
        self._say(
            f"{facts['samples']:.0f} samples, {facts['seconds'] / 60:.1f} min: loss {facts['loss']:.3f}, "
            f"val AUC {result.pooled:.3f} (mean of methods {result.macro:.3f}), found {result.found:.2f} at 2 % false"
            + (" - best so far" if facts["improved"] else "")
        )
        if facts["improved"]:
            network = averaged(module)
            with replacing(self._out / BEST) as temporary:
                torch.save({"state_dict": network.state_dict(), "step": int(facts["step"])}, temporary)
            for path in filter(None, (self._out / GRAPH, self._latest)):
                export_onnx(network, path, self._recipe.crop.size)
        torch.set_num_threads(1 if self._recipe.schedule.processes > 1 else usable_cpus())

    def _append(self, row: dict[str, Any]) -> None:
        file = self._out / METRICS
        rows: list[dict[str, Any]] = []
        if file.exists():
            with file.open(encoding="utf-8", newline="") as before:
                rows = [old for old in csv.DictReader(before) if int(float(old["step"])) < row["step"]]
        with replacing(file) as temporary, temporary.open("w", encoding="utf-8", newline="") as after:
            writer = csv.DictWriter(after, list(row), extrasaction="ignore")
            writer.writeheader()
            writer.writerows([*rows, {k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()}])


def _open_folder(out: Path, recipe: Recipe, resume: bool) -> None:
    resolved = out / "recipe.yaml"
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    if (out / LAST).exists() or resolved.exists():
        if not resume and (out / LAST).exists():
            raise DataError("holds a run already", path=str(out), hint="Go on with --resume, or name another folder")
        if resume and resolved.exists() and resolved.read_text(encoding="utf-8") != text:
            raise DataError(
                "was started with another recipe", path=str(out), hint=f"Resume it with the recipe {resolved}"
            )
    write_text(resolved, text)
    write_text(out / "environment.json", json.dumps(environment(), indent=1))


def environment() -> dict[str, Any]:
    """What a run ran on and with."""
    import lightning
    import numpy
    import onnxruntime
    import timm

    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "unmask": unmask.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "lightning": lightning.__version__,
        "numpy": numpy.__version__,
        "onnxruntime": onnxruntime.__version__,
        "platform": platform.platform(),
        "processors": usable_cpus(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _every(say: Callable[[str], None], what: str) -> Callable[[int, int], None]:
    def report(done: int, everything: int) -> None:
        if done // 2000 != (done - 64) // 2000 or done == everything:
            say(f"{done}/{everything} {what}")

    return report
