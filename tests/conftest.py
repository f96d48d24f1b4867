"""What every test may count on: data sets where there are any, and a run for what the light environment cannot do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
NEED_EXTRAS = ("data", "evaluate", "train")
"""Folders whose tests skip, wholly or in part, where the extras are missing."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--only-extras",
        action="store_true",
        help=f"only tests marked train and those in {', '.join(NEED_EXTRAS)}: what the light environment cannot run",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not os.environ.get("UNMASK_DATA"):
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(pytest.mark.skip(reason="$UNMASK_DATA is not set"))
    if not config.getoption("--only-extras"):
        return
    kept, dropped = [], []
    for item in items:
        room = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
        wanted = room in NEED_EXTRAS or item.get_closest_marker("train") is not None
        (kept if wanted else dropped).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=dropped)
