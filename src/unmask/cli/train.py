"""``unmask train``: from manifests and a recipe to a run folder with a tested bundle."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unmask.base.errors import UnmaskError, UsageError
from unmask.cli.app import FAILED, OK, say
from unmask.cli.fetching import fetched_data
from unmask.cli.measuring import Bar, read_manifests
from unmask.cli.options import RUN, Debug, Quiet, Roots
from unmask.cli.stopping import Stop
from unmask.train.names import BUNDLE, CURVES, LAST, TEST

if TYPE_CHECKING:
    from unmask.data.manifest import Manifest

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

_END = "At the end"

_EPILOG = """[bold]Examples[/bold]

unmask train default --data prepared/manifest.parquet --out runs/first

unmask train default --data a.parquet --data b.parquet --out runs/small --set trainer.max_epochs=10

unmask train mine.yaml --data prepared/manifest.parquet --out runs/mine --set schedule.lr=1e-4 --set crop.size=160

unmask train vgg16-last5 --data prepared/manifest.parquet --out runs/vgg --weights vgg16_notop.h5

unmask train default --data prepared/manifest.parquet --out runs/first --resume

unmask train default --data prepared/manifest.parquet --out runs/three --seeds 3

RUN holds recipe.yaml (every value that was used), environment.json, metrics.csv, logs/ (TensorBoard), curves.png,
summary.json, checkpoints, bundle.onnx, which `unmask analyze --model` takes, and test/ with report.html.

Ctrl-C ends a run and keeps a checkpoint; --resume goes on from it. `unmask recipes` lists the recipes and explains
them, `unmask plot RUN...` draws the curves of several runs.
"""


@app.command(epilog=_EPILOG)
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a packaged recipe, or a YAML file.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="Run folder.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            metavar="MANIFEST",
            help="Made by `unmask data prepare`; repeatable. A recipe that names a set (cnn-scratch) fetches it.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="WHAT", help="Start from imagenet, none or a FILE, whatever the recipe says."),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change the recipe, e.g. schedule.lr=1e-4; repeatable.",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Train N times, into RUN/seed-1 ..., and give mean and deviation of the figures.",
        ),
    ] = None,
    root: Roots = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in RUN.", rich_help_panel=RUN)
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep decoded faces (about 200 KB each) here, not in RUN.", rich_help_panel=RUN
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(metavar="N", min=0, help="Processes that make training samples.", rich_help_panel=RUN)
    ] = 1,
    no_test: Annotated[
        bool, typer.Option("--no-test", help="Do not measure the bundle on the test rows.", rich_help_panel=_END)
    ] = False,
    draws: Annotated[
        int, typer.Option(metavar="N", min=0, help="Bootstrap resamples of the test.", rich_help_panel=_END)
    ] = 1000,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Train a detector; the best averaged weights by validation become a calibrated bundle.

    It is then measured on the test rows, which nothing was chosen on.
    """
    from unmask.evaluate.rows import require_rows
    from unmask.train.after import can_test
    from unmask.train.alone import alone
    from unmask.train.fits import require_faces
    from unmask.train.recipe import load_recipe
    from unmask.train.sampling import needs_both

    change = change or []
    if weights is not None:
        change = [*change, f"network.weights={json.dumps(weights)}"]
    chosen = load_recipe(recipe, change)
    data = data or [fetched_data(chosen.data, chosen.crop.faces, quiet=quiet)]
    manifest = read_manifests(data, root or [])
    # Before torch is loaded and anything is written.
    require_faces(chosen, manifest)
    both = needs_both(chosen.sampling, manifest)
    for split in ("train", "val"):
        require_rows(manifest, split, both=split in both)
    manifest.require(both)
    untested = "" if no_test else can_test(manifest)
    tell = (lambda text: None) if quiet else say  # noqa: ARG005
    if seeds is not None:
        first = chosen.seed
        command = ["train", recipe]
        for option, values in (("--data", data), ("--set", change), ("--root", root or [])):
            command += [word for value in values for word in (option, str(value))]
        command += ["--cache", str(cache or out / "cache"), "--workers", str(workers), "--draws", str(draws)]
        command += [word for word, on in (("--no-test", no_test), ("--quiet", quiet), ("--debug", debug)) if on]
        with alone(out):
            return _several(out, range(first, first + seeds), command, resume, not (no_test or untested), quiet)
    from unmask.train.run import train as run
    from unmask.train.trainer import place_of

    # Further processes of a run run this function too; one of them holds the folder, tests and speaks.
    first_one = not place_of(chosen).rank
    with alone(out) if first_one else nullcontext():
        try:
            result = run(chosen, manifest, out, resume=resume, cache=cache, workers=workers, say=tell, bar=not quiet)
        except KeyboardInterrupt:
            kept = (out / LAST).exists()
            say("interrupted; go on with --resume" if kept else "interrupted before the first checkpoint")
            raise
        if not first_one:
            return OK
        return _finish(result.folder, manifest, untested, test=not (no_test or untested), draws=draws, quiet=quiet)


def _finish(out: Path, manifest: Manifest, untested: str, *, test: bool, draws: int, quiet: bool) -> int:
    """Curves, summary and test of a run that has a bundle; the bundle's path is the last line."""
    from unmask.train import after

    code = OK
    summary = after.describe(out)
    if untested and not quiet:
        say(untested)
    if test:
        try:
            _test(out, manifest, draws, quiet=quiet)
        except UnmaskError as error:
            # The bundle is there and good for use; only its figures are not.
            say(f"{out / BUNDLE} is there, but could not be tested: {error}")
            code = FAILED
        summary = after.describe(out)
    if not quiet:
        say(summary["gap"]["sentence"])
        say(f"curves in {out / CURVES}" + (f", figures of the test in {out / TEST / 'report.html'}" * test))
    print(out / BUNDLE)
    return code


def _test(out: Path, manifest: Manifest, draws: int, *, quiet: bool) -> None:
    from unmask.train import after

    stop = Stop()
    try:
        with stop.listening(), stop.interruptible(), Bar("testing", quiet=quiet) as bar:
            figures = after.measure(out, manifest, bar.begin, draws=draws, say=say)
    except KeyboardInterrupt:
        say(f"{out / BUNDLE} is trained, but not tested; the same command with --resume does that")
        raise
    if not quiet:
        from unmask.evaluate.show import console, show

        console().print(show(figures["detectors"][0]))


def _several(out: Path, numbers: range, command: list[str], resume: bool, tested: bool, quiet: bool) -> int:
    from unmask.train import seeds

    if len(numbers) < 2:
        raise UsageError("--seeds 1 has no deviation", hint="Give 2 or more, or leave --seeds out")
    seeds.refuse_other_runs(out, numbers, resume)
    seeds.run_all(out, numbers, command, resume=resume, tested=tested, say=(lambda text: None) if quiet else say)  # noqa: ARG005
    result = seeds.gather(out, numbers)
    if not quiet:
        _print_seeds(result)
    print(out / seeds.SEEDS)
    return OK


def _print_seeds(result: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    from unmask.evaluate.show import POOLED, console

    words = dict(POOLED) | {
        "val_auc": "validation: AUC",
        "val_accuracy": "validation: accuracy",
        "val_loss": "validation: loss",
        "train_loss": "training: loss",
    }
    title = f"Mean and deviation of {len(result['seeds'])} seeds; test files, and the best validation"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in ("mean", "deviation", *(f"seed {seed}" for seed in result["seeds"])):
        table.add_column(name, justify="right")
    for name, figure in result["figures"].items():
        values = (figure["mean"], figure["deviation"], *figure["values"])
        table.add_row(words[name], *("-" if value is None else f"{value:.4f}" for value in values))
    console().print(table)
