"""The loop behind ``unmask analyze``: inputs in, results out as they are ready, whatever happens in between."""

from __future__ import annotations

import logging
import traceback
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unmask.cli.progress import NoProgress, Progress
from unmask.cli.stopping import Stop
from unmask.report import ErrorInfo, Report, Result

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unmask.analysis import Detector
    from unmask.cli.outputs import Outputs
    from unmask.faces import Box
    from unmask.media import InputItem

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """How each input is looked at; see :meth:`unmask.analysis.Detector.run`."""

    fps: float = 3.0
    max_frames: int | None = None
    box: Box | None = None


def go_through(
    detector: Detector,
    items: Iterable[InputItem],
    outputs: Outputs,
    *,
    look: Look,
    jobs: int,
    stop: Stop,
    progress: NoProgress | Progress,
) -> Counter[str]:
    """Analyse every input and write each result as soon as it is ready.

    With one job results come in the order of the inputs, with several in the order in which they are finished. A
    signal ends it early; what was written stays.

    Returns:
        How often each verdict came out.
    """
    counts: Counter[str] = Counter()

    # Where pictures are drawn too, the analysis is the first half of the work.
    whole = 0.5 if outputs.draws else 1.0

    def finish(item: InputItem, result: Result) -> None:
        with progress.paused():
            outputs.write(item, result)
        counts[result.report.verdict] += 1
        if outputs.draws:
            advance = progress.start(item.name)
            with stop.interruptible():
                outputs.draw(item, result, lambda share: advance(whole + (1 - whole) * share))
        progress.done(item.name)

    def analyze(item: InputItem) -> Result:
        advance = progress.start(item.name)

        def moved(share: float) -> None:
            stop.check()
            advance(whole * share)

        return _analyze(detector, item, look, moved)

    runner = _in_turn(items, analyze, stop) if jobs == 1 else _at_once(items, analyze, stop, jobs)
    try:
        for item, result in runner:
            finish(item, result)
    except KeyboardInterrupt:
        stop.wanted = True
    finally:
        runner.close()
    return counts


def _in_turn(
    items: Iterable[InputItem], analyze: Callable[[InputItem], Result], stop: Stop
) -> Generator[tuple[InputItem, Result], None, None]:
    source = iter(items)
    while True:
        with stop.interruptible():
            item = next(source, None)
            if item is None:
                return
            result = analyze(item)
        yield item, result


def _at_once(
    items: Iterable[InputItem], analyze: Callable[[InputItem], Result], stop: Stop, jobs: int
) -> Generator[tuple[InputItem, Result], None, None]:
    """Several inputs at a time; only a few are taken from ``items`` ahead, however many there are."""
    source = iter(items)
    running: dict[Future[Result], InputItem] = {}
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="unmask")
    more = True
    try:
        while more or running:
            with stop.interruptible():
                while more and len(running) < 2 * jobs:
                    item = next(source, None)
                    if item is None:
                        more = False
                        break
                    running[pool.submit(analyze, item)] = item
                done = wait(running, return_when=FIRST_COMPLETED).done if running else set()
            for future in done:
                yield running.pop(future), future.result()
    finally:
        # Work that goes on in a thread notices at its next step that nobody wants it.
        stop.wanted = stop.wanted or bool(running)
        pool.shutdown(wait=True, cancel_futures=True)


def _analyze(detector: Detector, item: InputItem, look: Look, progress: Callable[[float], None]) -> Result:
    """One input; whatever goes wrong with it becomes a report with the verdict ``error``."""
    if item.error is not None or item.source is None:
        return failed(item.name, item.error)
    try:
        return detector.run(
            item.source,
            name=item.name,
            fps=look.fps,
            max_frames=look.max_frames,
            box=look.box,
            progress=progress,
            on_error="report",
        )
    except Exception as error:  # a fault of ours must not cost the user the other files
        log.debug("".join(traceback.format_exception(error)))
        return failed(item.name, error)


def failed(name: str, error: Exception | None) -> Result:
    """The row of an input that could not be judged."""
    from unmask.base.errors import UnmaskError

    if isinstance(error, UnmaskError):
        message = f"{error.message}. {error.hint}" if error.hint else error.message
        info = ErrorInfo(code=error.code, message=message)
    else:
        info = ErrorInfo(code="internal", message=f"{type(error).__name__}: {error}")
    return Result(Report(path=name, verdict="error", error=info))
