"""What a network will be asked to do in hours, tried on empty crops before anything is read."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from unmask.base.errors import DataError, first_line
from unmask.train import freeze
from unmask.train.export import export_onnx
from unmask.train.networks.base import Network
from unmask.train.recipe import Recipe, load_recipe, packaged_recipes


def try_network(network: Network, recipe: Recipe, *, export: bool = True) -> None:
    """Freeze as each stage asks, take crops of each size, write the graph.

    Args:
        network: Afterwards as before, everything thawed.
        recipe: Of the run.
        export: Also write the graph, which takes a large network ten seconds; those of the packaged recipes are known
            to be writable and are passed over.

    Raises:
        DataError: There is no such layer, or the network does not take crops of that size.
        BundleError: It cannot be written as ONNX.
    """
    for _, what in recipe.schedule.unfreeze:
        freeze.apply(network, what)
    if recipe.schedule.unfreeze:
        freeze.apply(network, "all")
    _try_sizes(network, recipe)
    if export and not _known(recipe):
        with TemporaryDirectory() as folder:
            export_onnx(network, Path(folder) / "trial.onnx", recipe.crop.size)


def _try_sizes(network: Network, recipe: Recipe) -> None:
    network.eval()
    try:
        for size in recipe.sizes:
            try:
                with torch.no_grad():
                    network(torch.zeros(1, 3, size, size))
            except Exception as error:  # whatever a backbone or the user's own code says of it
                raise DataError(
                    f"the network does not take crops of {size} px: {first_line(error)}",
                    hint="It is made for one size: --set schedule.sizes=[]"
                    if size != recipe.crop.size
                    else "Set another crop.size",
                ) from error
    finally:
        network.train()


def _known(recipe: Recipe) -> bool:
    """Whether a packaged recipe has this backbone as a whole, or the blocks of our own plain network."""
    if recipe.network.module is not None or recipe.network.stride:
        return False
    if recipe.network.cnn is not None:
        return True
    names = {load_recipe(name).network.backbone.partition(".")[0] for name in packaged_recipes()}
    return recipe.network.backbone.partition(".")[0] in names
