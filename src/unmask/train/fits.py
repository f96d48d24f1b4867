"""Whether a recipe, a run folder and data belong together; no torch here, so that a refusal comes at once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import polars as pl

from unmask.base.errors import DataError
from unmask.base.files import sha256_of
from unmask.data.manifest import Manifest
from unmask.train.recipe import Recipe

_YUNET = "yunet:"
_AND, _UNKNOWN = " and ", "unknown"
"""How :func:`unmask.data.manifest.join` writes facts that differ, or that one of the manifests does not state."""

_ROW = ("path", "label", "split", "source", "method", "x0", "y0", "x1", "y1")


def require_faces(recipe: Recipe, manifest: Manifest) -> None:
    """Raise where the boxes of the data are of another face detector than the bundle would use.

    Manifests that do not say how their faces were found pass.

    Raises:
        DataError: They are.
    """
    wanted, there = recipe.crop.faces, manifest.about.get("faces", _UNKNOWN)
    kinds = [kind for kind in there.split(_AND) if kind != _UNKNOWN]
    detectors = [one for one in manifest.about.get("detector", "").split(_AND) if one not in ("", _UNKNOWN)]
    if wanted == there or all(kind == wanted or _same_file(wanted, kind, detectors) for kind in kinds):
        return
    raise DataError(
        f"the recipe {recipe.name} is for faces found by {wanted!r}, those of the data were found by {there!r}: "
        "a network is to see in use what it was trained on",
        hint=f"Make the data anew: unmask data prepare ... --faces {wanted}"
        + (f"; or train for the faces that are there: --set crop.faces={there}" if len(kinds) == 1 else ""),
    )


def _same_file(wanted: str, there: str, detectors: list[str]) -> bool:
    """Whether both name a YuNet file and it is the same one, wherever it lies now."""
    if not (wanted.startswith(_YUNET) and there.startswith(_YUNET)):
        return False
    file = Path(wanted.removeprefix(_YUNET)).expanduser()
    if not (detectors and file.is_file()):
        return False
    found = sha256_of(file)
    return all(found.startswith(start) for start in detectors)


def fingerprint(manifest: Manifest) -> str:
    """A hash of the rows that are trained and validated on, in whatever order and place they lie."""
    chosen = manifest.table.filter(pl.col("split").is_in(["train", "val"]) & pl.col("x0").is_not_null())
    lines = sorted(json.dumps(row) for row in chosen.select(_ROW).rows())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
