"""Run a network of the YuNet family: one pass over one picture of one size.

Source: Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20, 2023.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmask.base.errors import BundleError
from unmask.base.ort import make_session
from unmask.faces.types import Face

STRIDES = (8, 16, 32)
BRIGHT_KEY = "unmask.bright"
"""Key of a network's metadata: the mean, 0...255, to which dark pictures are to be brought before it looks."""
MOST_GAIN = 12.0
"""The most that a dark picture is multiplied with: beyond it there is little but noise."""
_OUTPUTS = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES]


class YuNet:
    """One loaded network.

    Args:
        model: ONNX file: input ``input`` float32 1×3×H×W BGR 0...255, H and W multiples of 32; outputs ``cls_s``,
            ``obj_s``, ``bbox_s``, ``kps_s`` for the strides s = 8, 16, 32. Metadata :data:`BRIGHT_KEY` as in
            :func:`gain_for`; without it pictures come as they are.
        device: See :func:`unmask.base.ort.resolve_device`.
        threads: Threads within an operator.

    Raises:
        BundleError: The file is not such a network.
    """

    def __init__(self, model: Path | bytes, *, device: str = "auto", threads: int | None = None) -> None:
        self._session: Any = make_session(model, device=device, threads=threads)
        self._input = self._session.get_inputs()[0].name
        self._bright = _bright_of(self._session.get_modelmeta().custom_metadata_map.get(BRIGHT_KEY, "0"))

    def raw(self, image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """The twelve outputs for an H×W×3 uint8 RGB picture, padded with black right and below to multiples of 32."""
        return list(self._session.run(_OUTPUTS, {self._input: to_input(image, gain_for(image, self._bright))}))

    def find(self, image: NDArray[np.uint8], threshold: float = 0.6, nms: float = 0.3) -> list[Face]:
        """Faces of a picture at the size it has, most certain first; boxes in its pixels."""
        height, width = (-(-side // 32) * 32 for side in image.shape[:2])
        return decode(self.raw(image), height, width, threshold, nms)


def _bright_of(text: str) -> float:
    """The number that the metadata hold."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 255:
        raise BundleError(
            f"the face detector's metadata {BRIGHT_KEY} are {text!r}", hint="They must be a number from 0 to 255"
        )
    return value


def gain_for(image: NDArray[np.uint8], bright: float) -> float:
    """What an H×W×3 picture is to be multiplied with, 1...:data:`MOST_GAIN`, for a mean of about ``bright``.

    Never so much that what is light now would be white: a lit face before a black wall is left alone, however dark the
    picture is as a whole. Every fourth row and column is looked at; pixels that are black (a border) do not count.
    """
    if bright <= 0:
        return 1.0
    # A channel at a time: numpy's maximum over an axis of three takes twenty times as long.
    red, green, blue = (np.ascontiguousarray(image[::4, ::4, channel]) for channel in range(3))
    brightest = np.maximum(np.maximum(red, green), blue)
    lit = int(np.count_nonzero(brightest))
    if not lit:
        return 1.0
    mean = sum(float(channel.sum(dtype=np.int64)) for channel in (red, green, blue)) / (3 * lit)
    gain: float = min(bright / mean, 255 / float(brightest.max()), MOST_GAIN)
    return max(gain, 1.0)


def to_input(image: NDArray[np.uint8], gain: float = 1.0) -> NDArray[np.float32]:
    """H×W×3 uint8 RGB to the network's 1×3×H'×W' float32 BGR, H' and W' the next multiples of 32.

    ``gain`` multiplies it first; what that makes lighter than white is white.
    """
    height, width = image.shape[:2]
    tensor = np.zeros((1, 3, -(-height // 32) * 32, -(-width // 32) * 32), np.float32)
    inner = tensor[0, :, :height, :width]
    inner[:] = image[:, :, ::-1].transpose(2, 0, 1)
    if gain > 1:
        np.minimum(np.multiply(inner, np.float32(gain), out=inner), np.float32(255), out=inner)
    return tensor


def decode(
    outputs: list[NDArray[np.float32]],
    height: int,  # noqa: ARG001
    width: int,
    threshold: float,
    nms: float,
) -> list[Face]:
    """Turn the twelve outputs (order of ``cls``, ``obj``, ``bbox``, ``kps`` by stride) into faces.

    Score = sqrt(cls * obj); centre = (cell + d) * stride; size = exp(d) * stride; non-maximum suppression at ``nms``.
    """
    boxes, scores, points = [], [], []
    for level, stride in enumerate(STRIDES):
        cls, obj, bbox, kps = (outputs[kind * 3 + level].reshape(-1, n) for kind, n in enumerate((1, 1, 4, 10)))
        score = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
        keep = np.flatnonzero(score >= threshold)
        if not keep.size:
            continue
        cells = np.stack([keep % (width // stride), keep // (width // stride)], axis=1).astype(np.float32)
        centre = (cells + bbox[keep, :2]) * stride
        half = np.exp(bbox[keep, 2:]) * stride / 2
        boxes.append(np.concatenate([centre - half, centre + half], axis=1))
        scores.append(score[keep])
        points.append((kps[keep].reshape(-1, 5, 2) + cells[:, None]) * stride)
    if not boxes:
        return []
    box, score, point = np.concatenate(boxes), np.concatenate(scores), np.concatenate(points)
    return [
        Face((float(box[i, 0]), float(box[i, 1]), float(box[i, 2]), float(box[i, 3])), float(score[i]), point[i])
        for i in suppress(box, score, nms)
    ]


def suppress(boxes: NDArray[np.float32], scores: NDArray[np.float32], overlap: float) -> list[int]:
    """Non-maximum suppression: indices that stay, highest score first (N×4 boxes, intersection over union)."""
    order = np.argsort(-scores, kind="stable")
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    while order.size:
        best, rest = int(order[0]), order[1:]
        kept.append(best)
        corner = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2])
        inter = np.prod(np.clip(corner, 0, None), axis=1)
        order = rest[inter <= overlap * (area[best] + area[rest] - inter)]
    return kept
