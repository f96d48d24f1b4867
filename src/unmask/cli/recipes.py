"""``unmask recipes``: list, show and explain the recipes that a training can go by."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unmask.base.errors import UsageError
from unmask.cli.app import OK, say
from unmask.cli.options import Debug

if TYPE_CHECKING:
    from unmask.train.freeze import Layer

_EPILOG = """[bold]Examples[/bold]

unmask recipes

unmask recipes show vgg16-last5 > mine.yaml

unmask recipes summary vgg16-last5 --set crop.size=128

A recipe is a YAML file: copy one, edit it, and give its path to `unmask train`.
"""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="rich",
    epilog=_EPILOG,
    help="List the training recipes; show one; print its layers.",
)

Change = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe first; repeatable.")
]


@app.callback(invoke_without_command=True)
def recipes(context: typer.Context) -> int:
    """List the training recipes; show one; print its layers."""
    if context.invoked_subcommand is None:
        _list()
    return OK


def _list() -> None:
    from rich.console import Console
    from rich.table import Table

    from unmask.train.recipe import packaged_recipes

    table = Table(box=None, pad_edge=False)
    table.add_column("recipe", no_wrap=True)
    table.add_column("what it is")
    for name in packaged_recipes():
        table.add_row(name, _title(_text(name)))
    Console().print(table)


def _text(name: str) -> str:
    return (resources.files("unmask.train") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")


def _title(text: str) -> str:
    """The first sentence of the comment that a recipe begins with."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    joined = " ".join(lines)
    return joined.split(". ")[0].rstrip(".") + "."


@app.command(epilog="[bold]Example[/bold]\n\nunmask recipes show vgg16-last5 > mine.yaml")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a packaged recipe.")],
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Print a recipe as it stands, with a comment on each choice and the published figure it answers to."""
    from unmask.train.recipe import packaged_recipes

    known = packaged_recipes()
    if name not in known:
        raise UsageError(f"there is no recipe {name!r}", hint=f"There are {', '.join(known)}")
    print(_text(name), end="")
    return OK


@app.command(
    epilog="[bold]Examples[/bold]\n\nunmask recipes summary resnet50-transfer --stage 2\n\n"
    "unmask recipes summary mine.yaml --set network.backbone=convnext_tiny"
)
def summary(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a packaged recipe, or a YAML file.")],
    change: Change = None,
    stage: Annotated[
        int, typer.Option(metavar="N", min=1, help="Of a recipe that thaws layers in the course of its training.")
    ] = 1,
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Print the layers of a recipe's network in the order in which they run: shapes, parameters, trained or frozen.

    Weights are not loaded, so that nothing is fetched. MB are those of the parameters as 32-bit floats.
    """
    from unmask.train.recipe import load_recipe

    recipe = load_recipe(name, change or [])
    # Torch and a large network take seconds, in which one would wonder.
    say(f"making the network of {recipe.name}, without its weights")
    from unmask.train import freeze, weights
    from unmask.train.network import build

    if not weights.at_hand(recipe.network):
        say("its start weights are not at hand, which a training needs; shapes are the same without them")
    network = build(recipe.network.model_copy(update={"weights": "none"}), recipe.crop.size, say)
    stages = recipe.schedule.unfreeze or ((0.0, "all"),)
    if stage > len(stages):
        raise UsageError(f"{recipe.name} has {len(stages)} stages, no stage {stage}", hint="Name one of these")
    freeze.apply(network, stages[stage - 1][1])
    layers = freeze.describe(network)
    _print_layers(layers, recipe.crop.size)
    everything = sum(parameter.numel() for parameter in network.parameters())
    for number, (at, what) in enumerate(stages, start=1):
        freeze.apply(network, what)
        trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
        convs = sum(layer.conv and layer.trained and not layer.head for layer in freeze.describe(network))
        when = "from the start" if not at else f"from epoch {at:g} on" if at >= 1 else f"from {at:.0%} of the run on"
        mark = "*" if number == stage and len(stages) > 1 else " "
        print(
            f"{mark} {when}: {what}: {trained:,} parameters trained, {everything - trained:,} frozen, "
            f"{convs} convolutions of the backbone trained; {everything:,} in all, {everything * 4 / 1e6:.1f} MB"
        )
    return OK


def _print_layers(layers: list[Layer], size: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title=f"crops of {size}×{size} px", title_justify="left")
    for column, style in (("layer", {}), ("kind", {}), ("output", {}), ("parameters", {"justify": "right"}), ("", {})):
        settings: dict[str, Any] = style
        table.add_column(column, **settings)
    for layer in layers:
        table.add_row(
            layer.name,
            layer.kind,
            "×".join(map(str, layer.output)),
            f"{layer.parameters:,}",
            "trained" if layer.trained else "frozen",
            style="" if layer.trained else "dim",
        )
    Console().print(table)
