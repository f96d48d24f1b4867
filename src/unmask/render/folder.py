"""The analysis folder: a result on disk, from which it can be shown again without the model or the file.

::

    report.json      the report, as `unmask analyze --json` prints it
    evidence.json    for each crop: subject, time_s, square, p_fake
    crops/0000.png   what the network saw, in the order of evidence.json
    maps/0000.npy    its evidence map, float32 logits
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from unmask.base.errors import DataError, UsageError
from unmask.base.files import cannot_write
from unmask.render.sinks import json_line
from unmask.report import Evidence, Report, Result

REPORT, EVIDENCE, CROPS, MAPS = "report.json", "evidence.json", "crops", "maps"

_MAX_SIDE = 4096
_MAX_JSON = 256 << 20


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    subject: int
    time_s: float
    square: tuple[float, float, float, float]
    p_fake: float


_ENTRIES = TypeAdapter(list[_Entry])


def save_analysis(result: Result, folder: Path) -> Path:
    """Write a result as an analysis folder, whole or not at all.

    An analysis folder that lies there is replaced (only the four entries of its own); anything else stays.

    Returns:
        ``folder``.

    Raises:
        UsageError: ``folder`` is a file, or a folder with other content.
        OutputError: The place cannot be written.
    """
    _check_target(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
            _write(result, Path(name))
            _move_in(Path(name), folder)
    except OSError as error:
        raise cannot_write(error, folder) from error
    return folder


def _write(result: Result, new: Path) -> None:
    """All four entries into a folder that is there."""
    for part in (CROPS, MAPS):
        (new / part).mkdir()
    entries = []
    for number, one in enumerate(result.evidence):
        Image.fromarray(one.crop).save(new / CROPS / f"{number:04d}.png", compress_level=1)
        np.save(new / MAPS / f"{number:04d}.npy", np.ascontiguousarray(one.map), allow_pickle=False)
        entries.append(
            _Entry(subject=one.subject, time_s=one.time_s, square=one.square, p_fake=one.p_fake).model_dump()
        )
    (new / EVIDENCE).write_text(json.dumps(entries, indent=1), encoding="utf-8")
    (new / REPORT).write_text(json_line(result.report), encoding="utf-8")


def _check_target(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError("this is not a folder", hint="Name another place", path=str(folder))
    if folder.is_dir() and any(folder.iterdir()) and not ((folder / EVIDENCE).is_file() and _only_ours(folder)):
        raise UsageError("this folder holds other files", hint="Name a new folder for the analysis", path=str(folder))


def _only_ours(folder: Path) -> bool:
    """Whether the two folders that would be deleted hold nothing but what is written there."""
    for part, ending in ((CROPS, ".png"), (MAPS, ".npy")):
        inside = folder / part
        if inside.is_dir() and not inside.is_symlink():
            for path in inside.iterdir():
                if not path.stem.isdigit() or path.suffix != ending or path.is_dir():
                    return False
    return True


def _move_in(new: Path, folder: Path) -> None:
    """Put the parts in place; the report comes last, and a folder without it counts as none."""
    folder.mkdir(exist_ok=True)
    (folder / REPORT).unlink(missing_ok=True)
    for part in (EVIDENCE, CROPS, MAPS, REPORT):
        if (folder / part).is_dir() and not (folder / part).is_symlink():
            shutil.rmtree(folder / part)
        (new / part).replace(folder / part)


def load_analysis(folder: Path) -> Result:
    """Read an analysis folder; nothing in it is executed, and nothing outside it is read.

    Returns:
        Exactly what :func:`save_analysis` was given.

    Raises:
        DataError: It is no analysis folder, or it is damaged.
    """
    if not (folder / REPORT).is_file():
        raise DataError(
            "this is no analysis folder: report.json is missing",
            hint="Make one with: unmask analyze FILE --save DIR",
            path=str(folder),
        )
    try:
        report = Report.model_validate_json(_read(folder / REPORT))
        entries = _ENTRIES.validate_json(_read(folder / EVIDENCE))
        evidence = [
            Evidence(
                entry.subject,
                entry.time_s,
                entry.square,
                _load_crop(folder / CROPS / f"{number:04d}.png"),
                _load_map(folder / MAPS / f"{number:04d}.npy"),
                entry.p_fake,
            )
            for number, entry in enumerate(entries)
        ]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _damaged(folder, f"{where}: {first['msg']}") from error
    except (OSError, ValueError, MemoryError, Image.DecompressionBombError) as error:
        raise _damaged(folder, str(error) or type(error).__name__) from error
    return Result(report, evidence)


def _damaged(folder: Path, detail: str) -> DataError:
    return DataError(f"the analysis folder is damaged: {detail}", hint="Analyse the file again", path=str(folder))


def _read(path: Path) -> bytes:
    if path.stat().st_size > _MAX_JSON:
        raise ValueError(f"{path.name} is larger than {_MAX_JSON >> 20} MiB")
    return path.read_bytes()


def _load_crop(path: Path) -> NDArray[np.uint8]:
    with Image.open(path, formats=["PNG"]) as image:
        if max(image.size) > _MAX_SIDE or image.mode != "RGB":
            raise ValueError(f"{path.name}: not a crop of at most {_MAX_SIDE} px in RGB")
        return np.array(image)


def _load_map(path: Path) -> NDArray[np.float32]:
    """Read a map after its header was checked: NumPy would reserve whatever a forged header asks for."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{path.name}: unknown version")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        size = math.prod(shape) * dtype.itemsize
        if len(shape) != 2 or max(shape) > _MAX_SIDE or dtype != np.float32 or fortran:
            raise ValueError(f"{path.name}: not a map of float32")
        data = file.read(size + 1)
    if len(data) != size:
        raise ValueError(f"{path.name}: cut off")
    values: NDArray[Any] = np.frombuffer(data, dtype).reshape(shape).copy()
    return values
