"""Any timm network with spatial features, cut before its classifier; and a plain one of our own."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

import timm
import torch
from torch import Tensor, nn

from unmask.base.errors import DataError

Layout = Literal["NCHW", "NHWC", "tokens"]

NOT_SPATIAL = "A backbone must give features with places: N×C×h×w, N×h×w×C, or one token for each patch"


class Backbone(nn.Module):
    """A timm network up to its last features, always given as N×C×h×w.

    What timm runs only in its own head (VGG's two dense layers of 4096 units, MobileNetV3's last convolution) is left
    out: the convolutional base alone remains.

    Args:
        name: timm's name of it, with or without a tag (``resnet50.a1_in1k``).
        size: Side of the crops.
        drop_path: Stochastic depth of the last block, for families that have it.
        stride: Pixels from one place of the features to the next: the last features of this stride are taken, and
            what follows them is left out. None takes the last of all.

    Raises:
        DataError: timm has no such network, it does not take crops of this size, its features have no places, or none
            have this stride.
    """

    def __init__(self, name: str, size: int, drop_path: float = 0.0, stride: int | None = None) -> None:
        super().__init__()
        self.net = _create(name, size, drop_path)
        self.size = size
        self.taken = _cut(self.net, name, stride) if stride else None
        self.layout: Layout = "NCHW"
        self.prefix = int(getattr(self.net, "num_prefix_tokens", 0))
        self.shape = self._probe(name, size)

    @torch.no_grad()
    def _probe(self, name: str, size: int) -> tuple[int, int, int]:
        """C, h, w of the features; sets the layout and drops what was not run."""
        ran: set[str] = set()
        handles = [
            module.register_forward_pre_hook(lambda *_, key=key: ran.add(key))
            for key, module in self.net.named_modules()
        ]
        self.net.eval()
        try:
            given = self._features(torch.zeros(1, 3, size, size))
        except (RuntimeError, AssertionError, ValueError, TypeError, AttributeError, IndexError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise DataError(
                f"{name} cannot be used with crops of {size} px: {reason}", hint="Set crop.size, or name another one"
            ) from error
        finally:
            for handle in handles:
                handle.remove()
            self.net.train()
        shape = self._read(given, name)
        dropped: list[tuple[nn.Module, str, nn.Module]] = []
        _prune(self.net, "", ran, dropped)
        self.net.eval()
        try:
            self._features(torch.zeros(1, 3, size, size))
        except (AttributeError, RuntimeError, TypeError):
            # Some families use a layer's weights without calling it (the attention of SwinV2, BEiT and EVA).
            for parent, key, child in dropped:
                setattr(parent, key, child)
        self.net.train()
        return shape

    def _read(self, given: Any, name: str) -> tuple[int, int, int]:
        if not isinstance(given, Tensor):
            raise DataError(f"{name} gives several results ({type(given).__name__})", hint=NOT_SPATIAL)
        shape = tuple(int(side) for side in given.shape[1:])
        if self.taken is not None:
            return self._places(name, *shape)
        width = int(self.net.num_features)
        if len(shape) == 3 and str(getattr(self.net, "output_fmt", "NCHW")).endswith("NHWC") and shape[2] == width:
            self.layout = "NHWC"
            return shape[2], shape[0], shape[1]
        if len(shape) == 3 and (shape[0] == width or shape[2] != width):
            return self._places(name, *shape)
        if len(shape) == 3:
            self.layout = "NHWC"
            return shape[2], shape[0], shape[1]
        if len(shape) == 2:
            self.layout = "tokens"
            side = math.isqrt(max(0, shape[0] - self.prefix))
            if side > 1 and side * side == shape[0] - self.prefix:
                return shape[1], side, side
            raise DataError(
                f"{name} gives {shape[0]} tokens, {self.prefix} of them for the whole crop: the rest is no square of "
                "patches",
                hint=NOT_SPATIAL,
            )
        raise DataError(f"{name} gives features of shape {'×'.join(map(str, shape))}, without places", hint=NOT_SPATIAL)

    def _places(self, name: str, channels: int, high: int, wide: int) -> tuple[int, int, int]:
        if high * wide > 1:
            return channels, high, wide
        raise DataError(
            f"{name} has {high}×{wide} places for crops of {self.size} px, too few for an evidence map",
            hint="Set a larger crop.size, or name a backbone with spatial features",
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """N×C×h×w features of N×3×S×S normalised pictures."""
        features = self._features(pictures)
        if self.layout == "NHWC":
            return features.permute(0, 3, 1, 2)
        if self.layout == "tokens":
            return features[:, self.prefix :].transpose(1, 2).unflatten(2, self.shape[1:])
        return features

    def _features(self, pictures: Tensor) -> Any:
        if self.taken is None:
            return self.net.forward_features(pictures)
        (features,) = self.net.forward_intermediates(
            pictures, indices=self.taken, stop_early=True, output_fmt="NCHW", intermediates_only=True
        )
        return features


def _cut(net: Any, name: str, stride: int) -> list[int]:
    """Number of the last features of a stride, as ``forward_intermediates`` takes it; what follows is dropped."""
    strides = [int(stage["reduction"]) for stage in getattr(net, "feature_info", [])]
    if stride not in strides or not hasattr(net, "prune_intermediate_layers"):
        known = ", ".join(map(str, dict.fromkeys(strides))) or "none that can be told apart"
        raise DataError(f"{name} has no features of stride {stride}", hint=f"It has {known}: set network.stride")
    last = len(strides) - 1 - strides[::-1].index(stride)
    return list(net.prune_intermediate_layers([last]))


def _create(name: str, size: int, drop_path: float) -> Any:
    if not timm.is_model(name):
        close = timm.list_models(f"*{re.split('[._]', name, maxsplit=1)[0]}*")[:5]
        raise DataError(
            f"timm has no network {name!r}", hint=f"It has {', '.join(close) or 'others'}; see timm.list_models()"
        )
    settings: dict[str, Any] = {"pretrained": False, "num_classes": 0}
    if name.startswith("vgg"):
        settings["mlp_ratio"] = 0.001  # the dense layers are dropped: do not make 120 million values for them
    wishes: list[dict[str, Any]] = [{"img_size": size, "drop_path_rate": drop_path}, {"img_size": size}]
    wishes += [{"drop_path_rate": drop_path}, {}]
    if not drop_path:
        wishes = [{"img_size": size}, {}]
    # Which of these a family knows can only be found out by asking; torch has no list of it.
    for wish in wishes:
        try:
            return timm.create_model(name, **settings, **wish)
        except TypeError as error:
            if wish is wishes[-1] or not any(key in str(error) for key in wish):
                raise DataError(f"timm cannot make {name}: {error}", hint="Name another backbone") from error
        except (RuntimeError, AssertionError, ValueError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise DataError(f"{name} cannot be made for crops of {size} px: {reason}", hint="Set crop.size") from error
    raise AssertionError


def _prune(module: nn.Module, path: str, ran: set[str], dropped: list[tuple[nn.Module, str, nn.Module]]) -> None:
    """Replace what was never run, if it holds parameters, and note it in ``dropped``."""
    for name, child in list(module.named_children()):
        full = f"{path}.{name}" if path else name
        below = any(key == full or key.startswith(f"{full}.") for key in ran)
        if not below and any(True for _ in child.parameters()):
            dropped.append((module, name, child))
            setattr(module, name, nn.Identity())
        elif below:
            _prune(child, full, ran, dropped)


class PlainCnn(nn.Module):
    """Blocks of convolutions and a 2×2 max pooling each, as courses begin with.

    Args:
        widths: Channels of each block.
        convs: Convolutions of 3×3 in each block.
        batch_norm: Between convolution and ReLU.
    """

    def __init__(self, widths: tuple[int, ...], convs: int, batch_norm: bool, size: int) -> None:
        super().__init__()
        side = size >> len(widths)
        if side < 2:
            raise DataError(
                f"{len(widths)} blocks leave nothing of {size} px",
                hint="Fewer network.cnn.widths, or a larger crop.size",
            )
        layers: list[nn.Module] = []
        before = 3
        for width in widths:
            for _ in range(convs):
                layers.append(nn.Conv2d(before, width, 3, padding=1, bias=not batch_norm))
                layers += [nn.BatchNorm2d(width)] if batch_norm else []
                layers.append(nn.ReLU())
                before = width
            layers.append(nn.MaxPool2d(2))
        self.net = nn.Sequential(*layers)
        self.shape = (before, side, side)

    def forward(self, pictures: Tensor) -> Tensor:
        """N×C×h×w features of N×3×S×S normalised pictures."""
        return self.net(pictures)
