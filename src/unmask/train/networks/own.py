"""A network of the user's own, in the contract of a bundle."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from unmask.base.errors import DataError
from unmask.train.network_recipe import NetworkRecipe
from unmask.train.networks.classifier import Scaled
from unmask.train.networks.head import Head
from unmask.train.networks.pooling import Average, Flatten

_PROBES, _SAME = 4, 1e-3
_RETURNS = "It returns logits N, N×1 or N×2 (real, fake), or (logits, map N×h×w)"
_DENSE = (nn.Linear, nn.BatchNorm1d)


class Own(Scaled):
    """A network of the user's own; ``unmask.train.network_recipe`` says what it takes and returns.

    Its map is, in this order: the one that it returns; the class-activation map or HiResCAM of ``map_layer``, where
    what follows that layer is average pooling (or flattening) and dense layers with ReLU; else an empty one (0
    everywhere: nothing is claimed), which a warning says.

    Its head, for freezing, is what its attribute ``head_names`` lists (dotted names), else the dense layers that run
    after its last convolution (in a network without convolutions, the last dense layer).

    Args:
        recipe: With ``module``.
        size: Side of the crops.
        warn: Takes a line for the user.

    Raises:
        DataError: It cannot be imported or made, fails on crops, returns something else, or has no such layer.
    """

    def __init__(self, recipe: NetworkRecipe, size: int, warn: Callable[[str], None] = lambda _: None) -> None:
        super().__init__(size, recipe.mean or (0.0, 0.0, 0.0), recipe.std or (1.0, 1.0, 1.0))
        self.name = str(recipe.module)
        self.net = _made(self.name, recipe.arguments)
        self.layer = recipe.map_layer
        order, answer, features = self._probe()
        named = getattr(self.net, "head_names", None) or _head_of(order)
        self.head_names = frozenset(f"net.{name}" for name in named)
        # In a list, for its layers are the net's and shall not be registered twice.
        self._explaining: list[Head] = []
        if isinstance(answer, tuple):
            return
        if self.layer is None:
            warn(
                f"{self.name} gives no evidence map and network.map_layer names no layer to make one of: "
                "the map will be empty"
            )
            return
        self._explaining.append(self._rebuilt(order, answer, features))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`unmask.train.networks.base.Network.forward`."""
        pictures = self.scale(crops)
        if not self._explaining or self.training:
            answer = self.net(pictures)
            if isinstance(answer, tuple):
                return _one(answer[0]), answer[1].float()
            return _one(answer), pictures.new_zeros((pictures.shape[0], 1, 1)).float()
        features: list[Tensor] = []
        layer = self.net.get_submodule(str(self.layer))
        handle = layer.register_forward_hook(lambda _, __, output: features.append(output))
        try:
            logit = _one(self.net(pictures))
        finally:
            handle.remove()
        return logit, self._explaining[0](features[-1])[1]

    def train(self, mode: bool = True) -> Self:
        """Set the mode."""
        super().train(mode)
        for head in self._explaining:
            head.training = mode  # its layers are set as parts of the net
        return self

    def _probe(self) -> tuple[list[tuple[str, nn.Module]], Any, Tensor | None]:
        """Modules in the order in which they end, the answer to a few crops, and the features of the named layer."""
        order: list[tuple[str, nn.Module]] = []
        features: list[Any] = []
        modules = dict(self.net.named_modules())
        if self.layer is not None and self.layer not in modules:
            names = ", ".join([name for name in modules if name][:12])
            raise DataError(f"{self.name} has no layer {self.layer!r}", hint=f"It has {names} ...")
        handles = []
        for name, module in modules.items():

            def after(module: nn.Module, _: Any, output: Any, name: str = name) -> None:
                order.append((name, module))
                if name == self.layer:
                    features.append(output)

            handles.append(module.register_forward_hook(after))
        generator = torch.Generator().manual_seed(0)
        crops = torch.rand(_PROBES, 3, self.size, self.size, generator=generator) * 255
        try:
            self.net.eval()
            with torch.no_grad():
                answer = self.net(self.scale(crops))
        except Exception as error:  # whatever the user's code does
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise DataError(f"{self.name} fails on crops of {self.size} px: {reason}", hint=_RETURNS) from error
        finally:
            self.net.train()
            for handle in handles:
                handle.remove()
        _check(answer, self.name)
        if features and not (isinstance(features[-1], Tensor) and features[-1].ndim == 4):
            raise DataError(f"{self.layer} gives no features N×C×h×w", hint="network.map_layer names such a layer")
        return order, answer, features[-1] if features else None

    def _rebuilt(self, order: list[tuple[str, nn.Module]], answer: Tensor, features: Tensor | None) -> Head:
        """What follows the named layer as a :class:`Head` of the same layers, proven by giving the same logits."""
        ends = [place for place, (name, _) in enumerate(order) if name == self.layer]
        after = [module for _, module in order[ends[-1] + 1 :] if isinstance(module, _DENSE)] if ends else []
        layers: list[tuple[nn.Linear, nn.Module | None]] = []
        for module in after:
            if isinstance(module, nn.Linear):
                layers.append((module, None))
            elif layers:
                layers[-1] = (layers[-1][0], module)
        refusal = DataError(
            f"what follows {self.layer} in {self.name} is not average pooling or flattening and dense layers with "
            "ReLU, so no map can be made of it",
            hint="Return (logits, map) from your network, name another layer, or leave out network.map_layer",
        )
        if features is None or not layers:
            raise refusal
        width = layers[0][0].in_features
        channels, high, wide = features.shape[1:]
        pools = (Average(channels), Flatten(channels, high, wide))
        pool = next((pool for pool in pools if pool.width == width), None)
        if pool is None:
            raise refusal
        head = Head(pool, layers)
        head.training = False
        self.net.eval()
        try:
            with torch.no_grad():
                again = head(features)[0]
        except RuntimeError as error:
            raise refusal from error
        finally:
            self.net.train()
        wanted = _one(answer)
        # Random crops are alike, so what counts is by how much their logits differ from one another.
        spread = float((wanted - wanted.mean()).abs().max())
        if float((again - wanted).abs().max()) > _SAME * spread + 1e-6:
            raise refusal
        return head


def _made(name: str, arguments: dict[str, Any]) -> nn.Module:
    package, _, attribute = name.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        made: Any = import_module(package)
        for part in attribute.split("."):
            made = getattr(made, part)
        network = made(**arguments)
    except Exception as error:  # whatever the user's code does
        reason = next(iter(str(error).splitlines()), "")
        raise DataError(
            f"network.module {name} cannot be made: {type(error).__name__}: {reason}",
            hint="It is written package.module:name, importable from here, and called with network.arguments",
        ) from error
    finally:
        if added:
            sys.path.remove(here)
    if not isinstance(network, nn.Module):
        raise DataError(f"network.module {name} gives a {type(network).__name__}, no torch.nn.Module", hint=_RETURNS)
    return network


def _head_of(order: list[tuple[str, nn.Module]]) -> list[str]:
    convs = [place for place, (_, module) in enumerate(order) if isinstance(module, nn.Conv2d)]
    dense = [(place, name) for place, (name, module) in enumerate(order) if isinstance(module, _DENSE)]
    if not convs:
        return [name for _, name in dense[-1:]]
    return [name for place, name in dense if place > convs[-1]]


def _check(answer: Any, name: str) -> None:
    logit = answer[0] if isinstance(answer, tuple) and len(answer) == 2 else answer
    right = (
        isinstance(logit, Tensor) and tuple(logit.shape) in {(_PROBES,), (_PROBES, 1), (_PROBES, 2)}
    ) and logit.dtype.is_floating_point
    if right and isinstance(answer, tuple):
        right = isinstance(answer[1], Tensor) and answer[1].ndim == 3 and len(answer[1]) == _PROBES
    if not right:
        parts = answer if isinstance(answer, tuple | list) else [answer]
        found = ", ".join(str(tuple(getattr(part, "shape", ())) or type(part).__name__) for part in parts)
        raise DataError(f"{name} gives {found} for {_PROBES} crops", hint=_RETURNS)


def _one(logits: Tensor) -> Tensor:
    """Logit N of logits N, N×1 or N×2 (real, fake)."""
    if logits.ndim == 1:
        return logits.float()
    return (logits[:, -1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]).float()
