"""``unmask sample``: random test pictures with truth and verdict."""

from __future__ import annotations

import os
from itertools import count as counting
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unmask.base.errors import UsageError
from unmask.cli.app import OK, say
from unmask.cli.measuring import Bar, load, read_manifests
from unmask.cli.options import Boxes, Debug, Device, Manifests, Quiet, Roots
from unmask.cli.stopping import Stop

if TYPE_CHECKING:
    import polars as pl

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command()
def sample(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A model file; `default`: the one in the package.")],
    data: Manifests,
    count: Annotated[int, typer.Option("-n", "--count", metavar="N", min=1, help="Pictures.")] = 24,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE.png",
            help="A contact sheet of the faces. Default: sample.png here, or sample-2.png ... where that is taken.",
        ),
    ] = None,
    split: Annotated[str, typer.Option(metavar="NAME", help="train, val or test.")] = "test",
    source: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only of this source; repeatable.")] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="For the same pictures again; default: others each time.")
    ] = None,
    faces: Boxes = "manifest",
    root: Roots = None,
    device: Device = "auto",
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Show random pictures (and frames of clips) of a split: truth, score and verdict of each.

    Prints a table and writes a contact sheet of the faces as the network gets them; nothing is written over.
    """
    from unmask.base.files import replacing
    from unmask.data.manifest import Manifest
    from unmask.evaluate import sheet
    from unmask.evaluate.predict import predict
    from unmask.evaluate.rows import require_rows
    from unmask.evaluate.show import console, picks

    out = out or _free()
    if out.suffix.lower() != ".png":
        raise UsageError("the contact sheet is a PNG", hint="Name a file that ends in .png", path=str(out))
    if out.exists():
        raise UsageError("this file exists already", hint="Name another one with --out", path=str(out))
    manifest = read_manifests(data, root or [])
    require_rows(manifest, split, both=False)
    rows = _of_sources(manifest.select(split).table, source or [])
    chosen = Manifest(rows.sample(min(count, rows.height), shuffle=True, seed=seed), manifest.roots, manifest.about)
    _, loaded = load(bundle, device, None, quiet=quiet)
    stop = Stop()
    with stop.listening(), stop.interruptible(), Bar("scoring", quiet=quiet) as bar:
        table = predict(loaded, chosen, None, faces=faces, on_progress=bar.advance)
        tiles = sheet.cut(table, manifest.roots, loaded.card.crop)
    with replacing(out) as temporary:
        sheet.draw(tiles, f"{loaded.card.name} {loaded.card.version}: {table.height} rows of {split}").save(temporary)
    if not quiet:
        console().print(picks(table, loaded.card))
        say(f"the faces as the network gets them are in {out}")
    print(out)
    return OK


def _free() -> Path:
    names = (Path("sample.png" if number == 1 else f"sample-{number}.png") for number in counting(1))
    return next(name for name in names if not os.path.lexists(name))


def _of_sources(table: pl.DataFrame, sources: list[str]) -> pl.DataFrame:
    import polars as pl

    known = set(table["source"])
    if unknown := set(sources) - known:
        raise UsageError(
            f"no rows of the source {', '.join(sorted(unknown))}", hint=f"There are {', '.join(sorted(known))}"
        )
    return table.filter(pl.col("source").is_in(sources)) if sources else table
