"""Small things that several tests build on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from unmask.faces.types import CropSpec
from unmask.model import Card, Level, Thresholds

SIZE = 32


def make_card(size: int = SIZE) -> Card:
    level = Level(kind="face", scale=2.0, shift=-1.0, thresholds=Thresholds(likely_real=0.2, likely_fake=0.8))
    return Card(name="tiny", version="1", architecture="mean", crop=CropSpec(size=size), levels=[level])


def make_graph(size: int = SIZE, output: str = "logit") -> onnx.ModelProto:
    """Logit = mean of the red channel / 255 - 0.5; map = red channel at 1/16 of the size, alike."""
    zero, half = (numpy_helper.from_array(np.array(v, np.float32), n) for v, n in ((255.0, "full"), (0.5, "half")))
    channel = numpy_helper.from_array(np.array([0], np.int64), "first")
    nodes = [
        helper.make_node("Cast", ["crops"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "full"], ["unit"]),
        helper.make_node("Gather", ["unit", "first"], ["red"], axis=1),
        helper.make_node("AveragePool", ["red"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Sub", ["pooled", "half"], ["centred"]),
        helper.make_node("Squeeze", ["centred", "axis"], ["map"]),
        helper.make_node("ReduceMean", ["map", "axes"], [output], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", 3, size, size])],
        [
            helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N"]),
            helper.make_tensor_value_info("map", TensorProto.FLOAT, ["N", size // 16, size // 16]),
        ],
        [
            zero,
            half,
            channel,
            numpy_helper.from_array(np.array([1], np.int64), "axis"),
            numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """A block in which files may have ``size`` bytes at most: the system refuses more as a full disk does."""
    resource = pytest.importorskip("resource", reason="needs the limits of POSIX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
