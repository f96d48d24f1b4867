"""The network: YuNet-n's layers in its order, and a few cheap residual blocks that start as nothing.

YuNet-n keeps 64 channels at every stride, so that a block at strides 8 to 32 costs little beside the layers at
stride 4; depth there is what faces that are turned or fill a large picture need. Its twelve small head layers are
run as three (the same numbers), which pays for the blocks.

Source of the architecture and of the start values: Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector",
Machine Intelligence Research 20, 2023; weights of ShiqiYu/libfacedetection.train, Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

STRIDES = (8, 16, 32)
PARTS = (("cls", 1), ("bbox", 4), ("obj", 1), ("kps", 10))
"""Heads in the order in which they stand in the merged layer, and their channels."""
OUTPUTS = [f"{name}_{stride}" for name in ("cls", "obj", "bbox", "kps") for stride in STRIDES]


class Unit(nn.Module):
    """1×1 convolution, then a 3×3 one a channel, then ReLU."""

    def __init__(self, inner: int, outer: int, relu: bool = True) -> None:
        super().__init__()
        self.point = nn.Conv2d(inner, outer, 1)
        self.depth = nn.Conv2d(outer, outer, 3, padding=1, groups=outer)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.depth(self.point(x))
        return F.relu(x) if self.relu else x


class Block(nn.Module):
    """x + something that is zero at the start: added to a trained network, it changes nothing until it learns."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.depth = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.point = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.point.weight)
        nn.init.zeros_(self.point.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.point(F.relu(self.depth(x)))


class FaceNet(nn.Module):
    """Takes N×3×H×W BGR 0...255; gives for each stride N×(H/s·W/s)×16: cls, bbox (4), obj, kps (10), as logits.

    Args:
        blocks: Residual blocks behind the trunk's strides 8, 16 and 32.
    """

    def __init__(self, blocks: Sequence[int] = (1, 2, 2)) -> None:
        super().__init__()
        self.blocks = tuple(blocks)
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.units = nn.ModuleList([Unit(16, 16), Unit(16, 16), Unit(16, 64), *(Unit(64, 64) for _ in range(8))])
        self.extra = nn.ModuleList(
            nn.Sequential(*(Block(64, 3 if level == 0 else 5) for _ in range(count)))
            for level, count in enumerate(self.blocks)
        )
        self.lateral = nn.ModuleList(Unit(64, 64) for _ in STRIDES)
        self.shared = nn.ModuleList(Unit(64, 64) for _ in STRIDES)
        self.heads = nn.ModuleList(Unit(64, 16, relu=False) for _ in STRIDES)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The merged head maps, N×16×H/s×W/s, for strides 8, 16, 32."""
        u = self.units
        x = F.max_pool2d(u[0](F.relu(self.stem(x))), 2)
        x = F.max_pool2d(u[4](u[3](u[2](u[1](x)))), 2)
        trunk = []
        for level in range(3):
            x = self.extra[level](u[6 + 2 * level](u[5 + 2 * level](x)))
            trunk.append(x)
            if level < 2:
                x = F.max_pool2d(x, 2)
        levels = [trunk[0], trunk[1], self.lateral[2](trunk[2])]
        for level in (1, 0):
            up = F.interpolate(levels[level + 1], scale_factor=2.0, mode="nearest")
            levels[level] = self.lateral[level](levels[level] + up)
        return [self.heads[i](self.shared[i](levels[i])) for i in range(3)]

    def forward(self, x: Tensor) -> list[Tensor]:
        return [m.flatten(2).transpose(1, 2) for m in self.maps(x)]


class Exported(nn.Module):
    """The same with YuNet's twelve outputs."""

    def __init__(self, net: FaceNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        by_name = {}
        for stride, rows in zip(STRIDES, self.net(x), strict=True):
            parts = torch.split(rows, [n for _, n in PARTS], dim=2)
            for (name, _), part in zip(PARTS, parts, strict=True):
                by_name[f"{name}_{stride}"] = torch.sigmoid(part) if name in ("cls", "obj") else part
        return tuple(by_name[name] for name in OUTPUTS)


def load_yunet(net: FaceNet, file: Path) -> None:
    """Fill ``net`` with the values of a YuNet-n ONNX file, whose convolutions stand in the graph's order.

    Raises:
        ValueError: The file holds other layers.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(file).graph
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    convs = [n for n in graph.node if n.op_type == "Conv"]
    values = [[torch.from_numpy(np.array(tensors[name])) for name in conv.input[1:3]] for conv in convs]
    trunk: list[nn.Conv2d] = [net.stem]
    for unit in (*net.units, *reversed(net.lateral), *net.shared):
        trunk += [unit.point, unit.depth]  # type: ignore[union-attr,list-item]
    if len(values) != len(trunk) + 24:
        raise ValueError(f"{file} has {len(values)} convolutions, YuNet-n has {len(trunk) + 24}")
    for layer, (weight, bias) in zip(trunk, values, strict=False):
        layer.weight.data.copy_(weight)
        layer.bias.data.copy_(bias)  # type: ignore[union-attr]
    # The file holds, for each of cls, bbox, obj, kps and each stride, a 1×1 and a 3×3 layer.
    rest = values[len(trunk) :]
    for level, head in enumerate(net.heads):
        for offset, layer in enumerate((head.point, head.depth)):
            pairs = [rest[(part * 3 + level) * 2 + offset] for part in range(4)]
            layer.weight.data.copy_(torch.cat([w for w, _ in pairs]))  # type: ignore[union-attr,operator]
            layer.bias.data.copy_(torch.cat([b for _, b in pairs]))  # type: ignore[union-attr,operator]


def export(net: FaceNet, file: Path) -> None:
    """Write ``net`` as an ONNX file with YuNet's input, outputs and free height and width."""
    import onnx

    model = Exported(net.float().eval().to(memory_format=torch.contiguous_format))
    size = {2: torch.export.Dim("h", min=2, max=256) * 32, 3: torch.export.Dim("w", min=2, max=256) * 32}
    program = torch.onnx.export(
        model,
        (torch.rand(1, 3, 320, 256) * 255,),
        input_names=["input"],
        output_names=OUTPUTS,
        dynamo=True,
        dynamic_shapes=(size,),
        opset_version=18,
        external_data=False,
    )
    assert program is not None
    proto = program.model_proto
    for node in proto.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del value.metadata_props[:]
    del proto.graph.value_info[:]
    onnx.checker.check_model(proto)
    onnx.save(proto, file)
