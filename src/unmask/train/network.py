"""From a recipe to a network with its start weights."""

from __future__ import annotations

from collections.abc import Callable

import torch

from unmask.train import weights
from unmask.train.network_recipe import NetworkRecipe
from unmask.train.networks.base import Network
from unmask.train.networks.classifier import Classifier, Scaled
from unmask.train.networks.evidence import Detector
from unmask.train.networks.own import Own

__all__ = ["Classifier", "Detector", "Network", "Own", "build"]


def build(recipe: NetworkRecipe, size: int = 224, warn: Callable[[str], None] = lambda _: None) -> Network:
    """A network with the start weights that the recipe names.

    Args:
        recipe: See :class:`unmask.train.network_recipe.NetworkRecipe`.
        size: Side of the crops in pixels.
        warn: Takes a line for the user.

    Returns:
        The network, in training mode, with everything thawed. ``start`` says what is known of its start weights.

    Raises:
        DataError: The backbone or module cannot be used, or the weights do not fit or cannot be read.
        DownloadError: The weights have to be fetched and cannot be.
        MissingExtraError: The package with the weights is not installed.
    """
    network: Network
    if recipe.module is not None:
        network, backbone = Own(recipe, size, warn), ""
    elif recipe.head is not None:
        network, backbone = Classifier(recipe, size), "" if recipe.cnn else recipe.backbone
    else:
        network, backbone = Detector(recipe, size), recipe.backbone
    with torch.no_grad():
        network.start = weights.load(network, backbone, recipe.weights)
    if network.start is not None and isinstance(network, Scaled):
        network.set_scaling(recipe.mean or network.start.mean, recipe.std or network.start.std)
    return network
