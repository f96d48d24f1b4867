"""What an ONNX graph weighs as a file: nothing is stored twice, and large weights as halves."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_HALF_FROM = 64


def stored_once(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave out every initialiser that equals another one (changed in place).

    A matrix that another one is transposed becomes a Transpose of it, which onnxruntime carries out at load. torch's
    exporter writes both where a layer's weight is also read by what makes the evidence map.
    """
    known: dict[tuple[object, ...], str] = {}
    names: dict[str, str] = {}
    kept, transposes = [], []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        key = (tensor.data_type, values.shape, values.tobytes())
        other = known.get((tensor.data_type, values.T.shape, values.T.tobytes())) if values.ndim == 2 else None
        if key in known:
            names[tensor.name] = known[key]
        elif other is not None:
            transposes.append(helper.make_node("Transpose", [other], [tensor.name], perm=[1, 0]))
        else:
            known[key] = tensor.name
            kept.append(tensor)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    return _begun_with(model, transposes)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store float32 initialisers as float16, each with a Cast to float32 that onnxruntime folds at load, and once.

    All arithmetic stays float32. Small tensors (biases) are left alone: they cost nothing.
    """
    stored_once(model)
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
