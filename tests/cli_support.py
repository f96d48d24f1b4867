"""The environment that the command is tested in."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment(**changes: str) -> dict[str, str]:
    """The environment of a plain terminal-less user."""
    kept = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "UNMASK_DEBUG", "DISPLAY")}
    return kept | {"NO_COLOR": "1"} | changes
