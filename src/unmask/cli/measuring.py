"""What ``unmask evaluate`` and ``unmask calibrate`` share: their data, their bar."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from unmask.base.errors import UsageError

if TYPE_CHECKING:
    from unmask.data.manifest import Manifest


def read_manifests(files: list[Path], roots: list[str]) -> Manifest:
    """The manifests as one; ``roots`` as ``NAME=DIR``, each for the manifests that have a root of that name.

    Raises:
        DataError: One is not a manifest, or together they break its rules.
        UsageError: A root is not ``NAME=DIR``.
    """
    from unmask.cli.data import parse_roots
    from unmask.data.manifest import Manifest, join

    moved = parse_roots(roots)
    if len(files) == 1:
        return Manifest.read(files[0], moved)
    read = [Manifest.read(file) for file in files]
    unknown = set(moved) - {name for one in read for name in one.roots}
    if unknown:
        raise UsageError(f"no manifest has a root named {', '.join(sorted(unknown))}", hint="Check --root")
    return join(
        Manifest(one.table, one.roots | {name: folder for name, folder in moved.items() if name in one.roots})
        for one in read
    )


class Bar:
    """A progress bar on stderr, in a terminal only.

    Args:
        words: What is being done.
        quiet: No bar.
    """

    def __init__(self, words: str, *, quiet: bool = False) -> None:
        self._words = words
        self._shown = not quiet and sys.stderr.isatty()

    def __enter__(self) -> Bar:
        if self._shown:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn(self._words), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("", total=None)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._bar.stop()

    def advance(self, done: int, total: int) -> None:
        """So many of all are done."""
        if self._shown:
            self._bar.update(self._task, completed=done, total=total)
