"""Whether a recipe, a run folder and data belong together."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

pytest.importorskip("yaml", reason="needs the extra [train]")
pytest.importorskip("polars", reason="needs the extra [train]")

import polars as pl

from unmask.base.errors import DataError
from unmask.data.manifest import SCHEMA, Manifest, join
from unmask.train.fits import fingerprint, require_faces
from unmask.train.recipe import Recipe, load_recipe

ROWS = [
    dict.fromkeys(SCHEMA)
    | {"root": "src", "path": f"{split}{number}.png", "label": number % 2, "split": split, "group": f"{split}{number}"}
    | {"source": "a", "method": "swap" if number % 2 else "none", "width": 96, "height": 96}
    | {"x0": 20.0, "y0": 18.0, "x1": 76.0, "y1": 80.0 + number, "face_score": 0.9}
    for split in ("train", "val", "test")
    for number in range(4)
]


def made(faces: str | None, detector: str = "", root: str = "src", rows: list[dict[str, object]] = ROWS) -> Manifest:
    about = {"layout": "auto"} | ({"faces": faces, "detector": detector} if faces is not None else {})
    return Manifest(pl.DataFrame(rows, schema=SCHEMA), {"src": Path(root)}, about)


def asking(faces: str) -> Recipe:
    return load_recipe("own", [f"crop.faces={faces}"])


@pytest.mark.parametrize("faces", ["default", "dlib", "none", "yunet:own.onnx"])
def test_the_same_faces_fit(faces: str) -> None:
    require_faces(asking(faces), made(faces))
    require_faces(asking(faces), made(None))


@pytest.mark.parametrize(("wanted", "there"), [("dlib", "default"), ("default", "dlib"), ("default", "yunet:f.onnx")])
def test_faces_of_another_detector_are_refused(wanted: str, there: str) -> None:
    with pytest.raises(DataError, match=rf"found by '{wanted}'.*found by '{there}'") as caught:
        require_faces(asking(wanted), made(there))
    assert f"--faces {wanted}" in caught.value.hint
    assert f"--set crop.faces={there}" in caught.value.hint


def test_several_manifests_keep_how_their_faces_were_found() -> None:
    other = [row | {"path": f"b{row['path']}", "group": f"b{row['group']}"} for row in ROWS]
    together = join([made("default"), made("default", rows=other)])
    require_faces(asking("default"), together)
    with pytest.raises(DataError, match="found by 'default'"):
        require_faces(asking("dlib"), together)
    mixed = join([made("default"), made("dlib", rows=other)])
    for wanted in ("default", "dlib"):
        with pytest.raises(DataError, match="default and dlib"):
            require_faces(asking(wanted), mixed)
    require_faces(asking("dlib"), join([made(None), made("dlib", rows=other)]))


def test_a_yunet_file_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / "moved.onnx"
    file.write_bytes(b"network")
    start = hashlib.sha256(b"network").hexdigest()[:16]
    require_faces(asking(f"yunet:{file}"), made("yunet:/before/f.onnx", start))
    with pytest.raises(DataError):
        require_faces(asking(f"yunet:{file}"), made("yunet:/before/f.onnx", "0" * 16))
    with pytest.raises(DataError):
        require_faces(asking("yunet:gone.onnx"), made("yunet:/before/f.onnx", start))


def test_the_fingerprint_is_of_what_is_trained_and_validated_on() -> None:
    whole = fingerprint(made("default"))
    shuffled = random.Random(0).sample(ROWS, len(ROWS))
    assert fingerprint(made("default", rows=shuffled)) == whole, "the order is none of its matters"
    assert fingerprint(made("default", root="elsewhere")) == whole
    assert fingerprint(made("default", rows=ROWS[:8])) == whole, "nor are the test rows"
    for change in ({"label": 1}, {"split": "val"}, {"path": "other.png"}, {"x0": 21.0}, {"x0": None}):
        assert fingerprint(made("default", rows=[ROWS[0] | change, *ROWS[1:]])) != whole, change
    assert fingerprint(made("default", rows=ROWS[1:])) != whole
