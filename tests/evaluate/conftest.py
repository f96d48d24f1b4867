"""A small data set with a bundle that can tell it apart: the redder a picture, the more fake."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from support import SIZE, make_card, make_graph
from unmask.model import Bundle, load_bundle, pack

if TYPE_CHECKING:
    from unmask.data.manifest import Manifest


@pytest.fixture
def bundle_file(tmp_path: Path) -> Path:
    out = tmp_path / "tiny.onnx"
    pack(make_graph().SerializeToString(), make_card(), out)
    return out


@pytest.fixture
def bundle(bundle_file: Path) -> Bundle:
    return load_bundle(bundle_file, device="cpu", threads=1)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """60 pictures of two sources (one without a face), and 4 clips of 4 frames; label 1 is redder."""
    pl = pytest.importorskip("polars")
    from unmask.data.manifest import SCHEMA, Manifest

    rng = np.random.default_rng(0)
    rows = []

    def add(name: str, red: float, label: int, **more: object) -> None:
        image = rng.integers(0, 60, (SIZE * 2, SIZE * 2, 3), dtype=np.uint8)
        image[:, :, 0] = np.clip(rng.normal(red, 20, image.shape[:2]), 0, 255)
        (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "src" / name)
        box = {"x0": 20.0, "y0": 20.0, "x1": 44.0, "y1": 44.0, "face_score": 0.9}
        method = "none" if label == 0 else "red"
        facts = {"root": "src", "path": name, "label": label, "split": "val", "group": name, "method": method}
        rows.append(facts | box | {"width": SIZE * 2, "height": SIZE * 2} | more)

    for i in range(60):
        label = i % 2
        add(f"stills/{i:02}.png", 70 + 110 * label + float(rng.normal(0, 30)), label, source="ab"[i % 4 // 2])
    rows[1] |= dict.fromkeys(("x0", "y0", "x1", "y1", "face_score"))
    for clip in range(4):
        for frame in range(4):
            clip_facts = {"clip": f"{clip}.mp4", "group": f"clip {clip}", "time_s": frame / 3, "source": "clips"}
            add(f"clips/{clip}/{frame}.png", 60 + 130 * (clip % 2), clip % 2, **clip_facts)
    return Manifest(pl.DataFrame(rows, schema=SCHEMA), {"src": tmp_path / "src"})
