from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_samples import Plant

pytest.importorskip("polars", reason="needs the extra [data]")

import polars as pl

from unmask.cli import main
from unmask.data import PORTRAIT
from unmask.data.manifest import SCHEMA, Manifest
from unmask.data.sheet import contact_sheet

BAND = 28 + 128 + 18 + 6
FACE = {"x0": 176.0, "y0": 60.0, "x1": 271.0, "y1": 174.0}


def row(path: str, **changes: Any) -> dict[str, Any]:
    base = {"root": "src", "path": path, "label": 0, "split": "train", "group": path, "source": "s", "method": "none"}
    return dict.fromkeys(SCHEMA) | base | changes


def manifest(folder: Path, *rows: dict[str, Any]) -> Manifest:
    return Manifest(pl.DataFrame(list(rows), schema=SCHEMA), {"src": folder})


def test_a_band_a_source_and_label(plant: Plant, tmp_path: Path) -> None:
    folder = plant("set", *(f"{i}.png" for i in range(5)))
    (folder / "face.jpg").write_bytes(PORTRAIT.read_bytes())
    (folder / "4.png").write_bytes(b"broken")
    rows = [
        row("face.jpg", **FACE),
        row("0.png", label=1, method="gan"),
        row("1.png", label=1, method="swap\x1b[31m" + "long " * 40),
        row("2.png", source="другой"),
        row("gone.png", source="z"),
        row("4.png", source="z"),
    ]
    file = tmp_path / "sheet.png"
    assert contact_sheet(manifest(folder, *rows), file, each=4) == 0
    pixels = np.asarray(Image.open(file).convert("RGB"), np.int16)
    assert pixels.shape == (4 * BAND + 6, 6 + 4 * 134, 3)
    # The face fills its place: it is the crop that training sees, not the picture.
    portrait = Image.open(PORTRAIT)
    side = 1.3 * (FACE["y1"] - FACE["y0"])
    left, top = (FACE["x0"] + FACE["x1"] - side) / 2, (FACE["y0"] + FACE["y1"] - side) / 2
    crop = portrait.resize((128, 128), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    assert np.abs(pixels[28:156, 6:134] - np.asarray(crop, np.int16)).mean() < 2
    # Nothing is drawn where there are no more rows.
    assert np.ptp(pixels[28:156, 140:], axis=(0, 1)).max() == 0


def test_methods_in_turn_and_groups_apart(plant: Plant, tmp_path: Path) -> None:
    folder = plant("set", *(f"{i}.png" for i in range(12)))
    rows = [row(f"{i}.png", label=1, group=str(i // 3), method="rare" if i == 11 else "common") for i in range(12)]
    from unmask.data.sheet import _choose

    chosen = _choose(rows, 4, seed=0)
    assert len({one["group"] for one in chosen}) == 4
    spread = [row(f"{i}", group=f"{i}", method="rare" if i == 7 else "common") for i in range(100)]
    assert "rare" in {one["method"] for one in _choose(spread, 4, seed=1)}
    assert (
        contact_sheet(manifest(folder, *(row("0.png", source=f"{i:03d}") for i in range(1))), tmp_path / "a.png") == 0
    )


def test_more_sources_than_fit_are_counted(plant: Plant, tmp_path: Path) -> None:
    folder = plant("set", *(f"{i}.png" for i in range(63)))
    rows = [row(f"{i}.png", source=f"{i:03d}") for i in range(63)]
    assert contact_sheet(manifest(folder, *rows), tmp_path / "sheet.png", each=1) == 3


def test_show_writes_it_beside_the_manifest(plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    src = plant("set", *(f"{kind}/{i}.png" for kind in ("real", "fake") for i in range(3)))
    assert main(["data", "prepare", "auto", str(src), str(tmp_path / "out"), "--faces", "none", "--csv"]) == 0
    file = str(tmp_path / "out/manifest.csv")
    assert capsys.readouterr().err == ""
    assert main(["data", "show", file]) == 0
    assert f"contact sheet: {file}.sheet.png" in capsys.readouterr().out
    with Image.open(f"{file}.sheet.png") as sheet:
        assert sheet.height == 2 * BAND + 6
    # Nothing of the user's is overwritten, and a wrong name is told at once.
    assert main(["data", "show", file, "--sheet", f"{file}.sheet.png"]) == 2
    assert main(["data", "show", file, "--sheet", str(tmp_path / "sheet.jpg")]) == 2
    assert main(["data", "show", file, "--no-sheet"]) == 0
    assert "contact sheet" not in capsys.readouterr().out
    one_sided = plant("other", "real/1.png")
    assert main(["data", "prepare", "auto", str(one_sided), str(tmp_path / "one"), "--faces", "none"]) == 0
    # What training will refuse is said now.
    assert "the split 'train' has one class only: all rows are real" in capsys.readouterr().err
    (src / "real/1.png").unlink()
    assert main(["data", "show", file, "--sheet", str(tmp_path / "new.png")]) == 0
    assert "1 files are not there, first" in capsys.readouterr().err
    assert (tmp_path / "new.png").is_file()
