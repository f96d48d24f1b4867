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
    one that never runs is left out.
    """
    found: dict[str, tuple[int, ...]] = {}
    with _hooks(network, found), torch.no_grad():
        training = network.training
        network.eval()
        first = next(network.parameters())
        try:
            # Past __call__: a compiled network would run without its hooks.
            network.forward(torch.zeros(1, 3, network.size, network.size, device=first.device))
        finally:
            network.train(training)
    return list(found.items())


@contextmanager
def _hooks(network: Network, found: dict[str, tuple[int, ...]]) -> Iterator[None]:
    handles = []
    for name, module in network.named_modules():
        if name and (any(True for _ in module.parameters(recurse=False)) or isinstance(module, _NormBase)):

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
