"""The run folder: what a run keeps while it goes on, each file whole at any moment."""

from __future__ import annotations

import csv
import json
import os
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.loggers import TensorBoardLogger
from pydantic import ValidationError

import unmask
from unmask.base.errors import DataError, causes
from unmask.base.files import replacing, write_text
from unmask.base.ort import usable_cpus
from unmask.train.cache import Skipped
from unmask.train.export import export_onnx
from unmask.train.metrics import Validation
from unmask.train.module import DetectorModule, averaged
from unmask.train.names import BEST, BUNDLE, ENVIRONMENT, GRAPH, LAST, METRICS, RECIPE, SKIPPED
from unmask.train.recipe import Recipe

Say = Callable[[str], None]


def refuse_other_run(out: Path, resume: bool) -> None:
    """Raise where the folder holds a run that is not to be gone on with, or cannot be.

    Raises:
        DataError: It does.
    """
    if (out / LAST).exists():
        if not resume:
            raise DataError("holds a run already", path=str(out), hint="Go on with --resume, or name another folder")
        return
    left = [name for name in (BEST, BUNDLE, METRICS) if (out / name).exists()]
    if left:
        raise DataError(
            f"holds {' and '.join(left)} of a run whose {LAST} is gone, so it can be neither gone on with nor written "
            "over",
            path=str(out),
            hint="Name another folder, or move these files away to start anew in this one",
        )


def open_folder(out: Path, recipe: Recipe, resume: bool, data: str) -> None:
    """Write recipe, environment and the hash of the data, or see that they are those of the run that is gone on with.

    Args:
        out: The run folder.
        recipe: As it is used.
        resume: Go on with what is there.
        data: Of :func:`unmask.train.fits.fingerprint`.

    Raises:
        DataError: The run was started with another recipe or other data. Those that noted no data pass.
    """
    resolved = out / RECIPE
    if resume and resolved.exists():
        if _read(resolved) != recipe:
            raise DataError(
                "was started with another recipe, or other data",
                path=str(out),
                hint=f"Resume it with the recipe {resolved}",
            )
        if (out / LAST).exists() and _data_of(out) not in (None, data):
            raise DataError(
                "was started with other data: rows, labels, splits or boxes differ",
                path=str(out),
                hint="Give the manifests that it was started with (--data, in any order), or name another folder",
            )
    else:
        write_text(resolved, yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
    write_text(out / ENVIRONMENT, json.dumps(environment() | {"data": data}, indent=1))


def _read(file: Path) -> Recipe | None:
    try:
        return Recipe.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError):
        return None


def _data_of(out: Path) -> str | None:
    try:
        noted = json.loads((out / ENVIRONMENT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return noted.get("data") if isinstance(noted, dict) else None


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


def write_skipped(out: Path, skipped: Sequence[tuple[str, Skipped]]) -> None:
    """Name the pictures that could not be read, with their split; without any there is no such file."""
    file = out / SKIPPED
    if not skipped:
        file.unlink(missing_ok=True)
        return
    with replacing(file) as temporary, temporary.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["split", "file", "reason"])
        writer.writerows((split, one.file, one.reason) for split, one in skipped)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside the old one and puts it in its place when it is safe on the disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:  # noqa: ARG002
        """As the base class."""
        with replacing(Path(path)) as temporary, temporary.open("wb") as file:
            save(checkpoint, file)
            file.flush()
            # Else a power cut could leave the new name with nothing behind it.
            os.fsync(file.fileno())


def save(content: Any, file: Any) -> None:
    """``torch.save`` whose errors are those of the system: torch wraps that of a full disk into its own."""
    try:
        torch.save(content, file)
    except RuntimeError as error:
        for cause in causes(error):
            if isinstance(cause, OSError):
                raise cause from error
        raise


def write_graph(out: Path, module: DetectorModule, size: int) -> None:
    """Export the best weights of a run; ``size`` is the side of its crops in px."""
    network = averaged(module)
    network.load_state_dict(torch.load(out / BEST, weights_only=True)["state_dict"])
    export_onnx(network, out / GRAPH, size)


class Keeper:
    """Keeps what a validation gives: a line for the user, a row of the table, the best weights.

    ``metrics.csv`` has a row a validation: ``step``, ``epoch`` (passes over the training rows), ``samples``,
    ``seconds``, ``lr``, ``train_loss`` and ``train_accuracy`` (of the varied samples since the last row, by the weights
    of their moment), ``val_loss`` and ``val_accuracy`` (of the averaged weights; at a probability of 0.5), ``improved``
    (1: the best so far), then the figures of :class:`unmask.train.metrics.Validation`. The same go to TensorBoard.
    """

    def __init__(self, out: Path, say: Say) -> None:
        self._out, self._say = out, say

    def __call__(self, module: DetectorModule, result: Validation, facts: dict[str, float]) -> None:
        """Take the figures of one validation."""
        row: dict[str, Any] = {
            **{name: value for name, value in facts.items() if name != "improved"},
            "val_loss": result.loss,
            "val_accuracy": result.accuracy,
            "improved": facts["improved"],
            "score": result.score,
            "macro": result.macro,
            "pooled": result.pooled,
            "found": result.found,
            **{f"auc {name}": value for name, value in result.auc.items()},
            **{f"false {name}": value for name, value in result.false.items()},
        }
        if facts["improved"]:
            # Before the row that says so: a full disk then leaves the last best one and a table that knows it.
            best = {"state_dict": averaged(module).state_dict(), "step": int(facts["step"])}
            with replacing(self._out / BEST) as temporary, temporary.open("wb") as file:
                save(best, file)
        self._append(row)
        self._log(module, row)
        self._say(
            f"epoch {facts['epoch']:.2f}, {facts['samples']:.0f} samples, {facts['seconds'] / 60:.1f} min: "
            f"loss {facts['train_loss']:.3f}, accuracy {facts['train_accuracy']:.3f}; val loss {result.loss:.3f}, "
            f"accuracy {result.accuracy:.3f}, AUC {result.pooled:.3f} (mean of methods {result.macro:.3f}), "
            f"found {result.found:.2f} at 2 % false" + (" - best so far" if facts["improved"] else "")
        )

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

    @staticmethod
    def _log(module: DetectorModule, row: dict[str, Any]) -> None:
        if not isinstance(module.logger, TensorBoardLogger):
            return
        figures = {_tag(name): float(value) for name, value in row.items() if name not in ("step", "improved")}
        module.logger.log_metrics(figures, int(row["step"]))
        module.logger.save()


def _tag(name: str) -> str:
    """Name in TensorBoard, which draws ``loss/train`` and ``loss/val`` side by side."""
    part, _, what = name.partition("_")
    if part in ("train", "val"):
        return f"{what}/{part}"
    kind, space, of = name.partition(" ")
    return f"{kind}/{of.replace('/', '_')}" if space else name
