"""Ctrl-C and SIGTERM: the analysis under way is given up, what is done is kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether the user wants an end.

    A signal raises ``KeyboardInterrupt`` only within :meth:`interruptible`; elsewhere it is noted, so that no
    line is cut in two while it is written. A second signal always raises.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._may_raise = False

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        """Take the signals over for the time of the block (in the main thread; elsewhere nothing changes)."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """A block that may be left at any point."""
        self._may_raise = True
        try:
            self.check()
            yield
        finally:
            self._may_raise = False

    def check(self, *_: Any) -> None:
        """Raise if an end is wanted; also given to long work that runs in another thread, as its progress call."""
        if self.wanted:
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: object) -> None:  # noqa: ARG002
        again, self.wanted = self.wanted, True
        if self._may_raise or again:
            raise KeyboardInterrupt
