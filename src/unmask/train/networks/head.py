"""The head of a classifier, with the evidence map as forward operators beside the logit."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from unmask.train.network_recipe import HeadRecipe
from unmask.train.networks.pooling import Average, Covariance, Flatten, RootCovariance, before_norm

Pool = Average | Flatten | Covariance

_START = 1e-3


class Head(nn.Module):
    """Pooling or flattening, dense layers, one logit; and where in the features it comes from.

    With the mean or all places as input the map is HiResCAM (Draelos & Carin, *Use HiResCAM instead of Grad-CAM for
    faithful explanations*, 2020): features times the gradient of the logit, summed over channels, here times the number
    of positions. The gradient is written out by hand with forward operators, as an ONNX graph has no others: back
    through the dense layers, whose ReLUs pass it where they were open. Where the head is linear after pooling this is
    the class-activation map (Zhou et al., 2016), and ``logit = mean(map) + bias`` holds exactly; behind dense layers
    the same holds with a bias that depends on which ReLUs are open. Of the covariance, which is of degree two, it is
    the mean of each place and those around it (:class:`unmask.train.networks.pooling.Covariance`; of its root see
    :class:`unmask.train.networks.pooling.RootCovariance`). Where units stand for kinds, the slope is that of the logit
    at the crop's own scores, and what the map's mean leaves over depends on the crop too.

    Args:
        pool: One of ``networks/pooling.py``.
        layers: Dense layers, each with a normalisation (or None) behind it and then a ReLU; the last one is the output
            with one unit (its value is the logit) or two (real, fake: the logit is their difference, whose sigmoid is
            the second value of their softmax), or with one for each of ``fake``.
        dropout: Before each dense layer but the first, ``input_dropout`` before the first.
        fake: For each unit of the output whether its kind is fake. The logit is that of all fake kinds together.
    """

    fakes: Tensor
    reals: Tensor

    def __init__(
        self,
        pool: Pool,
        layers: list[tuple[nn.Linear, nn.Module | None]],
        input_dropout: float = 0.0,
        dropout: float = 0.0,
        fake: tuple[bool, ...] = (),
    ) -> None:
        super().__init__()
        self.pool = pool
        self.kinds = len(fake)
        for name, label in (("reals", False), ("fakes", True)):
            units = [unit for unit, one in enumerate(fake) if one == label]
            self.register_buffer(name, torch.tensor(units, dtype=torch.long), persistent=False)
        self.dense = nn.ModuleList(linear for linear, _ in layers)
        self.norms = nn.ModuleList(norm or nn.Identity() for _, norm in layers[:-1])
        self.drops = nn.ModuleList(nn.Dropout(dropout if place else input_dropout) for place in range(len(layers)))

    @classmethod
    def of(cls, recipe: HeadRecipe, shape: tuple[int, int, int]) -> Head:
        """A new head for features C×h×w.

        Raises:
            DataError: They have too many channels for the pooling.
        """
        pool = _pool(recipe.pool, shape)
        width = pool.width
        layers: list[tuple[nn.Linear, nn.Module | None]] = []
        for units in recipe.dense:
            layers.append(_dense(width, units, recipe.batch_norm))
            width = units
        output = nn.Linear(width, len(recipe.kinds) or recipe.outputs)
        # Start values of several units give a first loss far from ln 2, which wrecks the first steps.
        nn.init.normal_(output.weight, std=_START / math.sqrt(width))
        fake = tuple(kind.startswith("fake/") for kind in recipe.kinds)
        # Each label has half of the odds, however many kinds it has.
        start = [-math.log(fake.count(one)) for one in fake] or [0.0] * recipe.outputs
        with torch.no_grad():
            output.bias.copy_(torch.tensor(start))
        return cls(pool, [*layers, (output, None)], recipe.input_dropout, recipe.dropout, fake)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logit N and map N×h×w of features N×C×h×w.

        In training mode scores N×kinds stand in the place of the map: nobody looks at it then, and batch norms tie the
        crops of a batch together.
        """
        units, opened = self.units(self.pool(features))
        logit = self.logit(units)
        return logit, units[:, : self.kinds].float() if self.training else self._map(features, units, opened)

    def units(self, pooled: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The output's units N×M of pooled features N×width, and what came to each ReLU."""
        x, opened = pooled, []
        for place, dense in enumerate(self.dense):
            x = dense(self.drops[place](x))
            if place < len(self.norms):
                x = self.norms[place](x)
                opened.append(x)
                x = torch.relu(x)
        return x, opened

    def logit(self, units: Tensor) -> Tensor:
        """Logit N of the output's units N×M."""
        units = units.float()  # differences of sums, of which a half would keep two digits
        if self.kinds:
            return units[:, self.fakes].logsumexp(1) - units[:, self.reals].logsumexp(1)
        # Two units become one by their difference: softmax of (a, b) at b is the sigmoid of b - a.
        return units[:, -1] - units[:, 0] if units.shape[1] == 2 else units[:, 0]

    def _map(self, features: Tensor, units: Tensor, opened: list[Tensor]) -> Tensor:
        weight = cast(nn.Linear, self.dense[-1]).weight
        # 1×width; N×width where kinds or a ReLU make it depend on the crop.
        if self.kinds:
            slope = units[:, self.fakes].softmax(1) @ weight[self.fakes]
            slope = slope - units[:, self.reals].softmax(1) @ weight[self.reals]
        else:
            slope = (weight[-1] - weight[0] if weight.shape[0] == 2 else weight[0]).unsqueeze(0)
        for place in reversed(range(len(opened))):
            slope = slope * (opened[place] > 0).to(slope.dtype)
            norm = self.norms[place]
            if isinstance(norm, _BatchNorm):
                slope = before_norm(norm, slope)
            slope = slope @ cast(nn.Linear, self.dense[place]).weight
        return self.pool.spread(features, slope).float()


def _pool(name: str, shape: tuple[int, int, int]) -> Pool:
    if name == "avg":
        return Average(shape[0])
    if name == "flatten":
        return Flatten(*shape)
    return RootCovariance(shape[0]) if name == "root-covariance" else Covariance(shape[0])


def _dense(width: int, units: int, batch_norm: bool) -> tuple[nn.Linear, nn.Module | None]:
    # A bias before a batch norm does nothing: the norm takes the mean off.
    return nn.Linear(width, units, bias=not batch_norm), nn.BatchNorm1d(units) if batch_norm else None
