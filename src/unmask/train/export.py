"""From a trained network to the one ONNX graph that a bundle is made of."""

from __future__ import annotations

import math
import warnings
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from timm.layers import AvgPool2dSame, Conv2dSame, to_2tuple
from timm.layers.padding import pad_same_arg
from timm.layers.pool2d_same import MaxPool2dSame
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unmask.base.errors import BundleError
from unmask.base.files import replacing
from unmask.base.ort import make_session
from unmask.train.network import Detector, Network
from unmask.train.storage import stored_once

TOLERANCE = 1e-4
_MAP_TOLERANCE = 1e-3
OPSET = 17


def folded(network: Network) -> Network:
    """A copy for crops of ``network.size``; same results, fewer operators.

    TensorFlow's "same" padding, which timm works out from the input at each call, becomes fixed. In the network of two
    evidence heads every batch norm becomes part of the convolution before it; elsewhere the order of the layers is not
    known here, and torch's exporter does the same by the order in which they run.
    """
    copy = deepcopy(network).cpu().to(memory_format=torch.contiguous_format).float().eval()
    sides = _sides(copy)
    if isinstance(copy, Detector):
        _fold(copy)
    _fix_padding(copy, sides)
    return copy


_Same = (Conv2dSame, MaxPool2dSame, AvgPool2dSame)


def _sides(network: Network) -> dict[str, tuple[int, int]]:
    """Height and width of what comes into each layer that pads by its input."""
    found: dict[str, tuple[int, int]] = {}
    handles = []
    for name, module in network.named_modules():
        if isinstance(module, _Same):

            def before(_: nn.Module, inputs: tuple[torch.Tensor, ...], name: str = name) -> None:
                found[name] = (int(inputs[0].shape[2]), int(inputs[0].shape[3]))

            handles.append(module.register_forward_pre_hook(before))
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, network.size, network.size))
    finally:
        for handle in handles:
            handle.remove()
    return found


def _fix_padding(network: nn.Module, sides: dict[str, tuple[int, int]]) -> None:
    for name, side in sides.items():
        parent, _, last = name.rpartition(".")
        setattr(network.get_submodule(parent), last, _padded(network.get_submodule(name), side))


def _padded(layer: nn.Module, side: tuple[int, int]) -> nn.Module:
    kernel, stride = to_2tuple(layer.kernel_size), to_2tuple(layer.stride)
    if isinstance(layer, AvgPool2dSame):
        pad = pad_same_arg(list(side), list(kernel), list(stride))
        return nn.Sequential(nn.ZeroPad2d(tuple(pad)), nn.AvgPool2d(kernel, stride, 0, layer.ceil_mode))
    dilation = to_2tuple(layer.dilation)
    pad = pad_same_arg(list(side), list(kernel), list(stride), list(dilation))
    if isinstance(layer, MaxPool2dSame):
        least = nn.ConstantPad2d(tuple(pad), -math.inf)
        return nn.Sequential(least, nn.MaxPool2d(kernel, stride, 0, dilation, ceil_mode=layer.ceil_mode))
    plain = nn.Conv2d(
        layer.in_channels, layer.out_channels, kernel, stride, dilation=dilation, groups=layer.groups, bias=False
    )
    plain.weight, plain.bias = layer.weight, layer.bias
    return nn.Sequential(nn.ZeroPad2d(tuple(pad)), plain)


def _fold(module: nn.Module) -> None:
    before: tuple[str, nn.Conv2d] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and before is not None:
            setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
            # timm's BatchNormAct2d also holds the activation: keep that part.
            setattr(module, name, getattr(child, "act", nn.Identity()))
            before = None
            continue
        before = (name, child) if isinstance(child, nn.Conv2d) else before if isinstance(child, nn.Identity) else None
        if not isinstance(child, nn.Conv2d):
            _fold(child)


def export_onnx(network: Network, path: Path, size: int) -> float:
    """Write the graph: input ``crops`` uint8 N×3×S×S, outputs ``logit`` N and ``map`` N×h×w.

    Args:
        network: Trained; it is not changed.
        path: Written whole or not at all.
        size: S.

    Returns:
        The largest difference of a logit between PyTorch and the stored graph as float32, on random crops.

    Raises:
        BundleError: The difference is above 1e-4 (of a logit, or of the largest one where that is above 1), or torch
            cannot write the network as a graph.
    """
    graph = folded(network)
    generator = torch.Generator().manual_seed(0)
    # Smooth noise rather than white noise: crops are pictures, and the tolerance is for such.
    coarse = torch.rand(4, 3, 12, 12, generator=generator) * 255
    crops = nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 255).to(torch.uint8)
    with replacing(path) as temporary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _write(graph, crops, temporary)
        onnx.save(stored_once(onnx.load(temporary)), temporary)
        with torch.no_grad():
            wanted, evidence = (part.numpy() for part in deepcopy(network).cpu().eval()(crops))
        logit, stored = run_onnx(temporary, crops.numpy())
        difference = float(np.abs(logit - wanted).max())
        if not difference <= TOLERANCE * max(1.0, float(np.abs(wanted).max())):
            raise BundleError(f"the exported graph differs from the network by {difference:.2g} logits")
        if not np.allclose(stored, evidence, atol=_MAP_TOLERANCE * max(1.0, float(np.abs(evidence).max()))):
            raise BundleError("the evidence map of the exported graph differs from that of the network")
    return difference


def _write(graph: Network, crops: torch.Tensor, path: Path) -> None:
    try:
        torch.onnx.export(
            graph,
            (crops,),
            str(path),
            input_names=["crops"],
            output_names=["logit", "map"],
            dynamic_axes={"crops": {0: "n"}, "logit": {0: "n"}, "map": {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise BundleError(
            f"this network cannot be written as ONNX: {reason}",
            hint="A layer has no counterpart there: name another backbone, or change your module",
        ) from error


def run_onnx(model: Path | bytes, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits N and maps N×h×w of N×3×S×S uint8 crops."""
    logit, evidence = make_session(model, device="cpu").run(["logit", "map"], {"crops": crops})
    return logit, evidence
