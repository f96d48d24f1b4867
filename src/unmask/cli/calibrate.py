"""``unmask calibrate``: fit a bundle's calibration and thresholds to data of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unmask.base.errors import UsageError
from unmask.cli.app import OK, say
from unmask.cli.measuring import Bar, load, read_manifests
from unmask.cli.options import Boxes, Debug, Device, Manifests, Quiet, Roots, Threads
from unmask.cli.stopping import Stop

if TYPE_CHECKING:
    from unmask.model import Card

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

_ENOUGH = 5
"""A threshold that so few of the reals lie above is a guess."""


@app.command()
def calibrate(
    bundle: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE", help="A model file with a card; `default`: the one in the package. It is left as it is."
        ),
    ],
    data: Manifests,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The new bundle.")],
    split: Annotated[str, typer.Option(metavar="NAME", help="Rows to fit on.")] = "val",
    target_fpr: Annotated[
        float, typer.Option(metavar="F", min=0.0001, max=0.5, help="Share of reals that may be called likely_fake.")
    ] = 0.02,
    target_miss: Annotated[
        float, typer.Option(metavar="F", min=0.0, max=0.5, help="Share of fakes that may be called likely_real.")
    ] = 0.05,
    domain: Annotated[
        str, typer.Option(metavar="TEXT", help="What the data are, in words; default: the names of the sources.")
    ] = "",
    faces: Boxes = "manifest",
    root: Roots = None,
    device: Device = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Refit calibration and thresholds on a manifest and write a new bundle with the same network.

    Measure it afterwards on rows that were not used here: unmask evaluate NEW --data MANIFEST --split test.
    """
    from unmask.evaluate.calibrate import calibrate as fit
    from unmask.evaluate.calibrate import with_calibration
    from unmask.evaluate.predict import predict
    from unmask.evaluate.rows import require_rows
    from unmask.evaluate.thresholds import Limits
    from unmask.model import pack

    if out.exists():
        raise UsageError("this file exists already", hint="Name another one with --out", path=str(out))
    manifest = read_manifests(data, root or [])
    require_rows(manifest, split)
    place, loaded = load(bundle, device, threads, quiet=quiet)
    stop = Stop()
    with stop.listening(), stop.interruptible(), Bar("scoring", quiet=quiet) as bar:
        table = predict(loaded, manifest, split, faces=faces, on_progress=bar.advance)
    calibration = fit(table, Limits.aimed(target_fpr, target_miss))
    sources = ", ".join(sorted(table["source"].unique()))
    card = with_calibration(loaded.card, calibration, domain=domain or f"{split} rows of {sources}")
    sha256 = pack(place, card, out)
    if not quiet:
        _print(card, calibration.report)
        reals = calibration.report["reals"]["files"]
        if 0 < reals * target_fpr < _ENOUGH:
            say(
                f"{reals:,.0f} reals are few: that {target_fpr:.0%} of all real faces are called likely_fake cannot be "
                f"told from them; {_ENOUGH / target_fpr:,.0f} or more can"
            )
    print(f"{out}  sha256 {sha256}")
    return OK


def _print(card: Card, report: dict[str, Any]) -> None:
    from rich.table import Table

    from unmask.evaluate.show import console
    from unmask.render.text import printable

    table = Table(title="Levels", title_justify="left")
    for name in ("level", "likely_real up to", "likely_fake from", "ECE"):
        table.add_column(name, justify="left" if name == "level" else "right")
    for level in card.levels:
        edges = level.thresholds
        table.add_row(level.name, f"{edges.likely_real:.4f}", f"{edges.likely_fake:.4f}", f"{level.ece or 0:.3f}")
    screen = console()
    screen.print(table)
    # What holds the thresholds where they are: the target, a source, or too few reals.
    screen.print(printable(card.level("face").fitted_on), style="dim", markup=False, highlight=False)
    for side, key, words in (("reals", "called_fake", "likely_fake"), ("fakes", "called_real", "likely_real")):
        part = report[side]
        screen.print(f"{part['files']:,.0f} {side} (those it was fitted to): {part[key]:.1%} called {words}")
        for row in part["by_source" if side == "reals" else "by_method"]:
            screen.print(f"  {row['kind']:<54}{row['files']:>6,.0f}{row[key]:>8.1%}", highlight=False)
