"""``unmask train``: from manifests and a recipe to a run folder with a bundle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.app import OK, say
from unmask.cli.measuring import read_manifests

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

_EPILOG = """[bold]Examples[/bold]

unmask train default --data prepared/manifest.parquet --out runs/first

unmask train default --data a.parquet --data b.parquet --out runs/small --set schedule.samples=20000

unmask train default --data prepared/manifest.parquet --out runs/first --resume

The run folder holds the resolved recipe, metrics.csv, checkpoints and bundle.onnx, which `unmask analyze --model`
takes. Ctrl-C ends a run; --resume goes on from its last checkpoint.
"""


@app.command(epilog=_EPILOG)
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a packaged recipe, or a YAML file.")],
    data: Annotated[
        list[Path], typer.Option("--data", metavar="MANIFEST", help="Made by `unmask data prepare`; repeatable.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="Run folder.")],
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe, e.g. schedule.lr=1e-4; repeatable."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in RUN.")] = False,
    root: Annotated[
        list[str] | None, typer.Option(metavar="NAME=DIR", help="Where a root of a manifest lies now; repeatable.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep decoded faces (about 200 KB each) here, not in RUN.")
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=0, help="Processes that make training samples.")] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error arose.")] = False,  # noqa: ARG001
) -> int:
    """Train a detector; the best averaged weights by validation become a calibrated bundle."""
    from unmask.train.recipe import load_recipe

    chosen = load_recipe(recipe, change or [])
    manifest = read_manifests(data, root or [])
    from unmask.train.run import train as run

    result = run(
        chosen,
        manifest,
        out,
        resume=resume,
        cache=cache,
        workers=workers,
        say=(lambda text: None) if quiet else say,  # noqa: ARG005
    )
    # Further processes of a run on several processors run this function too; one of them speaks.
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(result.bundle)
    return OK
