"""``unmask data augment-preview``: a sheet of faces as a recipe varies them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from unmask.base.errors import UsageError
from unmask.cli.app import OK
from unmask.cli.options import Debug, Roots

EPILOG = """[bold]Examples[/bold]

unmask data augment-preview vgg16-last5 prepared/manifest.parquet

unmask data augment-preview mine.yaml prepared/manifest.parquet --sheet sheet.png --set augment.rotate_degrees=45
"""


def augment_preview(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a packaged recipe, or a YAML file.")],
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="Made by `unmask data prepare`.")],
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the sheet goes (.png). Default: MANIFEST.RECIPE.png beside it."),
    ] = None,
    faces: Annotated[int, typer.Option(metavar="N", min=1, max=100, help="Lines of the sheet.")] = 8,
    variants: Annotated[int, typer.Option(metavar="N", min=1, max=30, help="Varied crops in a line.")] = 7,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe first; repeatable.")
    ] = None,
    root: Roots = None,
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Write a contact sheet of faces: each as it is judged, then as a recipe's augmentation varies it in training."""
    from unmask.cli.measuring import read_manifests
    from unmask.train.preview import augment_preview as write
    from unmask.train.recipe import load_recipe

    chosen = load_recipe(recipe, change or [])
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise UsageError("--sheet takes a .png file", path=str(sheet))
    if sheet is not None and sheet.exists():
        raise UsageError("this file exists already", hint="Name another one with --sheet", path=str(sheet))
    # A recipe may bear any name, also one that would lead elsewhere.
    word = re.sub(r"[^\w.+-]+", "-", chosen.name)
    target = sheet or manifest.with_name(f"{manifest.name}.{word}.png")
    write(chosen, read_manifests([manifest], root or []), target, faces=faces, variants=variants)
    print(f"contact sheet: {target}")
    return OK
