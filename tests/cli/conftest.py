"""The real command in a process of its own, and real media for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cli_support import ROOT, environment

PORTRAIT = ROOT / "src" / "unmask" / "data" / "astronaut.jpg"

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def unmask(tmp_path: Path) -> Command:
    """Run ``unmask ARGUMENTS`` in an empty folder."""

    def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        settings = {
            "cwd": tmp_path,
            "capture_output": True,
            "text": True,
            "timeout": 120,
            "env": environment(),
        } | options
        return subprocess.run([sys.executable, "-m", "unmask", *map(str, arguments)], check=False, **settings)

    return run


@pytest.fixture
def portrait() -> Path:
    return PORTRAIT


@pytest.fixture(scope="session")
def faceless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smooth gradient with some grain."""
    path = tmp_path_factory.mktemp("media") / "faceless.png"
    rows = np.linspace(40, 200, 300)[:, None, None] + np.random.default_rng(1).normal(0, 3, (300, 400, 3))
    Image.fromarray(rows.clip(0, 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of the portrait under a moving camera, faked from 0.8 s on."""
    return _make(tmp_path_factory.mktemp("media") / "clip.mp4", "--seconds", "2", "--fake", "0.8-2")


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Path:
    """Two minutes: the short one over and over."""
    sys.path.insert(0, str(ROOT / "examples"))
    import make_clip

    path = tmp_path_factory.mktemp("media") / "long.mp4"
    make_clip.repeat(clip, path, 60)
    return path


def _make(path: Path, *options: str) -> Path:
    script = ROOT / "examples" / "make_clip.py"
    subprocess.run([sys.executable, str(script), str(path), *options], check=True, timeout=120)
    return path
