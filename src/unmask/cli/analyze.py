"""``unmask analyze``: its options, checked; the work is done by :mod:`unmask.cli.session`."""

from __future__ import annotations

import logging
import math
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unmask.base.errors import UnmaskError, UsageError
from unmask.cli.app import FAILED, INTERRUPTED, OK, USAGE, say
from unmask.cli.progress import make_progress
from unmask.cli.stopping import Stop

if TYPE_CHECKING:
    from unmask.faces import Box
    from unmask.media import InputItem

app = typer.Typer(add_completion=False)

_EPILOG = """[bold]Examples[/bold]

unmask analyze photo.jpg

unmask analyze holiday/ --html report.html --annotate marked/

unmask analyze clip.mp4 --json | jq .tracks

find . -name '*.mp4' | unmask analyze --files-from - -o result.csv

curl -s ADDRESS | unmask analyze -

A score is evidence, not proof. Exit code: 0 all done, 1 some inputs failed, 2 wrong usage, 130 interrupted.
"""

_OUTPUT, _LOOK, _RUN = "What comes out", "How it looks at a file", "How it runs"


@app.command(epilog=_EPILOG)
def analyze(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Pictures, clips, folders, patterns; - reads one file from stdin."),
    ] = None,
    files_from: Annotated[
        str | None, typer.Option(metavar="FILE", help="Read further paths from a file, one a line; - is stdin.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON line an input as it is ready.", rich_help_panel=_OUTPUT)
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Write .jsonl or .csv.", rich_help_panel=_OUTPUT),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a report to look at.", rich_help_panel=_OUTPUT)
    ] = None,
    annotate: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write annotated pictures and clips.", rich_help_panel=_OUTPUT),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write report, crops and maps of each input.", rich_help_panel=_OUTPUT),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No table, no progress, no summary.", rich_help_panel=_OUTPUT)
    ] = False,
    fps: Annotated[
        float,
        typer.Option(metavar="N", help="Frames a second of a clip that are looked at.", rich_help_panel=_LOOK),
    ] = 3.0,
    max_frames: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="At most so many, spread over the clip.", rich_help_panel=_LOOK),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(metavar="X0,Y0,X1,Y1", help="A face that is not found, in pixels.", rich_help_panel=_LOOK),
    ] = None,
    faces: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help="How faces are found: default, dlib, yunet:FILE, or none (the picture is the face). "
            "Default: as the model was trained.",
            rich_help_panel=_LOOK,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="A bundle: a file, a run folder, https://… or hf://OWNER/NAME/FILE. Default: the packaged one.",
            rich_help_panel=_LOOK,
        ),
    ] = None,
    sha256: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="The SHA-256 that the model must have.", rich_help_panel=_LOOK),
    ] = None,
    device: Annotated[
        str,
        typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1 ... See `unmask devices`.", rich_help_panel=_RUN),
    ] = "auto",
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", min=1, help="Inputs at a time.", rich_help_panel=_RUN)
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Threads of a network. Default: all processors.", rich_help_panel=_RUN),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Print tracebacks.", rich_help_panel=_RUN)] = False,
) -> int:
    """Judge the faces in pictures and clips: real, machine-made, or nobody can tell."""
    set_up_logging(debug)
    given = list(paths or ())
    if not given and files_from is None:
        raise UsageError(
            "nothing to analyze", hint="Name a picture, a clip or a folder, or see `unmask analyze --help`"
        )
    if "-" in given and (files_from == "-" or given.count("-") > 1):
        raise UsageError("stdin can be read only once", hint="Give - once, or --files-from -")
    if not (0 < fps <= 1000):
        raise UsageError(f"--fps {fps:g} makes no sense", hint="Give a number above 0 and up to 1000, for instance 3")
    area = parse_box(box) if box is not None else None

    from unmask.cli.outputs import Outputs
    from unmask.cli.session import Look, go_through

    outputs = Outputs(as_json=as_json, out=out, html=html, annotate=annotate, save=save, quiet=quiet)
    with Stop().listening() as stop, ExitStack() as stack:
        with stop.interruptible():
            try:
                from unmask.analysis import Detector
                from unmask.model.fetch import locate

                if sha256 is not None and model is None:
                    raise UsageError("--sha256 goes with --model", hint="Name the model too")
                place = locate(model, sha256, quiet=quiet) if model is not None else None
                detector = Detector(
                    place.path if place else None,
                    faces=faces,
                    device=device,
                    threads=threads,
                    sha256=place.sha256 if place else None,
                )
            except UnmaskError as error:
                # Without a detector no input can be judged: the call has to change, whatever the reason.
                raise UsageError(error.message, hint=error.hint, path=error.path) from error
        with stop.interruptible():
            items = _items(given, files_from, stack)
            progress = make_progress(len(items) if isinstance(items, list) else None, quiet=quiet)
        stack.callback(progress.close)
        with outputs.opened(detector.card.map_range):
            counts = go_through(
                detector,
                items,
                outputs,
                look=Look(fps, max_frames, area),
                jobs=jobs,
                stop=stop,
                progress=progress,
            )
    return _close(counts, outputs.failures, stopped=stop.wanted, quiet=quiet)


def parse_box(text: str) -> Box:
    """``X0,Y0,X1,Y1`` in pixels.

    Raises:
        UsageError: It is not a box.
    """
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        x0 = y0 = x1 = y1 = math.nan
    if not (x0 < x1 and y0 < y1 and all(map(math.isfinite, (x0, y0, x1, y1)))):
        raise UsageError(
            f"--box {text!r} is not a box", hint="Give X0,Y0,X1,Y1 in pixels, left, top, right, bottom: 40,30,200,220"
        )
    return (x0, y0, x1, y1)


def _items(paths: list[str], files_from: str | None, stack: ExitStack) -> Iterable[InputItem]:
    """The inputs; all of them at once only where a bar has to know how many they are."""
    from unmask.media import find_inputs

    lines = _lines_of(files_from, stack) if files_from is not None else None
    found: Iterator[InputItem] = find_inputs(paths, files_from=lines)
    return list(found) if sys.stderr.isatty() and sys.stdin.isatty() else found


def _lines_of(name: str, stack: ExitStack) -> Iterable[str]:
    if name == "-":
        return sys.stdin
    try:
        return stack.enter_context(Path(name).open(encoding="utf-8", errors="surrogateescape"))
    except OSError as error:
        raise UsageError(f"cannot read the list: {error.strerror}", hint="Check --files-from", path=name) from error


def set_up_logging(debug: bool) -> None:
    """Messages of every package go to stderr; how many depends on ``--debug``."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.DEBUG if debug else logging.WARNING, format="%(name)s: %(message)s"
    )
    # Chatter of other people's packages at this level helps nobody to find a fault in a file.
    for name in ("PIL", "libav", "matplotlib"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if not debug:
        warnings.simplefilter("ignore")


def _close(counts: Counter[str], failures: int, *, stopped: bool, quiet: bool) -> int:
    total = sum(counts.values())
    if stopped:
        say(f"interrupted after {total} input{'' if total == 1 else 's'}; what is done was kept")
        return INTERRUPTED
    if not total:
        say("the list names no input")
        return USAGE
    if counts["error"] and not quiet and total > 1:
        say(f"{counts['error']} of {total} inputs could not be judged")
    return FAILED if counts["error"] or failures else OK
