"""The head of a classifier, with the evidence map as forward operators beside the logit."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from unmask.train.network_recipe import HeadRecipe

_START = 1e-3


class Head(nn.Module):
    """Pooling or flattening, dense layers, one logit; and where in the features it comes from.

    The map is HiResCAM (Draelos & Carin, *Use HiResCAM instead of Grad-CAM for faithful explanations*, 2020): features
    times the gradient of the logit, summed over channels, here times the number of positions. The gradient is written
    out by hand with forward operators, as an ONNX graph has no others: back through the dense layers, whose ReLUs pass
    it where they were open. Where the head is linear after pooling this is the class-activation map (Zhou et al.,
    2016), and ``logit = mean(map) + bias`` holds exactly; behind dense layers the same holds with a bias that depends
    on which ReLUs are open.

    Args:
        pool: ``avg`` or ``flatten``.
        layers: Dense layers, each with a normalisation (or None) behind it and then a ReLU; the last one is the output
            with one unit (its value is the logit) or two (real, fake: the logit is their difference, whose sigmoid is
            the second value of their softmax).
        dropout: Before each dense layer but the first, ``input_dropout`` before the first.
    """

    def __init__(
        self,
        pool: str,
        layers: list[tuple[nn.Linear, nn.Module | None]],
        input_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.pool = pool
        self.dense = nn.ModuleList(linear for linear, _ in layers)
        self.norms = nn.ModuleList(norm or nn.Identity() for _, norm in layers[:-1])
        self.drops = nn.ModuleList(nn.Dropout(dropout if place else input_dropout) for place in range(len(layers)))

    @classmethod
    def of(cls, recipe: HeadRecipe, shape: tuple[int, int, int]) -> Head:
        """A new head for features C×h×w."""
        channels, high, wide = shape
        width = channels if recipe.pool == "avg" else channels * high * wide
        layers: list[tuple[nn.Linear, nn.Module | None]] = []
        for units in recipe.dense:
            layers.append(_dense(width, units, recipe.batch_norm))
            width = units
        output = nn.Linear(width, recipe.outputs)
        # Start values of several units give a first loss far from ln 2, which wrecks the first steps.
        nn.init.normal_(output.weight, std=_START / math.sqrt(width))
        nn.init.zeros_(output.bias)
        return cls(recipe.pool, [*layers, (output, None)], recipe.input_dropout, recipe.dropout)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logit N and map N×h×w of features N×C×h×w.

        In training mode the map is zero: nobody looks at it, and batch norms tie the crops of a batch together.
        """
        x = features.mean((2, 3)) if self.pool == "avg" else features.flatten(1)
        opened: list[Tensor] = []
        for place, dense in enumerate(self.dense):
            x = dense(self.drops[place](x))
            if place < len(self.norms):
                x = self.norms[place](x)
                opened.append(x)
                x = torch.relu(x)
        # Two units become one by their difference: softmax of (a, b) at b is the sigmoid of b - a.
        logit = (x[:, -1] - x[:, 0] if x.shape[1] == 2 else x[:, 0]).float()
        if self.training:
            return logit, features.new_zeros((features.shape[0], *features.shape[2:])).float()
        return logit, self._map(features, opened)

    def _map(self, features: Tensor, opened: list[Tensor]) -> Tensor:
        output = cast(nn.Linear, self.dense[-1])
        weight = output.weight
        # 1×width; grows to N×width where a ReLU makes it depend on the crop.
        slope = (weight[-1] - weight[0] if weight.shape[0] == 2 else weight[0]).unsqueeze(0)
        for place in reversed(range(len(opened))):
            slope = slope * (opened[place] > 0).to(slope.dtype)
            norm = self.norms[place]
            if isinstance(norm, _BatchNorm):
                spread = torch.rsqrt(cast(Tensor, norm.running_var) + norm.eps)
                slope = slope * (spread if norm.weight is None else spread * norm.weight)
            slope = slope @ cast(nn.Linear, self.dense[place]).weight
        positions = features.shape[2] * features.shape[3]
        if self.pool == "avg":
            # The gradient at a position is the slope over the number of positions, by which HiResCAM is multiplied.
            return (features * slope[:, :, None, None]).sum(1).float()
        return (features * slope.unflatten(1, features.shape[1:])).sum(1).float() * positions


def _dense(width: int, units: int, batch_norm: bool) -> tuple[nn.Linear, nn.Module | None]:
    # A bias before a batch norm does nothing: the norm takes the mean off.
    return nn.Linear(width, units, bias=not batch_norm), nn.BatchNorm1d(units) if batch_norm else None
