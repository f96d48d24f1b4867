"""From a trained network to the one ONNX graph that a bundle is made of."""

from __future__ import annotations

import warnings
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from timm.layers import Conv2dSame
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unmask.base.errors import BundleError
from unmask.base.files import replacing
from unmask.base.ort import make_session
from unmask.train.network import Detector

TOLERANCE = 1e-4
OPSET = 17
_HALF_FROM = 64


def folded(network: Detector) -> Detector:
    """A copy for crops whose sides are multiples of 32; same results, fewer operators.

    Every batch norm becomes part of the convolution before it. TensorFlow's "same" padding, which timm works out from
    the input at each call, becomes fixed: all inputs of its convolutions (stride 2) have even sides.
    """
    copy = deepcopy(network).cpu().to(memory_format=torch.contiguous_format).float().eval()
    _fold(copy)
    _fix_padding(copy)
    return copy


def _fix_padding(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if not isinstance(child, Conv2dSame):
            _fix_padding(child)
            continue
        if child.stride != (2, 2) or child.dilation != (1, 1):
            raise BundleError(f"cannot export a padded convolution of stride {child.stride}")
        high, wide = (side - 2 for side in child.kernel_size)
        plain = nn.Conv2d(child.in_channels, child.out_channels, child.kernel_size, 2, groups=child.groups)
        plain.weight, plain.bias = child.weight, child.bias
        pad = nn.ZeroPad2d((wide // 2, wide - wide // 2, high // 2, high - high // 2))
        setattr(module, name, nn.Sequential(pad, plain))


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


def export_onnx(network: Detector, path: Path, size: int, *, half: bool = True) -> float:
    """Write the graph: input ``crops`` uint8 N×3×S×S, outputs ``logit`` N and ``map`` N×h×w.

    Args:
        network: Trained; it is not changed.
        path: Written whole or not at all.
        size: S; h = w = S / 16.
        half: Store large weights as float16 (cast back to float32 when the graph is loaded): half the file.

    Returns:
        The largest difference of a logit between PyTorch and the stored graph as float32, on random crops.

    Raises:
        BundleError: The difference is above 1e-4.
    """
    graph = folded(network)
    generator = torch.Generator().manual_seed(0)
    # Smooth noise rather than white noise: crops are pictures, and the tolerance is for such.
    coarse = torch.rand(4, 3, 12, 12, generator=generator) * 255
    crops = nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 255).to(torch.uint8)
    with replacing(path) as temporary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                graph,
                (crops,),
                str(temporary),
                input_names=["crops"],
                output_names=["logit", "map"],
                dynamic_axes={"crops": {0: "n"}, "logit": {0: "n"}, "map": {0: "n"}},
                opset_version=OPSET,
                dynamo=False,
            )
        with torch.no_grad():
            wanted = deepcopy(network).cpu().eval()(crops)[0].numpy()
        difference = float(np.abs(run_onnx(temporary, crops.numpy())[0] - wanted).max())
        if difference > TOLERANCE:
            raise BundleError(f"the exported graph differs from the network by {difference:.2g} logits")
        if half:
            onnx.save(to_half(onnx.load(temporary)), temporary)
    return difference


def run_onnx(model: Path | bytes, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits N and maps N×h×w of N×3×S×S uint8 crops."""
    logit, evidence = make_session(model, device="cpu").run(["logit", "map"], {"crops": crops})
    return logit, evidence


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store float32 initialisers as float16, each with a Cast to float32 that onnxruntime folds at load.

    All arithmetic stays float32. Small tensors (biases) are left alone: they cost nothing.
    """
    casts = []
    for index, tensor in enumerate(list(model.graph.initializer)):
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims, initial=1) < _HALF_FROM:
            continue
        values = numpy_helper.to_array(tensor).astype(np.float16)
        if not np.isfinite(values).all():
            continue
        stored = numpy_helper.from_array(values, f"{tensor.name}.half")
        casts.append(helper.make_node("Cast", [stored.name], [tensor.name], to=TensorProto.FLOAT))
        model.graph.initializer[index].CopyFrom(stored)
    for node in reversed(casts):
        model.graph.node.insert(0, node)
    onnx.checker.check_model(model)
    return model
