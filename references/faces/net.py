"""The network: YuNet-n as it is, and a second opinion that shares its costly first layers.

YuNet-n's own layers stay frozen, so that what it finds is found. Beside what follows stride 8 lies a branch with the
same layers (which start with YuNet-n's values) and a few cheap residual blocks (which start as nothing); it learns
what YuNet-n misses: faces that are turned, covered, cut off. At every cell the surer of the two speaks. The twelve
small head layers of YuNet-n are run as three (the same numbers), which pays for a part of the branch. Dark pictures are
brightened before either looks (in :mod:`unmask.faces.yunet`; the file carries the mean that they are brought to).

Source of the architecture and of the start values: Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector",
Machine Intelligence Research 20, 2023; weights of ShiqiYu/libfacedetection.train, Apache-2.0.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from unmask.faces.yunet import BRIGHT_KEY

STRIDES = (8, 16, 32)
BLOCKS = (2, 4)
"""Residual blocks of the branch at strides 16 and 32."""
BRIGHT = 60.0
"""See :func:`unmask.faces.yunet.gain_for`; the file says it to whoever runs it."""
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


class Trunk(nn.Module):
    """YuNet-n with its head layers merged."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.units = nn.ModuleList([Unit(16, 16), Unit(16, 16), Unit(16, 64), *(Unit(64, 64) for _ in range(8))])
        self.lateral = nn.ModuleList(Unit(64, 64) for _ in STRIDES)
        self.shared = nn.ModuleList(Unit(64, 64) for _ in STRIDES)
        self.heads = nn.ModuleList(Unit(64, 16, relu=False) for _ in STRIDES)

    def features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What lies behind stride 8 (N×64×H/8×W/8), and the merged features at strides 8, 16, 32."""
        u = self.units
        x = F.max_pool2d(u[0](F.relu(self.stem(x))), 2)
        x = F.max_pool2d(u[4](u[3](u[2](u[1](x)))), 2)
        trunk = [u[6](u[5](x))]
        for level in (1, 2):
            trunk.append(u[6 + 2 * level](u[5 + 2 * level](F.max_pool2d(trunk[-1], 2))))
        levels = [trunk[0], trunk[1], self.lateral[2](trunk[2])]
        for level in (1, 0):
            levels[level] = self.lateral[level](levels[level] + upsampled(levels[level + 1]))
        return trunk[0], levels

    def maps(self, levels: list[Tensor]) -> list[Tensor]:
        """The merged head maps, N×16×H/s×W/s, for strides 8, 16, 32."""
        return [head(shared(x)) for head, shared, x in zip(self.heads, self.shared, levels, strict=True)]


class Branch(nn.Module):
    """The second opinion.

    Args:
        blocks: Residual blocks at strides 16 and 32.
    """

    def __init__(self, blocks: Sequence[int]) -> None:
        super().__init__()
        self.units = nn.ModuleList(Unit(64, 64) for _ in range(4))
        self.extra = nn.ModuleList(nn.Sequential(*(Block(64, 5) for _ in range(count))) for count in blocks)
        self.lateral = nn.ModuleList(Unit(64, 64) for _ in range(2))
        self.shared = nn.ModuleList(Unit(64, 64) for _ in STRIDES)
        self.heads = nn.ModuleList(Unit(64, 16, relu=False) for _ in STRIDES)

    def forward(self, fine: Tensor, levels: list[Tensor]) -> list[Tensor]:
        """Its head maps, from the trunk's :meth:`Trunk.features`."""
        u = self.units
        middle = self.extra[0](u[1](u[0](F.max_pool2d(fine, 2))))
        coarse = self.lateral[1](self.extra[1](u[3](u[2](F.max_pool2d(middle, 2)))))
        middle = self.lateral[0](middle + upsampled(coarse))
        # What the branch adds to the trunk's features at stride 16 is all that it adds at stride 8.
        own = [levels[0] + upsampled(middle + _negative(levels[1])), middle, coarse]
        return [head(shared(x)) for head, shared, x in zip(self.heads, self.shared, own, strict=True)]

    def start_from(self, trunk: Trunk) -> None:
        """Take the trunk's values: the branch then says what the trunk says."""
        pairs = [*zip(self.units, list(trunk.units)[7:], strict=True), *zip(self.heads, trunk.heads, strict=True)]
        pairs += [*zip(self.shared, trunk.shared, strict=True), *zip(self.lateral, trunk.lateral[1:], strict=True)]
        for ours, theirs in pairs:
            ours.load_state_dict(theirs.state_dict())


class FaceNet(nn.Module):
    """Takes N×3×H×W BGR 0...255; gives twice, for each stride, N×(H/s·W/s)×16: cls, bbox (4), obj, kps (10), as logits.

    Args:
        blocks: See :class:`Branch`.
    """

    def __init__(self, blocks: Sequence[int] = BLOCKS) -> None:
        super().__init__()
        self.trunk, self.branch = Trunk(), Branch(blocks)
        self.trunk.requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """What the trunk and what the branch says."""
        fine, levels = self.trunk.features(x)
        return rows_of(self.trunk.maps(levels)), rows_of(self.branch(fine, levels))


def rows_of(maps: list[Tensor]) -> list[Tensor]:
    """N×16×h×w as N×(h·w)×16."""
    return [m.flatten(2).transpose(1, 2) for m in maps]


def _negative(x: Tensor) -> Tensor:
    """-x, as a convolution: onnxruntime has no subtraction in the order of memory that its convolutions work in."""
    return F.conv2d(x, x.new_full((x.shape[1], 1, 1, 1), -1.0), groups=x.shape[1])


def upsampled(x: Tensor) -> Tensor:
    """Twice as high and wide."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class Exported(nn.Module):
    """YuNet's twelve outputs: what the surer of the two says at every cell.

    Written for onnxruntime, where a step costs about as much as what it does to so few numbers: the two that a cell is
    ranked by stand side by side, so that they are split off, not cut out, and are brought to 0...1 only once.

    Args:
        net: Trained; it is not changed.
        modest: Is taken from the branch's ``obj`` logits.
    """

    def __init__(self, net: FaceNet, modest: float = 0.0) -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        for head in self.net.branch.heads:
            head.depth.bias.data[5] -= modest  # type: ignore[union-attr,operator]
        for head in (*self.net.trunk.heads, *self.net.branch.heads):
            for layer in (head.point, head.depth):
                layer.weight.data = layer.weight.data[_RANKED_FIRST]  # type: ignore[union-attr,index]
                layer.bias.data = layer.bias.data[_RANKED_FIRST]  # type: ignore[union-attr,index]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        fine, levels = self.net.trunk.features(x)
        by_name = {}
        for stride, *pair in zip(STRIDES, self.net.trunk.maps(levels), self.net.branch(fine, levels), strict=True):
            (first, others), (second, instead) = (m.flatten(2).split([2, 14], dim=1) for m in pair)
            first, second = torch.sigmoid(first), torch.sigmoid(second)
            is_surer = _product(second) > _product(first)
            cls, obj = torch.where(is_surer, second, first).split(1, dim=1)
            bbox, kps = torch.where(is_surer, instead, others).split([4, 10], dim=1)
            for name, part in (("cls", cls), ("obj", obj), ("bbox", bbox), ("kps", kps)):
                by_name[f"{name}_{stride}"] = part.transpose(1, 2)
        return tuple(by_name[name] for name in OUTPUTS)


_RANKED_FIRST = [0, 5, *range(1, 5), *range(6, 16)]
"""cls, obj, bbox, kps, out of the order in which they stand in the merged layer: cls, bbox, obj, kps."""


def _product(ranked: Tensor) -> Tensor:
    cls, obj = ranked.split(1, dim=1)
    return cls * obj


def load_yunet(net: FaceNet, file: Path) -> None:
    """Fill the trunk, and the branch where it has the same layers, with the values of a YuNet-n ONNX file.

    Its convolutions stand in the graph's order.

    Raises:
        ValueError: The file holds other layers.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(file).graph
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    convs = [n for n in graph.node if n.op_type == "Conv"]
    values = [[torch.from_numpy(np.array(tensors[name])) for name in conv.input[1:3]] for conv in convs]
    layers: list[nn.Conv2d] = [net.trunk.stem]
    for unit in (*net.trunk.units, *reversed(net.trunk.lateral), *net.trunk.shared):
        layers += [unit.point, unit.depth]  # type: ignore[union-attr,list-item]
    if len(values) != len(layers) + 24:
        raise ValueError(f"{file} has {len(values)} convolutions, YuNet-n has {len(layers) + 24}")
    for layer, (weight, bias) in zip(layers, values, strict=False):
        layer.weight.data.copy_(weight)
        layer.bias.data.copy_(bias)  # type: ignore[union-attr]
    # The file holds, for each of cls, bbox, obj, kps and each stride, a 1×1 and a 3×3 layer.
    rest = values[len(layers) :]
    for level, head in enumerate(net.trunk.heads):
        for offset, layer in enumerate((head.point, head.depth)):
            pairs = [rest[(part * 3 + level) * 2 + offset] for part in range(4)]
            layer.weight.data.copy_(torch.cat([w for w, _ in pairs]))  # type: ignore[union-attr,operator]
            layer.bias.data.copy_(torch.cat([b for _, b in pairs]))  # type: ignore[union-attr,operator]
    net.branch.start_from(net.trunk)


def export(net: FaceNet, file: Path, modest: float = 0.0) -> None:
    """Write ``net`` as an ONNX file with YuNet's input, outputs and free height and width."""
    import onnx

    model = Exported(net.float(), modest).eval().to(memory_format=torch.contiguous_format)
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
    onnx.helper.set_model_props(proto, {BRIGHT_KEY: str(BRIGHT)})
    onnx.checker.check_model(proto)
    onnx.save(proto, file)
