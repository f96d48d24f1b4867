"""Which layers of a network are trained: all, the head only, or the head and the last N convolutions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from unmask.base.errors import DataError
from unmask.train.networks.base import Network

SPECS = "all, head, or last-N-convs with a number N (last-5-convs)"


@dataclass(frozen=True)
class Layer:
    """A module with parameters or statistics of its own.

    Attributes:
        name: Full name in the network.
        kind: Class name.
        output: Shape of its result for one crop, without the first axis; empty when it gives no tensor.
        parameters: Number of values learnt, those of modules inside it not counted.
        trained: Whether training moves them (for a normalisation: its statistics too).
        head: Whether it is part of our head, not of the backbone.
        conv: Whether it is a two-dimensional convolution.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    trained: bool
    head: bool
    conv: bool


def check(spec: str) -> int | None:
    """Number of convolutions that ``spec`` leaves to be trained: None = all layers, 0 = the head alone.

    Raises:
        DataError: It is none of :data:`SPECS`.
    """
    if spec == "all":
        return None
    if spec == "head":
        return 0
    found = re.fullmatch(r"last-([1-9][0-9]{0,3})-convs?", spec)
    if not found:
        raise DataError(f"{spec!r} does not say what to train", hint=f"It is {SPECS}")
    return int(found[1])


def apply(network: Network, spec: str) -> None:
    """Freeze what ``spec`` does not name, thaw what it names; may be called again in the course of a training.

    The last N convolutions are the last N ``Conv2d`` of the backbone in the order in which they are executed, shortcut
    convolutions included. They are trained with everything that is executed after the first of them (batch norms,
    dense layers) and with the head. A frozen batch norm keeps its statistics and uses them, in training mode too:
    ``network.train()`` leaves it in evaluation mode.

    Args:
        network: Changed in place (``requires_grad``, ``frozen_norms``, modes). Its compiled form is not used.
        spec: ``all``, ``head`` or ``last-N-convs``.

    Raises:
        DataError: ``spec`` is none of these, or names more convolutions than the backbone has.
    """
    wanted = check(spec)
    modules = dict(network.named_modules())
    if wanted is None:
        trained = set(modules)
    else:
        order = [name for name, _ in execution_order(network)]
        trained = {name for name in modules if is_head(network, name)}
        if wanted:
            trained.update(order[_first_of_last(network, order, wanted, spec) :])
    for name, module in modules.items():
        for parameter_name, parameter in module.named_parameters(recurse=False):
            full = f"{name}.{parameter_name}" if name else parameter_name
            parameter.requires_grad_(name in trained or is_head(network, full))
    network.frozen_norms = frozenset(
        name for name, module in modules.items() if isinstance(module, _NormBase) and name not in trained
    )
    network.train(network.training)


def _first_of_last(network: Network, order: list[str], wanted: int, spec: str) -> int:
    """Position in ``order`` of the first of the last ``wanted`` convolutions of the backbone."""
    convs = [
        place
        for place, name in enumerate(order)
        if isinstance(network.get_submodule(name), nn.Conv2d) and not is_head(network, name)
    ]
    if wanted > len(convs):
        raise DataError(f"{spec}: the backbone has {len(convs)} convolutions", hint="Name fewer, or train all")
    return convs[-wanted]


def is_head(network: Network, name: str) -> bool:
    """Whether a module or parameter is part of the head."""
    return any(name == head or name.startswith(f"{head}.") for head in network.head_names)


def execution_order(network: Network) -> list[tuple[str, tuple[int, ...]]]:
    """Names of the modules with parameters or statistics of their own, as they are first executed, with output shapes.

    Found by passing an empty crop through in evaluation mode; a module that runs twice stands where it ran first,
    one that never runs is left out. Some are never called and take part all the same, since the module around them
    reads their weights (the attention of SwinV2, BEiT and EVA): they stand where that one begins, without a shape.
    """
    found: dict[str, tuple[int, ...]] = {}
    with _hooks(network, found), torch.no_grad():
        _pass_through(network)
    own = {name for name, module in network.named_modules() if name and _has_own(module)}
    read = _used(network, own - set(found)) if own - set(found) else set()
    return [(name, shape) for name, shape in _placed(found, read).items() if name in own]


def _pass_through(network: Network) -> tuple[torch.Tensor, torch.Tensor]:
    training = network.training
    network.eval()
    first = next(network.parameters())
    try:
        # Past __call__: a compiled network would run without its hooks.
        return network.forward(torch.zeros(1, 3, network.size, network.size, device=first.device))
    finally:
        network.train(training)


def _used(network: Network, names: set[str]) -> set[str]:
    """Those of the modules whose parameters the results depend on."""
    given = {
        parameter: name
        for name in names
        for parameter in network.get_submodule(name).parameters(recurse=False)
        if parameter.dtype.is_floating_point
    }
    if not given:
        return set()
    before = [parameter.requires_grad for parameter in given]
    for parameter in given:
        parameter.requires_grad_(True)
    try:
        with torch.enable_grad():
            results = [result.float().sum() for result in _pass_through(network)]
            needed = [result for result in results if result.requires_grad]
            slopes = torch.autograd.grad(needed, list(given), allow_unused=True) if needed else [None] * len(given)
    finally:
        for parameter, trained in zip(given, before, strict=True):
            parameter.requires_grad_(trained)
    return {name for name, slope in zip(given.values(), slopes, strict=True) if slope is not None}


def _placed(found: dict[str, tuple[int, ...]], read: set[str]) -> dict[str, tuple[int, ...]]:
    """``found`` with the modules of ``read`` behind the nearest one around them that was called."""
    behind: dict[str, list[str]] = {}
    for name in sorted(read):
        around = name.rpartition(".")[0]
        while around and around not in found:
            around = around.rpartition(".")[0]
        behind.setdefault(around, []).append(name)
    placed: dict[str, tuple[int, ...]] = dict.fromkeys(behind.get("", []), ())
    for name, shape in found.items():
        placed[name] = shape
        placed |= dict.fromkeys(behind.get(name, []), ())
    return placed


def _has_own(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False)) or isinstance(module, _NormBase)


@contextmanager
def _hooks(network: Network, found: dict[str, tuple[int, ...]]) -> Iterator[None]:
    handles = []
    for name, module in network.named_modules():
        if name:

            def before(_: nn.Module, __: Any, name: str = name) -> None:
                found.setdefault(name, ())

            def after(_: nn.Module, __: Any, output: Any, name: str = name) -> None:
                if isinstance(output, torch.Tensor) and not found[name]:
                    found[name] = tuple(output.shape[1:])

            handles += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def describe(network: Network) -> list[Layer]:
    """The layers in the order of execution, with what of them is trained now."""
    layers = []
    for name, output in execution_order(network):
        module = network.get_submodule(name)
        own = list(module.parameters(recurse=False))
        trained = any(parameter.requires_grad for parameter in own)
        if isinstance(module, _NormBase):
            trained = trained or name not in network.frozen_norms
        layers.append(
            Layer(
                name,
                type(module).__name__,
                output,
                sum(parameter.numel() for parameter in own),
                trained,
                is_head(network, name),
                isinstance(module, nn.Conv2d),
            )
        )
    return layers
