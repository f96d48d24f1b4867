"""One run at a time in a run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from unmask.base.errors import DataError
from unmask.train.names import LOCK


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Make a run folder and hold it: whoever else asks for it meanwhile is refused at once.

    The system lets go of it when the process ends, however it ends: a run that was killed blocks nobody. May be nested
    in one thread. A folder that was made here, and that holds nothing in the end, is taken away again.

    Args:
        out: The run folder.

    Raises:
        DataError: Another process, or another thread of this one, holds it.
    """
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    file = out / LOCK
    # One object for each path, which counts how often it is held: a command holds the folder around the run itself.
    lock = FileLock(file.resolve(), is_singleton=True)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise DataError(
            "is in use: another process trains into it",
            path=str(out),
            hint="Wait for its end, end it, or name another folder",
        ) from error
    try:
        yield
    finally:
        if made and [one.name for one in out.iterdir()] == [LOCK]:
            # While it is held: whoever waits at the file that goes away is refused, not let in.
            with suppress(OSError):
                file.unlink()
                out.rmdir()
        lock.release()
