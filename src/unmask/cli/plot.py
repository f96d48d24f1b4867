"""``unmask plot``: the curves of training runs, laid over each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unmask.base.errors import UsageError
from unmask.cli.app import OK
from unmask.cli.options import Debug, Quiet
from unmask.train.names import METRICS

if TYPE_CHECKING:
    from rich.table import Table

    from unmask.train.curves import Run

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

_EPILOG = """[bold]Examples[/bold]

unmask plot runs/first

unmask plot runs/first runs/second -o both.png --by minutes

unmask plot runs/three-seeds

A folder that `unmask train --seeds` wrote stands for the runs in it. A run that still goes on is drawn as far as it is.
"""


@app.command(epilog=_EPILOG)
def plot(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders that `unmask train` wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.png", help="The picture.")] = Path("curves.png"),
    by: Annotated[str, typer.Option(metavar="WHAT", help="What runs along: epoch, samples or minutes.")] = "epoch",
    force: Annotated[bool, typer.Option("--force", help="Write over FILE.png.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Draw loss, accuracy and AUC of training runs into one picture, and print their best figures."""
    from unmask.train import curves

    if by not in ("epoch", "samples", "minutes"):
        raise UsageError(f"--by {by}: unknown", hint="Use epoch, samples or minutes")
    if out.suffix.lower() != ".png":
        raise UsageError("the picture is a PNG", hint="Name a file that ends in .png", path=str(out))
    if out.exists() and not force:
        raise UsageError("this file exists already", hint="Name another one with -o, or give --force", path=str(out))
    found = [curves.read_run(folder, name) for folder, name in _named(runs)]
    curves.draw(found, out, by=by)  # type: ignore[arg-type]
    if not quiet:
        from unmask.evaluate.show import console

        screen = console()
        screen.print(_table(found))
        for run in found:
            sentence = curves.gap(run.epochs, run.best).sentence
            screen.print(f"{run.name}: {sentence}" if len(found) > 1 else sentence, markup=False, highlight=False)
    print(out)
    return OK


def _named(folders: list[Path]) -> list[tuple[Path, str]]:
    """Run folders with names that tell them apart; a folder of seeds stands for the runs in it."""
    every: list[Path] = []
    for folder in folders:
        seeds = sorted(folder.glob(f"seed-*/{METRICS}"), key=lambda file: _number(file.parent.name))
        every += [file.parent for file in seeds] if seeds and not (folder / METRICS).exists() else [folder]
    full = [folder.resolve() for folder in every]
    # As much of the end of each path as it takes for all to differ.
    longest = max(len(one.parts) for one in full)
    for length in range(1, longest + 1):
        names = ["/".join(one.parts[-length:]) for one in full]
        if len(set(names)) == len(set(full)):
            return list(zip(every, names, strict=True))
    return [(one, str(one)) for one in every]


def _number(name: str) -> int:
    digits = name.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


def _table(runs: list[Run]) -> Table:
    import math

    from rich import box
    from rich.table import Table

    from unmask.evaluate.show import percent
    from unmask.render.text import printable
    from unmask.train.curves import tested

    def three(value: float | None) -> str:
        return "-" if value is None or not math.isfinite(value) else f"{value:.3f}"

    table = Table(title="Best epoch of each run", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("run", overflow="fold")
    columns = "best epoch", "loss train", "loss val", "accuracy train", "accuracy val", "AUC val"
    for name in (*columns, "pictures", "minutes", "AUC test", "accuracy test"):
        table.add_column(name, justify="right")
    for run in runs:
        best, last = run.best, run.epochs[-1]
        test = tested(run.folder) or {}
        table.add_row(
            printable(run.name),
            f"{best.epoch:.4g} of {last.epoch:.4g}",
            three(best.train_loss),
            three(best.val_loss),
            percent(best.train_accuracy),
            percent(best.val_accuracy),
            three(best.auc),
            f"{last.samples:,.0f}",
            f"{last.seconds / 60:.1f}",
            three(test.get("auc")),
            percent(test.get("accuracy")),
        )
    return table
