"""Decoding beside the work: an iterator that runs in a thread of its own, a few items ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")

_END = object()


def run_ahead(items: Iterator[T], ahead: int) -> Generator[T, None, None]:
    """Yield ``items`` in order while a thread fetches up to ``ahead`` of them in advance.

    An error of the iterator is raised here, at its place. When the consumer stops early (``close()``, an exception,
    garbage collection), the thread ends and the iterator is closed before this generator returns.
    """
    waiting: queue.Queue[object] = queue.Queue(maxsize=max(1, ahead))
    stop = threading.Event()
    failure: list[BaseException] = []

    def put(item: object) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item):
                    break
        except BaseException as error:  # handed to the consumer, who raises it
            failure.append(error)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()
            put(_END)

    thread = threading.Thread(target=work, name="unmask-decode", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            yield item  # type: ignore[misc]
        if failure:
            raise failure[0]
    finally:
        stop.set()
        # A full queue would keep the thread waiting for up to its time-out.
        while not waiting.empty():
            waiting.get_nowait()
        thread.join()
