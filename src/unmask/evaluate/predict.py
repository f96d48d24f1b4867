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

from unmask.base.errors import DataError, UnmaskError
from unmask.base.ort import usable_cpus
from unmask.data.look import choose_face
from unmask.data.manifest import BOX, Manifest
from unmask.faces import Face, FaceBackend, load_backend
from unmask.faces.crop import crop_face
from unmask.media import open_media
from unmask.model import Bundle, Card, decide, p_fake

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
    "picture_faces": pl.Int32,
    "picture_logit": pl.Float64,
    "picture_p_fake": pl.Float64,
    "picture_verdict": pl.String,
    "error": pl.String,
}
"""Column -> type. ``logit``, ``p_fake`` and ``verdict`` are of one face, the one that the row is about, and null, null
and ``no_face`` (or ``error``) without one; ``picture_*`` are of the whole picture: the highest of its
``picture_faces``, those of its ``faces`` that are large enough for the card."""

Change = Callable[[NDArray[np.uint8], Face], NDArray[np.uint8]]

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
        change: Applied to the upright picture (H×W×3 uint8 RGB; its size stays) before the crop; also gets the face
            that the row is about.
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
    table = judge(pl.DataFrame(scored, schema=SCHEMA), bundle.card)
    _check(table)
    return table


def judge(predictions: pl.DataFrame, card: Card) -> pl.DataFrame:
    """Scores and verdicts of the logits that a table holds, by the rules of ``unmask.analysis``.

    So thresholds can be changed without running the network again; ``card.min_face_px`` must be the one that the table
    was made with.
    """
    face = card.level("face")

    def one(row: dict[str, Any]) -> dict[str, Any]:
        if row["logit"] is None:
            kept = row["verdict"] or "no_face"
            return {"p_fake": None, "verdict": kept, "picture_p_fake": None, "picture_verdict": kept}
        p = p_fake(face, row["logit"])
        small = _size(*(row[corner] for corner in BOX)) < card.min_face_px
        picture = card.level("picture", max(1, row["picture_faces"]))
        whole = p_fake(picture, row["picture_logit"])
        return {
            "p_fake": p,
            "verdict": "inconclusive" if small else decide(face, p),
            "picture_p_fake": whole,
            "picture_verdict": decide(picture, whole) if row["picture_faces"] else "inconclusive",
        }

    names = ("p_fake", "verdict", "picture_p_fake", "picture_verdict")
    rows = [one(row) for row in predictions.iter_rows(named=True)]
    return predictions.with_columns(pl.Series(name, [row[name] for row in rows], SCHEMA[name]) for name in names)


def _size(x0: float, y0: float, x1: float, y1: float) -> float:
    """Shorter side of a box, rounded as reports round it."""
    return round(min(x1 - x0, y1 - y0), 1)


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
                image = change(image, look.faces[0])
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
        yield _logits(bundle.card, look, list(islice(logits, len(look.crops))))


def _logits(card: Card, look: _Look, logits: list[float]) -> dict[str, Any]:
    result = {name: look.row.get(name) for name in SCHEMA if name not in BOX}
    result |= {"faces": len(look.faces), "error": look.error, "face_score": None, "picture_faces": 0}
    if not look.faces:
        return result | {"verdict": "error" if look.error else "no_face"}
    big = [z for face, z in zip(look.faces, logits, strict=True) if _size(*face.box) >= card.min_face_px]
    result |= dict(zip(BOX, look.faces[0].box, strict=True))
    return result | {
        "face_score": look.faces[0].score,
        "logit": logits[0],
        "picture_faces": len(big),
        "picture_logit": max(big or logits),
    }
