"""Decoding in a thread: the same items, and no thread left behind."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_samples import make_clip
from unmask.base.errors import MediaError
from unmask.media import open_media
from unmask.media.ahead import run_ahead


def threads() -> int:
    return sum(t.name == "unmask-decode" for t in threading.enumerate())


def open_files(path: Path) -> int:
    links = Path("/proc/self/fd")
    if not links.exists():
        pytest.skip("no /proc on this system")
    found = 0
    for link in links.iterdir():
        try:
            found += link.resolve() == path.resolve()
        except OSError:
            continue
    return found


def test_items_come_in_order_and_at_most_so_many_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    ahead = 3
    for number in run_ahead(items(), ahead):
        time.sleep(0.001)
        # In the queue, in the thread's hand, and the one that the consumer holds.
        assert len(made) <= number + ahead + 2
    assert made == list(range(50))
    assert threads() == 0


def test_an_error_comes_at_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise MediaError("broken")

    stream = run_ahead(items(), 4)
    assert next(stream) == 1
    with pytest.raises(MediaError, match="broken"):
        next(stream)
    assert threads() == 0


@pytest.mark.parametrize("end", ["close", "drop", "leave", "raise"])
def test_stopping_early_ends_the_thread_and_frees_the_file(end: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(make_clip(frames=200, fps=25))
    media = open_media(path)
    frames = media.frames(None, ahead=2)
    next(frames)
    assert threads() == 1
    assert open_files(path) == 1
    if end == "close":
        frames.close()  # type: ignore[attr-defined]
    elif end == "drop":
        del frames
        gc.collect()
    elif end == "leave":
        media.close()
    else:
        with pytest.raises(RuntimeError), media:
            raise RuntimeError
    assert threads() == 0
    assert open_files(path) == 0


def test_an_iterator_that_is_never_started_starts_nothing() -> None:
    with open_media(make_clip(frames=5)) as media:
        media.frames(None, ahead=2)
        assert threads() == 0


def test_several_clips_at_once() -> None:
    data = make_clip(frames=40, fps=20)
    counts: list[int] = []

    def work() -> None:
        with open_media(data) as media:
            counts.append(len(list(media.frames(None, ahead=2))))

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert counts == [40] * 6
