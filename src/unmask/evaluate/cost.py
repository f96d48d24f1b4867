"""What a detector costs: parameters, multiply-accumulates, bytes, milliseconds a crop."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unmask.base.errors import UnmaskError
from unmask.base.ort import make_session
from unmask.model import Bundle
from unmask.model.bundle import refuse_external_data

BATCH = 8

_WEIGHT_INPUT = {"Conv": 1, "ConvTranspose": 1, "ConvInteger": 1, "QLinearConv": 3}
_MATRIX = {"Gemm": (0, 1), "MatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearMatMul": (0, 3)}


def graph_cost(file: Path) -> dict[str, int | None]:
    """Parameters and multiply-accumulates of one crop.

    The shapes are those of a run with one crop, so graphs that infer no shapes are counted too. Counted are
    convolutions and matrix products (quantised ones included), as the field does; sums, activations and pooling are
    not, nor is what lies in branches and loops.

    Args:
        file: An ONNX file with one input of N×C×H×W.

    Returns:
        ``parameters`` (elements of all tensors with weights; a batch norm that was folded counts no more), and
        ``macs``, None where the graph cannot be run that way.
    """
    import onnx
    from onnx import inliner

    model = refuse_external_data(file.read_bytes(), str(file))
    if model.functions:
        model = inliner.inline_local_functions(model)
    weights = [tensor for tensor in model.graph.initializer if _is_weight(tensor)]
    constants = [node.attribute[0].t for node in model.graph.node if node.op_type == "Constant" and node.attribute]
    weights += [tensor for tensor in constants if _is_weight(tensor)]
    parameters = sum(int(np.prod(tensor.dims)) for tensor in weights)
    counted = [node for node in model.graph.node if node.op_type in _WEIGHT_INPUT or node.op_type in _MATRIX]
    known = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    wanted = {name for node in counted for name in (*_operands(node), node.output[0])} - set(known)
    have = {value.name for value in (*model.graph.output, *model.graph.input)}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(wanted - have))
    try:
        session = make_session(model.SerializeToString(), device="cpu", threads=1)
        given = session.get_inputs()[0]
        crop = np.zeros((1, *given.shape[1:]), np.uint8 if given.type == "tensor(uint8)" else np.float32)
        names = [output.name for output in session.get_outputs()]
        values = zip(names, session.run(names, {given.name: crop}), strict=True)
        shapes = known | {name: tuple(value.shape) for name, value in values} | {given.name: crop.shape}
    except (UnmaskError, RuntimeError, ValueError, TypeError):
        return {"parameters": parameters, "macs": None}
    return {"parameters": parameters, "macs": sum(_macs(node, shapes) for node in counted)}


def _is_weight(tensor: Any) -> bool:
    # int64 and int32 hold shapes, axes and biases of quantised layers.
    return tensor.data_type in {1, 2, 3, 10, 11, 16}


def _operands(node: Any) -> tuple[str, ...]:
    if node.op_type in _WEIGHT_INPUT:
        return (node.input[0], node.input[_WEIGHT_INPUT[node.op_type]])
    return tuple(node.input[place] for place in _MATRIX[node.op_type])


def _macs(node: Any, shapes: Mapping[str, tuple[int, ...]]) -> int:
    first, second = (shapes[name] for name in _operands(node))
    output = int(np.prod(shapes[node.output[0]]))
    if node.op_type == "ConvTranspose":
        return int(np.prod(first)) * int(np.prod(second[1:]))
    if node.op_type in _WEIGHT_INPUT:
        return output * int(np.prod(second[1:]))  # channels of a group × kernel
    turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return output * (first[0] if turned else first[-1])


Timed = Callable[[int], float]
"""Does the work of one round, given its number; returns milliseconds a crop (or call)."""


def bundle_timer(bundle: Bundle, batch: int = BATCH) -> Timed:
    """Rounds of ``batch`` random crops through a bundle."""
    size = bundle.card.crop.size
    crops = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)

    def run(number: int) -> float:  # noqa: ARG001
        started = time.perf_counter()
        bundle.score(crops)
        return (time.perf_counter() - started) * 1000 / batch

    return run


def take_turns(timers: Mapping[str, Timed], rounds: int = 20, warmup: int = 2) -> dict[str, dict[str, Any]]:
    """Time several detectors in turns, so that whatever else the machine does falls on all of them.

    Returns:
        Name -> ``ms`` (median) and ``ms_quartiles``; names whose every round failed are left out.
    """
    spent: dict[str, list[float]] = {name: [] for name in timers}
    for number in range(warmup + rounds):
        for name, timer in timers.items():
            value = timer(number)
            if number >= warmup and np.isfinite(value):
                spent[name].append(value)
    result = {}
    for name, values in spent.items():
        if len(values) > 1:
            low, middle, high = statistics.quantiles(values, n=4)
            result[name] = {"ms": middle, "ms_quartiles": [low, high], "ms_rounds": len(values)}
    return result
