"""What an ONNX graph weighs as a file: nothing is stored twice, and large weights as halves."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_HALF_FROM = 64


def stored_once(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave out every initialiser that equals another one (changed in place).

    Where it was read stands a copy of the other one, or its transpose: onnxruntime makes them at load. torch's exporter
    writes both where a layer's weight is also read by what makes the evidence map.
    """
    known: dict[tuple[object, ...], str] = {}
    shapes = {(tensor.data_type, *tensor.dims) for tensor in model.graph.initializer if len(tensor.dims) == 2}
    kept, copies = [], []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        key = _key(tensor, values)
        turned = None
        if values.ndim == 2 and (tensor.data_type, *values.T.shape) in shapes:
            turned = known.get(_key(tensor, values.T))
        if key in known:
            copies.append(helper.make_node("Identity", [known[key]], [tensor.name]))
        elif turned is not None:
            copies.append(helper.make_node("Transpose", [turned], [tensor.name], perm=[1, 0]))
        else:
            known[key] = tensor.name
            kept.append(tensor)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return _begun_with(model, copies)


def _key(tensor: onnx.TensorProto, values: NDArray[np.generic]) -> tuple[object, ...]:
    return tensor.data_type, values.shape, hashlib.sha256(np.ascontiguousarray(values).data).digest()


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
    return _begun_with(model, casts)


def _begun_with(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    onnx.checker.check_model(model)
    return model
