"""The progress bars: on stderr, in a terminal only."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class NoProgress:
    """What a pipe gets: nothing."""

    shown = False

    def start(self, name: str) -> Callable[[float], None]:  # noqa: ARG002
        """See :meth:`Progress.start`."""
        return lambda share: None  # noqa: ARG005

    def done(self, name: str) -> None:
        """See :meth:`Progress.done`."""

    @contextmanager
    def paused(self) -> Iterator[None]:
        """See :meth:`Progress.paused`."""
        yield

    def close(self) -> None:
        """See :meth:`Progress.close`."""


class Progress:
    """One bar for all inputs; a long clip moves it while it is being analysed.

    Args:
        total: Number of inputs.
    """

    shown = True

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns: list[Any] = [TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn()]
        if total > 1:
            columns.append(TextColumn("{task.fields[count]}"))
        columns.append(TimeRemainingColumn())
        # stdout is never taken over: what is printed there may go into a file.
        self._bar = RichProgress(
            *columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._total = total
        self._finished = 0
        self._shares: dict[str, float] = {}
        self._lock = threading.Lock()
        self._task = self._bar.add_task("", total=total, count=f"0/{total}")
        self._bar.start()

    def start(self, name: str) -> Callable[[float], None]:
        """An input is begun.

        Returns:
            To be called with the share of it that is done, in [0, 1], from any thread.
        """

        def advance(share: float) -> None:
            with self._lock:
                self._shares[name] = share
                self._show(name)

        advance(0.0)
        return advance

    def done(self, name: str) -> None:
        """An input is finished."""
        with self._lock:
            self._shares.pop(name, None)
            self._finished += 1
            self._show(name)

    def _show(self, name: str) -> None:
        self._bar.update(
            self._task,
            description=_short(name),
            completed=min(self._total, self._finished + sum(self._shares.values())),
            count=f"{self._finished}/{self._total}",
        )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Take the bar away while something is printed."""
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()


def make_progress(total: int | None, *, quiet: bool) -> NoProgress | Progress:
    """A bar where somebody sees it: stderr is a terminal and the user did not ask for quiet."""
    if quiet or total is None or not sys.stderr.isatty():
        return NoProgress()
    return Progress(total)


class Bar:
    """One bar for work that counts its own parts; see :class:`Progress` for inputs one by one.

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

            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self._words, total=None)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._bar.stop()

    def begin(self, words: str) -> Callable[[int, int], None]:
        """Another part of the work begins, with a count of its own."""
        if self._shown:
            self._bar.reset(self._task, total=None, description=words)
        return self.advance

    def advance(self, done: int, total: int) -> None:
        """So many of all are done."""
        if self._shown:
            self._bar.update(self._task, completed=done, total=total)


def _short(name: str, width: int = 32) -> str:
    from unmask.render.text import printable

    shown = printable(name)
    return shown if len(shown) <= width else f"…{shown[-width + 1 :]}"
