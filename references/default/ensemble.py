"""Several looks at one crop as one graph: its logit and evidence map are weighted sums of theirs.

    python references/default/ensemble.py joint.onnx network.onnx=0.67 network-192.onnx=0.33:mirrored

The looks may be of one network (test-time augmentation) or of several. The first graph says how large the crops are;
the others get them reduced to their own side, and mirrored, left for right, where it says so. Maps are laid on the grid
of the first so that their means stay what they are: ``logit = mean of the map + bias`` holds for the sum where it holds
for each.
Weights that several looks share are stored once. What is taken is chosen on validation rows (`card.py --val`).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

from unmask.base.files import replacing
from unmask.base.ort import make_session
from unmask.train.storage import stored_once

OPSET = 18
"""The first in which a picture is reduced without aliasing."""
_BACKWARDS = (-1, np.iinfo(np.int64).min, -1, -1)
"""Start, end, axis and step of an ONNX Slice that runs through the last axis from its end."""


class Look(NamedTuple):
    """A graph (input ``crops`` uint8 N×3×S×S, outputs ``logit`` N and ``map`` N×h×w), its share, whether mirrored."""

    graph: onnx.ModelProto
    weight: float
    mirrored: bool = False


def ensemble(looks: list[Look]) -> onnx.ModelProto:
    """One graph of the same kind; S, h and w are those of the first look.

    Raises:
        ValueError: A look takes larger crops than the first one.
    """
    size, grid = _sides(looks[0].graph)
    nodes: list[onnx.NodeProto] = []
    tensors: list[onnx.TensorProto] = []
    logits, maps = [], []
    for number, look in enumerate(looks):
        at = f"look{number}_"
        side, own = _sides(look.graph)
        if side > size:
            raise ValueError(f"look {number + 1} takes crops of {side} px, the first one of {size}: put it first")
        part = compose.add_prefix(onnx.version_converter.convert_version(look.graph, OPSET), at).graph
        steps = _Steps(at, nodes, tensors)
        crops = steps.add("Cast", "crops", to=TensorProto.FLOAT)
        if side != size:
            how = {"mode": "linear", "antialias": 1, "axes": [2, 3], "coordinate_transformation_mode": "half_pixel"}
            crops = steps.add("Resize", crops, "", "", steps.constant(np.array([side, side], np.int64)), **how)
        if look.mirrored:
            crops = steps.mirrored(crops)
        nodes.append(helper.make_node("Identity", [crops], [part.input[0].name]))
        nodes += part.node
        tensors += part.initializer
        evidence = f"{at}map"
        if look.mirrored:
            evidence = steps.mirrored(evidence)
        if own != grid:
            spread = _spread(own, grid)
            tall = steps.add("MatMul", steps.constant(spread), evidence)
            evidence = steps.add("MatMul", tall, steps.constant(spread.T.copy()))
        weight = steps.constant(np.float32(look.weight))
        logits.append(steps.add("Mul", f"{at}logit", weight))
        maps.append(steps.add("Mul", evidence, weight))
    nodes += [helper.make_node("Sum", logits, ["logit"]), helper.make_node("Sum", maps, ["map"])]
    first = looks[0].graph
    graph = helper.make_graph(nodes, "looks", list(first.graph.input), list(first.graph.output), tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=first.ir_version)
    stored_once(model)
    onnx.checker.check_model(model, full_check=True)
    return model


class _Steps:
    """Adds nodes and constants with names of their own."""

    def __init__(self, prefix: str, nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto]) -> None:
        self._prefix, self._nodes, self._tensors, self._count = prefix, nodes, tensors, 0

    def _name(self) -> str:
        self._count += 1
        return f"{self._prefix}step{self._count}"

    def constant(self, value: NDArray[np.generic] | np.generic) -> str:
        name = self._name()
        self._tensors.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = self._name()
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def mirrored(self, value: str) -> str:
        return self.add("Slice", value, *(self.constant(np.array([one], np.int64)) for one in _BACKWARDS))


def _sides(model: onnx.ModelProto) -> tuple[int, int]:
    """Side of the crops in pixels, side of the map in cells (found by looking at an empty crop)."""
    session = make_session(model.SerializeToString(), device="cpu")
    size = int(session.get_inputs()[0].shape[-1])
    (evidence,) = session.run(["map"], {"crops": np.zeros((1, 3, size, size), np.uint8)})
    return size, int(evidence.shape[-1])


def _spread(own: int, grid: int) -> NDArray[np.float32]:
    """grid×own: how a row of ``own`` cells is laid on ``grid`` cells; each takes the mean of what lies under it."""
    edges, cells = np.arange(grid + 1) * own / grid, np.arange(own)
    shared = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    return (np.clip(shared, 0, None) * grid / own).astype(np.float32)


def _look(text: str) -> Look:
    """``network.onnx=0.33:mirrored``."""
    file, equals, how = text.rpartition("=")
    weight, _, mirrored = how.partition(":")
    try:
        if not equals or mirrored not in ("", "mirrored"):
            raise ValueError(text)
        return Look(onnx.load(file), float(weight), bool(mirrored))
    except (ValueError, OSError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not GRAPH=WEIGHT or GRAPH=WEIGHT:mirrored ({error})") from error


def main() -> None:
    """Write the graph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("looks", nargs="+", type=_look, metavar="GRAPH=WEIGHT[:mirrored]")
    given = parser.parse_args()
    with replacing(given.out) as temporary:
        onnx.save(ensemble(given.looks), temporary)
    print(given.out)


if __name__ == "__main__":
    main()
