"""``unmask evaluate``: measure bundles, and the detectors of others, on a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unmask.base.errors import UsageError
from unmask.cli.app import OK, say
from unmask.cli.measuring import Bar, load, read_manifests
from unmask.cli.options import Debug, Device, Jobs, Quiet, Roots, Threads
from unmask.cli.stopping import Stop

if TYPE_CHECKING:
    from unmask.evaluate.foreign import ForeignDetector
    from unmask.evaluate.session import Task
    from unmask.evaluate.store import Measured

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

_ROWS, _OTHERS, _FIGURES = "What is measured", "Detectors of others", "Figures"

_EPILOG = """[bold]Examples[/bold]

unmask evaluate default --data prepared/manifest.parquet --out figures/

unmask evaluate default run/bundle.onnx --data prepared/manifest.parquet --out both/

unmask evaluate default --data M --detector theirs.py:predict --detector-python their-env/bin/python --out figures/

unmask evaluate --from figures/predictions.parquet --out again/

A detector of others is a function from the path of a picture to p_fake in [0, 1], or to None where it finds no face.
"""


@app.command(epilog=_EPILOG)
def evaluate(
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="For report.html, metrics.json, predictions.parquet, plots/."),
    ],
    bundle: Annotated[
        list[str] | None,
        typer.Argument(metavar="BUNDLE", help="Model files; `default`: the one in the package.", show_default=False),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data", metavar="MANIFEST", help="Made by `unmask data prepare`; repeatable.", rich_help_panel=_ROWS
        ),
    ] = None,
    stored: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="A predictions.parquet: the figures are made again, without any model.",
            rich_help_panel=_ROWS,
        ),
    ] = None,
    split: Annotated[str, typer.Option(metavar="NAME", help="train, val or test.", rich_help_panel=_ROWS)] = "test",
    one_class: Annotated[
        bool,
        typer.Option(
            "--one-class",
            help="Measure rows that are all real, or all fake: no AUC then, and no accuracy.",
            rich_help_panel=_ROWS,
        ),
    ] = False,
    frames: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="At most so many frames a clip, spread evenly.", rich_help_panel=_ROWS),
    ] = 32,
    faces: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="manifest: its boxes; card: found anew as the bundle's card says, as `unmask analyze` does; "
            "or a face backend.",
            rich_help_panel=_ROWS,
        ),
    ] = "manifest",
    root: Roots = None,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE.py:FUNCTION",
            help="Measure this function too, in a process of its own; repeatable.",
            rich_help_panel=_OTHERS,
        ),
    ] = None,
    detector_python: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PYTHON",
            help="The interpreter that has what the detector needs; once for all detectors, or once for each.",
            rich_help_panel=_OTHERS,
        ),
    ] = None,
    detector_timeout: Annotated[
        float, typer.Option(metavar="S", min=0.1, help="Seconds that a call may take.", rich_help_panel=_OTHERS)
    ] = 60.0,
    detector_threshold: Annotated[
        float,
        typer.Option(metavar="P", min=0.0, max=1.0, help="From which p_fake on it says fake.", rich_help_panel=_OTHERS),
    ] = 0.5,
    draws: Annotated[
        int, typer.Option(metavar="N", min=0, help="Bootstrap resamples for the intervals.", rich_help_panel=_FIGURES)
    ] = 1000,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the bootstrap.", rich_help_panel=_FIGURES)] = 0,
    rounds: Annotated[
        int, typer.Option(metavar="N", min=0, help="Rounds of timing, in turns; 0: none.", rich_help_panel=_FIGURES)
    ] = 20,
    device: Device = "auto",
    threads: Threads = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Measure models: accuracy, AUC, found fakes, false positives, calibration; pooled, by source and by method.

    Several stand side by side on the same rows, with paired differences, size and speed. A fake without a face counts
    as not found. Thresholds are the bundle's own: nothing is chosen on this data.
    """
    from unmask.evaluate import session
    from unmask.evaluate.rows import require_rows
    from unmask.evaluate.store import read_predictions

    session.check_free(out)
    stop = Stop()
    if stored is not None:
        if bundle or data or detector:
            raise UsageError("--from goes without models and --data", hint="It holds every score already")
        measured, roots = read_predictions(stored)
        roots |= _moved(root or [])
    else:
        if not (bundle or detector):
            raise UsageError("nothing to measure", hint="Name a bundle (`default`: the packaged one), or --detector")
        if not data:
            raise UsageError("--data is missing", hint="Make a manifest with: unmask data prepare auto FOLDER OUT")
        manifest = read_manifests(data, root or [])
        others = _detectors(detector or [], detector_python or [], detector_timeout, out)
        require_rows(manifest, split, both=not one_class, way_out=", or measure what can be measured with --one-class")
        task = session.Task(
            manifest,
            split,
            [load(name, device, threads, quiet=quiet) for name in bundle or []],
            others,
            frames=frames,
            faces=faces,
            threshold=detector_threshold,
            rounds=rounds,
            threads=threads,
            jobs=jobs,
        )
        measured, roots = _run(task, stop, quiet=quiet), manifest.roots
    with stop.listening(), stop.interruptible():
        figures = session.figures_of(measured, draws=draws, seed=seed)
        files = session.write(out, measured, figures, roots, predictions=stored is None)
    if not quiet:
        _print(figures)
    for one in figures["detectors"]:
        if broken := one["protocol"]["unreadable"]:
            say(f"{one['name']}: {broken} rows failed, first {one['protocol']['unreadable_first'][0]}")
    for file in files:
        print(file)
    return OK


def _run(task: Task, stop: Stop, *, quiet: bool) -> list[Measured]:
    from unmask.evaluate import session

    with stop.listening(), stop.interruptible(), Bar("scoring", quiet=quiet) as bar:
        return session.run(task, bar.begin)


def _detectors(specs: list[str], pythons: list[str], timeout: float, out: Path) -> list[ForeignDetector]:
    from unmask.evaluate.foreign import ForeignDetector
    from unmask.evaluate.session import slug

    if len(pythons) not in (0, 1, len(specs)):
        raise UsageError(
            f"{len(pythons)} interpreters for {len(specs)} detectors",
            hint="Give --detector-python once, or once for each",
        )
    chosen: list[str | None] = (
        [*pythons] if len(pythons) == len(specs) else [pythons[0] if pythons else None] * len(specs)
    )
    found = []
    for number, (spec, python) in enumerate(zip(specs, chosen, strict=True)):
        one = ForeignDetector(spec, python=python, timeout=timeout)
        one.log = out / "logs" / f"{number + 1}-{slug(one.name)}.txt"
        found.append(one)
    return found


def _moved(roots: list[str]) -> dict[str, Path]:
    from unmask.cli.data import parse_roots

    return dict(parse_roots(roots))


def _print(figures: dict[str, Any]) -> None:
    from unmask.evaluate.show import console, show, side_by_side

    screen, detectors = console(), figures["detectors"]
    for one in detectors:
        if len(detectors) > 1:
            screen.rule(one["name"], align="left")
        screen.print(show(one))
    screen.print(side_by_side(figures))
