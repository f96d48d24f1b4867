"""One training run: from manifests and a recipe to a run folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812
import polars as pl
import torch
from torch.utils.data import DataLoader, Subset

from unmask.base.errors import DataError, OutputError, TrainingError, UnmaskError
from unmask.base.files import is_full
from unmask.base.ort import usable_cpus
from unmask.data.manifest import Manifest
from unmask.train import folder
from unmask.train.alone import alone
from unmask.train.bundle import make_bundle
from unmask.train.cache import CropCache, RegionCache, Skipped, build_cache, build_crops, largest_face, others
from unmask.train.dataset import ArraySet, StepRange, TrainingSet, kinds_of, label_weights, sampler_of
from unmask.train.fits import fingerprint, require_faces
from unmask.train.folder import Keeper
from unmask.train.metrics import ValidationRows
from unmask.train.module import DetectorModule
from unmask.train.names import BEST, BUNDLE, GRAPH, LAST, SKIPPED
from unmask.train.network import build
from unmask.train.recipe import Recipe
from unmask.train.sampling import Batches, needs_both
from unmask.train.trainer import Place, interruptible, interrupts_kept, make_trainer, place_of
from unmask.train.trial import try_network

_VALIDATION_BATCH = 16
_WORTH_A_WORD = 50e6


@dataclass(frozen=True)
class RunResult:
    """What a run left behind.

    Attributes:
        folder: The run folder.
        graph: The ONNX graph of the best averaged weights.
        bundle: The same with its card: calibrated on the validation rows, ready for ``unmask analyze --model``.
        score, samples, seconds: Of the best validation, and of the whole run.
        skipped: Pictures that could not be read; ``skipped.csv`` in the folder names them.
    """

    folder: Path
    graph: Path
    bundle: Path
    score: float
    samples: int
    seconds: float
    skipped: int = 0


@dataclass(frozen=True)
class _Data:
    training: Manifest
    validation: Manifest
    regions: RegionCache
    crops: CropCache

    @property
    def readable(self) -> Manifest:
        """The rows that were trained and validated on."""
        table = pl.concat([self.training.table, self.validation.table])
        return Manifest(table, self.training.roots, self.training.about)

    @property
    def skipped(self) -> list[tuple[str, Skipped]]:
        return [("train", one) for one in self.regions.skipped] + [("val", one) for one in self.crops.skipped]


def train(
    recipe: Recipe,
    manifest: Manifest,
    out: Path,
    *,
    resume: bool = False,
    cache: Path | None = None,
    workers: int = 1,
    say: Callable[[str], None] = print,
    bar: bool = True,
) -> RunResult:
    """Train a detector.

    Args:
        recipe: What and how.
        manifest: The data; several manifests are first put together by :func:`unmask.data.manifest.join`.
        out: Run folder: resolved recipe, environment, metrics, logs, checkpoints and the graph. A folder that holds a
            run is only gone on with, never overwritten.
        resume: Go on from the last checkpoint in ``out``.
        cache: Where decoded faces are kept (about 150 KB each); default ``out/cache``.
        workers: Processes that make samples, for each training process.
        say: Takes lines for the user.
        bar: Show a progress bar where stderr is a terminal.

    Raises:
        DataError: The data or the recipe cannot be used (a split without faces of one label, a missing picture, faces
            of another detector), ``out`` holds a run and ``resume`` is off, or one of another recipe or other data.
        BundleError: The network cannot be written as ONNX; told before anything is read.
        TrainingError: The loss is no number any more. Where there was a validation before, the bundle of the best
            weights is there all the same.
        OutputError: The disk is full. What was finished before is whole: the run can be resumed.
        MissingExtraError: The package with the start weights is not installed.
        DeviceError: The recipe asks for GPUs that are not there.
        KeyboardInterrupt: After Ctrl-C, when the checkpoint is written.
    """
    place = place_of(recipe)
    hold = alone(out) if place.rank == 0 else nullcontext()
    with _full_disk(out), _one_voice(place), hold, interrupts_kept() as check_interrupts:
        if place.rank:
            say = _silent
        else:
            folder.refuse_other_run(out, resume)
        if resume and not (out / LAST).exists():
            say(f"there is no checkpoint in {out} to go on from: the run starts anew")
        # First, so that a network that cannot be made is refused before an hour of reading.
        L.seed_everything(recipe.seed, verbose=False)
        network = build(recipe.network, recipe.crop.size, say).to(memory_format=torch.channels_last)
        try_network(network, recipe, export=place.rank == 0)
        data = _read(manifest, recipe, cache or out / "cache", place, say)
        sampler = sampler_of(data.training, recipe)
        kinds = kinds_of(data.training, recipe)
        recipe = recipe.for_rows(len(sampler))
        if place.rank == 0:
            folder.open_folder(out, recipe, resume, fingerprint(manifest))
            folder.write_skipped(out, data.skipped)
        torch.set_num_threads(place.threads)
        module = DetectorModule(
            network,
            recipe,
            _validation_rows(data.validation),
            Keeper(out, say),
            epoch=len(sampler),
            weights=label_weights(data.training, recipe),
            sync=place.gpu and place.world > 1,
        )
        steps = max(1, min(recipe.schedule.epoch_samples // recipe.schedule.batch, recipe.steps))
        trainer = make_trainer(recipe, out, steps, place, bar)
        loaders = _loaders(data, sampler, kinds, recipe, module, trainer, steps, place, workers)
        say(
            f"{len(data.training)} training faces, {len(data.validation)} validation faces, "
            f"{recipe.steps} steps of {recipe.schedule.batch}"
        )
        _tell_skipped(data, out, say)
        start = str(out / LAST) if resume and (out / LAST).exists() else None
        try:
            with warnings.catch_warnings(), interruptible(trainer):
                warnings.simplefilter("ignore")
                check_interrupts()
                trainer.fit(module, *loaders, ckpt_path=start, weights_only=True)
                trainer.save_checkpoint(out / LAST)
        except TrainingError as error:
            if place.rank == 0:
                raise _with_best(error, module, data.readable, recipe, out) from error
            raise
        if trainer.is_global_zero:
            folder.write_graph(out, module, recipe.crop.size)
            make_bundle(out / GRAPH, data.readable, recipe, out / BUNDLE, say)
        _tell_skipped(data, out, say)
    samples = trainer.global_step * recipe.schedule.batch
    return RunResult(out, out / GRAPH, out / BUNDLE, module.score, samples, module.seconds, len(data.skipped))


def _read(manifest: Manifest, recipe: Recipe, home: Path, place: Place, say: Callable[[str], None]) -> _Data:
    """Decode what is trained and validated on; rows that cannot be read are left out."""
    _check(manifest, recipe, place)
    training, validation = manifest.select("train", with_face=True), manifest.select("val", with_face=True)
    regions = build_cache(
        training,
        home / "train",
        largest=largest_face(recipe.crop.size),
        threads=usable_cpus(),
        progress=_every(say, "training faces read"),
    )
    crops = build_crops(
        validation, recipe.crop, home / "val", threads=usable_cpus(), progress=_every(say, "validation faces read")
    )
    data = _Data(_rows(training, regions.kept), _rows(validation, crops.kept), regions, crops)
    if data.skipped:
        _check(data.readable, recipe, place)
    unused = others(home / "train", regions.folder) + others(home / "val", crops.folder)
    if unused > _WORTH_A_WORD:
        say(
            f"{home} also holds {unused / 1e9:.1f} GB of faces that this run does not use. To have the room, delete it "
            "while no run is under way: what is needed is read again"
        )
    return data


def _check(manifest: Manifest, recipe: Recipe, place: Place) -> None:
    require_faces(recipe, manifest)
    manifest.require(needs_both(recipe.sampling, manifest))
    faces = len(manifest.select("val", with_face=True))
    # One without any would not take part in the gathering of the scores, for which the others wait.
    if faces < place.world:
        raise DataError(
            f"{faces} validation faces cannot be shared by {place.world} processes",
            hint="Validate on more faces, or set fewer schedule.processes, devices or nodes",
        )


def _rows(manifest: Manifest, kept: list[int]) -> Manifest:
    if len(kept) == len(manifest):
        return manifest
    return Manifest(manifest.table[kept], manifest.roots, manifest.about)


def _loaders(
    data: _Data,
    sampler: Batches,
    kinds: list[int],
    recipe: Recipe,
    module: DetectorModule,
    trainer: L.Trainer,
    steps: int,
    place: Place,
    workers: int,
) -> tuple[DataLoader[Any], DataLoader[Any]]:
    batches = StepRange(
        lambda: trainer.global_step, module.size_of, steps, recipe.schedule.batch, place.rank, place.world
    )
    training: DataLoader[Any] = DataLoader(
        TrainingSet(data.regions, sampler, recipe, kinds),
        batch_sampler=batches,
        num_workers=workers,
        persistent_workers=workers > 0,
        prefetch_factor=3 if workers else None,
        pin_memory=place.gpu,
    )
    mine = range(place.rank, len(data.validation), place.world)
    return training, DataLoader(Subset(ArraySet(data.crops.crops), mine), batch_size=_VALIDATION_BATCH)


def _validation_rows(manifest: Manifest) -> ValidationRows:
    table = manifest.table
    columns = (table[name].to_list() for name in ("label", "source", "method", "path", "clip"))
    labels, sources, methods, paths, clips = columns
    return ValidationRows(labels, sources, methods, [clip or path for path, clip in zip(paths, clips, strict=True)])


def _with_best(
    error: TrainingError, module: DetectorModule, manifest: Manifest, recipe: Recipe, out: Path
) -> TrainingError:
    """The error with the word what is left of the run: the bundle of its best weights, where there are any."""
    if not (out / BEST).exists():
        return error
    try:
        folder.write_graph(out, module, recipe.crop.size)
        make_bundle(out / GRAPH, manifest, recipe, out / BUNDLE)
        left = f"The best weights so far are in {out / BUNDLE}"
    except UnmaskError:
        # They may have learnt nothing yet that could be calibrated.
        left = f"The best weights so far are in {out / BEST}"
    return TrainingError(error.message, hint=f"{error.hint}. {left}")


@contextmanager
def _full_disk(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise OutputError(
            f"cannot be written: {(error.strerror or str(error)).lower()}",
            path=str(error.filename or out),
            hint=f"Make room and go on with --resume; what {out} held before is whole",
        ) from error


@contextmanager
def _one_voice(place: Place) -> Iterator[None]:
    """Of several processes the first one tells what all meet; the others end quietly, lest it be ended with them."""
    if place.rank == 0:
        yield
        return
    try:
        yield
    except TrainingError:
        raise SystemExit(0) from None
    except RuntimeError as error:
        # The first process has ended, and has said why.
        if "onnection" in str(error) and "peer" in str(error):
            raise SystemExit(0) from None
        raise


def _tell_skipped(data: _Data, out: Path, say: Callable[[str], None]) -> None:
    if data.skipped:
        say(f"{len(data.skipped)} pictures cannot be read and are left out; {out / SKIPPED} names them")


def _silent(_: str) -> None:
    """Say nothing."""


def _every(say: Callable[[str], None], what: str) -> Callable[[int, int], None]:
    def report(done: int, everything: int) -> None:
        if done // 2000 != (done - 64) // 2000 or done == everything:
            say(f"{done}/{everything} {what}")

    return report
