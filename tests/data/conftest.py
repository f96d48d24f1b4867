from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from data_samples import Plant, noise


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """``plant("set", "real/1.jpg", ...)``: a folder of small pictures (empty files for names of clips)."""

    def make(folder: str, *paths: str) -> Path:
        for number, path in enumerate(paths):
            file = tmp_path / folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix in {".jpg", ".png"}:
                Image.fromarray(noise(number)).save(file, quality=90)
            else:
                file.touch()
        return tmp_path / folder

    return make


@pytest.fixture(scope="session")
def astronaut() -> NDArray[np.uint8]:
    data = pytest.importorskip("skimage.data")
    picture: NDArray[np.uint8] = data.astronaut()
    return picture


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The real data sets."""
    folder = os.environ.get("UNMASK_DATA")
    if not folder:
        pytest.skip("UNMASK_DATA is not set")
    return Path(folder).resolve()
