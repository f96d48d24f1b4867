"""Backbone and head in the contract of a bundle."""

from __future__ import annotations

import torch
from torch import Tensor

from unmask.train.network_recipe import NetworkRecipe, Three
from unmask.train.networks.backbone import Backbone, PlainCnn
from unmask.train.networks.base import Network
from unmask.train.networks.head import Head

IMAGENET_MEAN: Three = (0.485, 0.456, 0.406)
IMAGENET_STD: Three = (0.229, 0.224, 0.225)


class Scaled(Network):
    """A network whose input is scaled by a mean and a standard deviation that its weights were made with."""

    mean: Tensor
    std: Tensor

    def __init__(self, size: int, mean: Three, std: Three) -> None:
        super().__init__()
        self.size = size
        # Saved with the weights, which mean nothing without them.
        self.register_buffer("mean", torch.empty(1, 3, 1, 1))
        self.register_buffer("std", torch.empty(1, 3, 1, 1))
        self.set_scaling(mean, std)

    def set_scaling(self, mean: Three, std: Three) -> None:
        """What the network gets is (crop / 255 - mean) / std."""
        with torch.no_grad():
            self.mean.copy_(torch.tensor(mean).view(1, 3, 1, 1))
            self.std.copy_(torch.tensor(std).view(1, 3, 1, 1))

    def scale(self, crops: Tensor) -> Tensor:
        """Float pictures of N×3×S×S crops, 0...255."""
        return (crops.to(self.mean.dtype) - 255 * self.mean) / (255 * self.std)


class Classifier(Scaled):
    """A backbone (of timm, or a plain one) and a head that explains itself."""

    head_names = frozenset({"head"})

    def __init__(self, recipe: NetworkRecipe, size: int) -> None:
        super().__init__(size, recipe.mean or IMAGENET_MEAN, recipe.std or IMAGENET_STD)
        if recipe.head is None:
            raise ValueError("a classifier needs a head")
        self.backbone: Backbone | PlainCnn
        if recipe.cnn:
            self.backbone = PlainCnn(recipe.cnn.widths, recipe.cnn.convs, recipe.cnn.batch_norm, size)
        else:
            self.backbone = Backbone(recipe.backbone, size, recipe.drop_path, recipe.stride)
        self.head = Head.of(recipe.head, self.backbone.shape)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Network.forward`; ``mean(map)`` is what the features add to the logit."""
        logit, evidence = self.head(self.backbone(self.scale(crops)))
        return logit, evidence
