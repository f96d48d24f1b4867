"""Smaller files of a network: 16-bit floats or 8-bit integers, each held against the network as it was trained."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import polars as pl
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from unmask.base.errors import BundleError
from unmask.base.files import replacing
from unmask.data.manifest import BOX, Manifest
from unmask.evaluate.platt import sigmoid
from unmask.faces.crop import crop_face
from unmask.faces.types import CropSpec
from unmask.model import Level
from unmask.train.cache import read_rgb
from unmask.train.storage import to_half

Export = Literal["fp32", "half", "int8"]

AUC_LOSS: dict[str, float] = {"half": 0.001, "int8": 0.003}
"""What a smaller file may lose on validation crops."""

CALIBRATION_CROPS = 96
"""Training crops that the ranges of 8-bit activations are taken from."""

HELD_CROPS = 600
"""Validation crops that a smaller file is held against the full one on."""

_BATCH = 8
_QUANTISED = ("Conv", "MatMul", "Gemm")
_HEADS = ("/head/", "/fine", "/coarse_logit")


@dataclass(frozen=True)
class Held:
    """A smaller file beside the full one.

    Attributes:
        real, fake: Validation crops of either label.
        auc, full_auc: Of the smaller and of the full file.
        difference: The largest difference of ``p_fake``.
    """

    real: int
    fake: int
    auc: float
    full_auc: float
    difference: float

    @property
    def loss(self) -> float:
        """AUC lost; below 0 where the smaller file happens to be better."""
        return self.full_auc - self.auc

    def can_judge(self, export: Export) -> bool:
        """Whether the crops are enough: one pair of a real and a fake in the other order is no more than is allowed."""
        return self.real * self.fake * AUC_LOSS[export] >= 1

    def __str__(self) -> str:
        return (
            f"AUC {self.auc:.4f} instead of {self.full_auc:.4f} on {self.real} real and {self.fake} fake validation "
            f"crops, p_fake differs by {self.difference:.4f} at most"
        )


def compress(graph: Path, out: Path, export: Export, manifest: Manifest, spec: CropSpec) -> None:
    """Write a smaller graph.

    Args:
        graph: As trained, of :func:`unmask.train.export.export_onnx`.
        out: Written whole or not at all; may be ``graph``.
        export: ``half``: large weights as float16, calculated with as float32. ``int8``: convolutions and dense layers
            of the backbone with 8-bit weights (one scale a channel) and activations (ranges from training crops); the
            head, of which logit and map are made, stays as it is (of a user's own network: the last layer before the
            logit, see :func:`head_nodes`). ``fp32``: a copy.
        manifest: Its training rows give the crops for the ranges.
        spec: How they are cut.

    Raises:
        BundleError: onnxruntime cannot quantise this network.
    """
    if export == "int8":
        _quantise(graph, out, crops_of(manifest.select("train", with_face=True), spec, CALIBRATION_CROPS)[0])
        return
    model = onnx.load(graph)
    with replacing(out) as temporary:
        onnx.save(to_half(model) if export == "half" else model, temporary)


def crops_of(manifest: Manifest, spec: CropSpec, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Crops N×S×S×3 and labels of at most ``count`` rows, as many of either label as there are, always the same."""
    table = pick(manifest, count).table
    crops, labels = [], []
    for row in table.iter_rows(named=True):
        x0, y0, x1, y1 = (float(row[name]) for name in BOX)
        crops.append(crop_face(read_rgb(manifest.file(row)), (x0, y0, x1, y1), spec))
        labels.append(int(row["label"]))
    return np.stack(crops), np.array(labels)


def pick(manifest: Manifest, count: int) -> Manifest:
    """At most ``count`` rows, half of each label where there are enough."""
    parts = [
        manifest.table.filter(pl.col("label") == label).sample(fraction=1.0, shuffle=True, seed=1).head(count // 2)
        for label in (0, 1)
    ]
    return Manifest(pl.concat(parts), manifest.roots)


def hold(full: NDArray[Any], small: NDArray[Any], labels: NDArray[Any], level: Level) -> Held:
    """Compare two files on the same validation crops.

    Args:
        full, small: Logits N.
        labels: N; 1 = fake.
        level: Turns logits into ``p_fake``.
    """
    before, after = (sigmoid(level.scale * np.asarray(part, np.float64) + level.shift) for part in (full, small))
    return Held(
        real=int((labels == 0).sum()),
        fake=int((labels == 1).sum()),
        auc=float(roc_auc_score(labels, small)),
        full_auc=float(roc_auc_score(labels, full)),
        difference=float(np.abs(before - after).max(initial=0.0)),
    )


_BY_CHANCE = 3.5
"""Pairs of a real and a fake: fewer in the other order say nothing of a small set."""


def require(held: Held, export: Export) -> None:
    """Refuse a file that lost too much.

    Raises:
        BundleError: More AUC is lost than :data:`AUC_LOSS` allows; of too few crops it is said that they are.
    """
    allowed = AUC_LOSS[export]
    if held.loss > allowed and not held.can_judge(export) and held.loss * held.real * held.fake < _BY_CHANCE:
        raise BundleError(
            f"the validation set is too small to judge the {export} file: {held}. A loss of {allowed} is allowed, "
            f"and one pair of a real and a fake in the other order is already {1 / (held.real * held.fake):.2g} here",
            hint="Validate on more pictures, or export as fp32",
        )
    if held.loss > allowed:
        raise BundleError(
            f"the {export} file loses too much: {held}; at most {allowed} are allowed",
            hint="Export as half, or as fp32",
        )


class _Reader:
    """Hands crops to onnxruntime's calibration."""

    def __init__(self, crops: NDArray[np.uint8]) -> None:
        self._batches = self._cut(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))

    @staticmethod
    def _cut(crops: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(crops), _BATCH):
            yield crops[start : start + _BATCH]

    def get_next(self) -> dict[str, Any] | None:
        """A batch, or None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {"crops": batch}


def _quantise(graph: Path, out: Path, crops: NDArray[np.uint8]) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, replacing(out) as temporary:
        ready = Path(folder) / "ready.onnx"
        try:
            quant_pre_process(str(graph), str(ready), skip_symbolic_shape=True)
            kept = head_nodes(onnx.load(ready).graph)
            quantize_static(
                str(ready),
                str(temporary),
                _Reader(crops),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_QUANTISED),
                per_channel=True,
                # Seven bits: processors without VNNI add pairs of products in 16 bits, which eight would overflow.
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=sorted(kept),
            )
        except Exception as error:  # whatever onnxruntime raises: its own errors share no other class
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise BundleError(f"onnxruntime cannot quantise this network: {reason}", hint="Export as half") from error


def head_nodes(graph: onnx.GraphProto) -> set[str]:
    """Names of the nodes that are to stay as they are: what stands on the backbone, in whatever network.

    These are the last convolutions or dense layers on each way to ``logit``; what serves the map alone; and, as the
    exporter names nodes by the path of their module, all of our own heads, whose dense layers are several (with what
    stands behind a node of theirs: one that onnxruntime made of two has another name).
    """
    last = {node.name for node in _before(graph, "logit", past=False) if node.op_type in _QUANTISED}
    needed = {node.output[0] for node in _before(graph, "logit", past=True)}
    aside = {node.name for node in graph.node if node.output[0] not in needed}
    ours = {node.name for node in graph.node if node.name.startswith(_HEADS)}
    reached: set[str] = set()
    for node in graph.node:
        if node.name in ours or reached.intersection(node.input):
            reached.update(node.output)
            ours.add(node.name)
    return {name for name in last | aside | ours if name}


def _before(graph: onnx.GraphProto, tensor: str, *, past: bool) -> list[onnx.NodeProto]:
    """The nodes that a tensor is made by; ``past`` convolutions and dense layers, or only up to the first on a way."""
    maker = {output: node for node in graph.node for output in node.output}
    found: list[onnx.NodeProto] = []
    todo, seen = [tensor], {tensor}
    while todo:
        node = maker.get(todo.pop())
        if node is None:  # an input, or weights
            continue
        found.append(node)
        if past or node.op_type not in _QUANTISED:
            further = set(node.input) - seen
            seen |= further
            todo += further
    return found
