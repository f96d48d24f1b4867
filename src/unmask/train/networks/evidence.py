"""EfficientNet-Lite with a fine and a coarse evidence map whose mean is the logit: the detector of unmask."""

from __future__ import annotations

import math

import timm
import torch
import torch.nn.functional as F  # noqa: N812 - the name that every torch user knows
from torch import Tensor, nn

from unmask.base.errors import DataError
from unmask.train.network_recipe import NetworkRecipe
from unmask.train.networks.base import Network

MEAN, STD = 127.0, 128.0
"""Input scaling of EfficientNet-Lite: (x - 127) / 128."""

FINE_STRIDE = 16


class Detector(Network):
    """Backbone and two heads.

    Traces of blending and resampling are small and live in the middle layers, what makes a generated face look wrong
    is large: so one head reads the features of stride 16, the other those of stride 32. Both are 1×1 convolutions,
    the coarse map is repeated onto the grid of the fine one and added; as the mean of a sum is the sum of the means,
    ``logit = mean(map) + bias`` holds exactly and the map shows where a verdict comes from.

    Args:
        recipe: Backbone and widths.
        size: Side of the crops; a multiple of 32.
    """

    head_names = frozenset({"fine", "fine_logit", "coarse_logit", "bias"})

    def __init__(self, recipe: NetworkRecipe, size: int = 224) -> None:
        super().__init__()
        self.size = size
        if not timm.is_model(recipe.backbone):
            raise DataError(f"timm has no network {recipe.backbone!r}", hint="Try tf_efficientnet_lite0")
        try:
            backbone = timm.create_model(
                recipe.backbone, num_classes=0, global_pool="", drop_path_rate=recipe.drop_path
            )
        except TypeError as error:
            raise DataError(
                f"{recipe.backbone} is not a network of the EfficientNet family", hint="Give the network a head"
            ) from error
        if not all(hasattr(backbone, part) for part in ("conv_stem", "bn1", "blocks", "conv_head", "bn2")):
            raise DataError(
                f"{recipe.backbone} is not a network of the EfficientNet family", hint="Try tf_efficientnet_lite0"
            )
        self.conv_stem, self.bn1, self.blocks = backbone.conv_stem, backbone.bn1, backbone.blocks
        self.conv_head, self.bn2 = backbone.conv_head, backbone.bn2
        self.fine_after, channels = self._find_fine()
        width = recipe.fine_channels
        self.fine = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU6())
        self.fine_logit = nn.Conv2d(width, 1, 1, bias=False)
        self.dropout = nn.Dropout(recipe.dropout)
        self.coarse_logit = nn.Conv2d(self.conv_head.out_channels, 1, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(1))
        # timm's own start values give logits of several units; a first loss far from ln 2 wrecks the first steps.
        for head in (self.fine_logit, self.coarse_logit):
            nn.init.normal_(head.weight, std=1e-3 / math.sqrt(head.in_channels))

    @torch.no_grad()
    def _find_fine(self) -> tuple[int, int]:
        """Last stage of stride 16 and its channels, found by passing a small picture through."""
        probe, training = torch.zeros(1, 3, 4 * FINE_STRIDE, 4 * FINE_STRIDE), self.training
        self.eval()
        x, found = self.conv_stem(probe), (-1, 0)
        for index, block in enumerate(self.blocks):
            x = block(x)
            if x.shape[-1] == 4:
                found = (index, int(x.shape[1]))
        self.train(training)
        return found

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Score crops.

        Args:
            crops: N×3×S×S RGB, uint8 or float 0...255; S a multiple of 32.

        Returns:
            logit: N; above 0 = fake.
            map: N×(S/16)×(S/16) in logits, ``map.mean((1, 2)) + bias == logit``.
        """
        x = (crops.float() - MEAN) / STD
        x = self.bn1(self.conv_stem(x))
        fine = x
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == self.fine_after:
                fine = x
        coarse = self.bn2(self.conv_head(x))
        coarse_map = self.coarse_logit(self.dropout(coarse))
        fine_map = self.fine_logit(self.fine(fine))
        evidence = (fine_map + F.interpolate(coarse_map, scale_factor=2.0, mode="nearest")).float().squeeze(1)
        return evidence.mean((1, 2)) + self.bias, evidence
