"""Run a bundle over the rows of a manifest; nothing is measured here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from unmask.analysis.judge import judge_face, judge_picture
from unmask.base.errors import DataError, UnmaskError
from unmask.base.ort import usable_cpus
from unmask.data.look import choose_face
from unmask.data.manifest import BOX, Manifest
from unmask.faces import Face, FaceBackend, load_backend
from unmask.faces.crop import crop_face
from unmask.media import open_media
from unmask.model import Bundle, p_fake
from unmask.report import FaceResult, Quality, Report

FROM_MANIFEST = "manifest"
FROM_CARD = "card"

SCHEMA: dict[str, Any] = {
    "root": pl.String,
    "path": pl.String,
    "source": pl.String,
    "method": pl.String,
    "group": pl.String,
    "clip": pl.String,
    "time_s": pl.Float64,
    "label": pl.Int8,
    "split": pl.String,
    "faces": pl.Int32,
    "x0": pl.Float32,
    "y0": pl.Float32,
    "x1": pl.Float32,
    "y1": pl.Float32,
    "face_score": pl.Float32,
    "logit": pl.Float64,
    "p_fake": pl.Float64,
    "verdict": pl.String,
    "picture_logit": pl.Float64,
    "picture_p_fake": pl.Float64,
    "picture_verdict": pl.String,
    "error": pl.String,
}
"""Column -> type. ``logit``, ``p_fake`` and ``verdict`` are of one face, the one that the row is about, and null, null
and ``no_face`` (or ``error``) without one; ``picture_*`` are of the whole picture: the highest of its ``faces``."""

Change = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]

_BATCH = 16
_ERRORS_SHOWN = 3


@dataclass(slots=True)
class _Look:
    """A row, decoded and cut; ``faces[0]`` is the face that the row is about."""

    row: dict[str, Any]
    faces: list[Face] = field(default_factory=list)
    crops: list[NDArray[np.uint8]] = field(default_factory=list)
    error: str | None = None


def predict(
    bundle: Bundle,
    manifest: Manifest,
    split: str | None = "test",
    *,
    faces: str = FROM_MANIFEST,
    jobs: int | None = None,
    change: Change | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> pl.DataFrame:
    """Score every row of a split.

    Args:
        bundle: What is measured.
        manifest: Rows; without a face they are kept, without a score.
        split: ``train``, ``val``, ``test`` or None for all rows.
        faces: ``manifest``: the boxes as they stand there; ``card``: faces are found anew by the backend that the
            bundle's card names, as ``unmask analyze`` does; or the name of a backend. In a picture with several faces
            all are scored, and the row is about the one that is large and near the middle.
        jobs: Pictures decoded side by side; default: the processors.
        change: Applied to the upright picture (H×W×3 uint8 RGB, its size kept) before the crop.
        on_progress: Called with (done, all) rows.

    Returns:
        A table with the columns of :data:`SCHEMA`, a row a row of the manifest, in its order.

    Raises:
        DataError: The split has no rows, or no picture of it can be read.
        MissingExtraError, UsageError: The face backend is not there.
    """
    chosen = manifest.select(split)
    if not len(chosen):
        raise DataError(f"the split {split!r} has no rows", hint="See the counts with: unmask data show MANIFEST")
    name = bundle.card.crop.faces if faces == FROM_CARD else faces
    backend = None if faces == FROM_MANIFEST else load_backend(name, threads=1)
    scored: list[dict[str, Any]] = []
    for batch in _batches(_looks(bundle, chosen, backend, change, jobs or usable_cpus())):
        scored.extend(_score(bundle, batch))
        if on_progress:
            on_progress(len(scored), len(chosen))
    table = pl.DataFrame(scored, schema=SCHEMA)
    _check(table)
    return table


def _check(table: pl.DataFrame) -> None:
    broken = table.filter(pl.col("verdict") == "error")
    if broken.height == table.height:
        first = "; ".join(broken["error"].head(_ERRORS_SHOWN))
        raise DataError(
            f"none of the {table.height} pictures can be read: {first}", hint="Have they moved? Give --root"
        )


def _looks(
    bundle: Bundle, manifest: Manifest, backend: FaceBackend | None, change: Change | None, jobs: int
) -> Iterator[_Look]:
    """Decoded rows in order, a few ahead. Decoding and resizing run outside Python's lock, so threads are enough."""
    rows = manifest.table.iter_rows(named=True)

    def work(row: dict[str, Any]) -> _Look:
        look = _Look(row)
        try:
            image = read_picture(str(manifest.file(row)))
            look.faces = _given(row) if backend is None else _found(image, backend)
            if look.faces and change is not None:
                image = change(image)
            look.crops = [crop_face(image, face.box, bundle.card.crop) for face in look.faces]
        except (UnmaskError, OSError) as error:
            look.faces, look.error = [], str(error)
        return look

    pool = ThreadPoolExecutor(jobs, thread_name_prefix="predict")
    waiting: deque[Future[_Look]] = deque(pool.submit(work, row) for row in islice(rows, 2 * jobs + _BATCH))
    try:
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(work, row) for row in islice(rows, 1))
            yield done
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def read_picture(path: str) -> NDArray[np.uint8]:
    """A picture as H×W×3 uint8 RGB, upright, through the media room."""
    with open_media(path) as media:
        return next(iter(media.frames())).image


def _given(row: dict[str, Any]) -> list[Face]:
    if row["x0"] is None:
        return []
    x0, y0, x1, y1 = (float(row[corner]) for corner in BOX)
    return [Face((x0, y0, x1, y1), float(row["face_score"] if row["face_score"] is not None else 1.0))]


def _found(image: NDArray[np.uint8], backend: FaceBackend) -> list[Face]:
    faces = backend.find(image)
    about = choose_face(faces, image.shape[1], image.shape[0])
    return faces if about is None else [about, *(face for face in faces if face is not about)]


def _batches(looks: Iterator[_Look]) -> Iterator[list[_Look]]:
    while batch := list(islice(looks, _BATCH)):
        yield batch


def _score(bundle: Bundle, looks: list[_Look]) -> Iterator[dict[str, Any]]:
    crops = [crop for look in looks for crop in look.crops]
    logits = iter(bundle.score(np.stack(crops))[0].tolist() if crops else ())
    for look in looks:
        yield _judged(bundle, look, list(islice(logits, len(look.crops))))


def _judged(bundle: Bundle, look: _Look, logits: list[float]) -> dict[str, Any]:
    card = bundle.card
    result = {name: look.row.get(name) for name in SCHEMA if name not in BOX}
    result |= {"faces": len(look.faces), "error": look.error, "face_score": None}
    if not look.faces:
        nothing = "error" if look.error else "no_face"
        return result | {"verdict": nothing, "picture_verdict": nothing}
    judged = judge_faces(bundle, look.faces, logits)
    whole = Report(path=look.row["path"], verdict="error")
    judge_picture(card, judged, logits, whole)
    result |= dict(zip(BOX, look.faces[0].box, strict=True))
    counted = [z for face, z in zip(judged, logits, strict=True) if face.quality.size_px >= card.min_face_px] or logits
    top = max(counted)
    return result | {
        "face_score": look.faces[0].score,
        "logit": logits[0],
        "p_fake": p_fake(card.level("face"), logits[0]),
        "verdict": judged[0].verdict,
        "picture_logit": top,
        "picture_p_fake": p_fake(card.level("picture", len(counted)), top),
        "picture_verdict": whole.verdict,
    }


def judge_faces(bundle: Bundle, faces: list[Face], logits: list[float]) -> list[FaceResult]:
    """Verdicts of faces, by the same function as ``unmask analyze``."""
    return [
        judge_face(bundle.card, i, face.box, z, Quality(size_px=face.size, sharpness=0.0, detection=face.score))
        for i, (face, z) in enumerate(zip(faces, logits, strict=True))
    ]
