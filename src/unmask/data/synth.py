"""A small training set out of the portrait that the package carries, so that everything can be tried on a fresh clone.

It shows one person and one kind of fake: good to see a training run end well, worthless to measure a detector with.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask import __version__
from unmask.base.errors import DataError, UsageError
from unmask.base.files import write_bytes, write_text
from unmask.data.blend import self_blend_masked
from unmask.data.items import NO_METHOD, Item
from unmask.data.prepare import Summary, prepare
from unmask.data.splits import assign_splits
from unmask.data.views import before_background, portrait, view

SOURCE, METHOD = "synth", "self-blend"
_MARK = "synth.json"
_TRIES = 6

Picture = NDArray[np.uint8]


def synth(
    out: Path,
    *,
    pairs: int = 160,
    seed: int = 0,
    fraction: float = 0.2,
    faces: str = "default",
    device: str = "auto",
    jobs: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Make ``out/pictures/{real,fake}/*.jpg`` and ``out/manifest.parquet``.

    A real picture is a view of the portrait (turned, warped, mirrored, other light, other background); its fake is a
    self-blend of the same view. The two form a group, so they are never on two sides of a split. The same arguments
    give the same pictures; a run that was interrupted goes on when it is given the same ``out``.

    Args:
        out: A new folder, or one that a run with the same arguments has begun.
        pairs: Real pictures, and as many fakes.
        seed: Source of all chance.
        fraction: Share of the pairs for validation, and for test.
        faces, device, jobs: See :func:`unmask.data.prepare.prepare`, which finds the faces.
        on_progress: Called with (done, all) pictures, drawn and looked at.

    Raises:
        UsageError: ``pairs`` is too small for three splits.
        DataError: ``out`` holds something else.
    """
    if not 6 <= pairs <= 100_000:
        raise UsageError(f"{pairs} pairs", hint="Use 6 to 100000: each split needs some")
    _claim(out, {"pairs": pairs, "seed": seed, "fraction": fraction, "unmask": __version__})
    pictures = out / "pictures"
    source = portrait()
    items = []
    for number in range(pairs):
        real, fake = make_pair(source, np.random.default_rng([seed, number]))
        quality = np.random.default_rng([seed, number, 1]).integers(86, 97, 2)
        for label, pixels in enumerate((real, fake)):
            path = f"{('real', 'fake')[label]}/{number:05d}.jpg"
            content = BytesIO()
            Image.fromarray(pixels).save(content, "JPEG", quality=int(quality[label]))
            write_bytes(pictures / path, content.getvalue())
            items.append(Item(path, label, f"{SOURCE}-{number:05d}", SOURCE, METHOD if label else NO_METHOD))
            if on_progress:
                on_progress(len(items), 4 * pairs)
    rows = [
        (item.path, item.label, item.split, item.group, item.source, item.method)
        for item in assign_splits(items, fraction=fraction, seed=seed)
    ]
    text = StringIO()
    csv.writer(text).writerows([("path", "label", "split", "group", "source", "method"), *rows])
    write_text(pictures / "splits.csv", text.getvalue())
    return prepare(
        "splits",
        pictures,
        out,
        faces=faces,
        device=device,
        jobs=jobs,
        # They all show one face: as near-duplicates they would be one group.
        near_duplicates=None,
        on_progress=(lambda done, _: on_progress(2 * pairs + done, 4 * pairs)) if on_progress else None,
    )


def make_pair(source: Image.Image, rng: np.random.Generator) -> tuple[Picture, Picture]:
    """A real picture and its fake, each before a background of its own."""
    real, points = view(source, rng)
    fake = real
    for _ in range(_TRIES):
        fake, mask = self_blend_masked(real, points, rng)
        inside = mask > 128
        # Now and then a blend is so small or so like that nobody could find it; a set of a few hundred needs others.
        if inside.mean() > 0.01 and np.abs(fake.astype(np.int16) - real)[inside].mean() > 4:
            break
    return before_background(real, rng), before_background(fake, rng)


def _claim(out: Path, settings: dict[str, object]) -> None:
    """Take a folder that is new, empty, or of the same settings."""
    mark = out / _MARK
    if mark.is_file():
        try:
            before = json.loads(mark.read_text(encoding="utf-8"))
        except ValueError:
            before = None
        if before != settings:
            raise DataError(
                "holds a set that was made with other settings", path=str(out), hint="Choose another OUT, or remove it"
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError("is not empty", path=str(out), hint="Choose another OUT: nothing is overwritten")
    write_text(mark, json.dumps(settings) + "\n")
