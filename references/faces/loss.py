"""What the network is told: which cells of its three grids own a face, and what they should say.

Assignment after Ge et al., "YOLOX: Exceeding YOLO Series in 2021" (SimOTA), as YuNet uses it; box loss after Zhang
et al., "Focal and Efficient IOU Loss for Accurate Bounding Box Regression", 2021 (EIoU).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

STRIDES = (8, 16, 32)
RADIUS, CANDIDATES = 2.5, 10


@dataclass(frozen=True)
class Weights:
    """Weights of the four losses (YuNet's own, but for the points and for cells that own no face: ``denied``)."""

    cls: float = 1.0
    obj: float = 1.0
    denied: float = 3.0
    box: float = 5.0
    points: float = 0.5
    dense: float = 1.0
    dense_points: float = 0.5


def grid(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Cells of all strides in the order of the outputs, P×3: x and y in pixels, stride."""
    cells = []
    for stride in STRIDES:
        y, x = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        xy = torch.stack([x, y], dim=2).reshape(-1, 2).float() * stride
        cells.append(torch.cat([xy, torch.full((len(xy), 1), float(stride))], dim=1))
    return torch.cat(cells).to(device)


def boxes_of(raw: Tensor, cells: Tensor) -> Tensor:
    """Raw B×P×4 (dx, dy, log w, log h, in cells) to corners in pixels."""
    centre = cells[:, :2] + raw[..., :2] * cells[:, 2:]
    half = torch.exp(raw[..., 2:].clamp(max=6.0)) * cells[:, 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of corner boxes, broadcast."""
    wh = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    inter = wh[..., 0] * wh[..., 1]
    area_a = (a[..., 2] - a[..., 0]) * (a[..., 3] - a[..., 1])
    area_b = (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])
    return inter / (area_a + area_b - inter).clamp(min=1e-6)


def eiou_loss(a: Tensor, b: Tensor) -> Tensor:
    """1 - IoU, and the distances of centres, widths and heights over those of the box around both."""
    outer = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    centre = ((a[..., :2] + a[..., 2:]) - (b[..., :2] + b[..., 2:])) / 2
    size = (a[..., 2:] - a[..., :2]) - (b[..., 2:] - b[..., :2])
    far = (centre**2).sum(-1) / (outer**2).sum(-1).clamp(min=1e-6)
    return 1 - iou(a, b) + far + ((size**2) / (outer**2).clamp(min=1e-6)).sum(-1)


@torch.no_grad()
def assign(score: Tensor, boxes: Tensor, cells: Tensor, truth: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Which face each cell owns.

    Args:
        score: B×P, the network's sqrt(cls·obj).
        boxes: B×P×4, its boxes.
        cells: P×3.
        truth: B×G×4 faces, padded.
        there: B×G, False for padding.

    Returns:
        Owner B×P (-1: none) and the IoU of the owned face with the cell's box, B×P.
    """
    batch, faces = truth.shape[:2]
    xy, reach = cells[:, :2], cells[:, 2] * RADIUS
    inside = ((xy > truth[:, :, None, :2]) & (xy < truth[:, :, None, 2:])).all(-1)
    middle = (truth[..., :2] + truth[..., 2:]) / 2
    near = ((xy - middle[:, :, None]).abs() < reach[:, None]).all(-1)
    there = there[:, :, None]
    both, either = inside & near & there, (inside | near) & there
    overlap = iou(truth[:, :, None], boxes[:, None]) * either
    cost = -torch.log(score.clamp(1e-6, 1))[:, None] - 3 * torch.log(overlap.clamp(min=1e-7))
    cost = torch.where(both, cost, cost + 1e5)
    cost = torch.where(either, cost, torch.full_like(cost, 1e9))
    count = overlap.topk(min(CANDIDATES, overlap.shape[2]), dim=2).values.sum(2).int().clamp(min=1)
    best = cost.topk(min(CANDIDATES, cost.shape[2]), dim=2, largest=False)
    taken = (torch.arange(best.values.shape[2], device=cost.device) < count[:, :, None]) & (best.values < 1e8)
    chosen = torch.full_like(cost, 1e9).scatter(2, best.indices, torch.where(taken, best.values, 1e9))
    lowest, owner = chosen.min(dim=1) if faces else (torch.full_like(score, 1e9), torch.zeros_like(score).long())
    owner = torch.where(lowest < 1e8, owner, -1)
    match = overlap.gather(1, owner.clamp(min=0)[:, None])[:, 0] if faces else torch.zeros_like(score)
    return owner, match.view(batch, -1)


def detection_loss(
    outputs: list[Tensor],
    truth: Tensor,
    height: int,
    width: int,
    weights: Weights,
    teacher: list[Tensor] | None = None,
    asked: Tensor | None = None,
) -> dict[str, Tensor]:
    """The losses and their weighted sum ``total``.

    Args:
        outputs: The network's rows at each stride, B×cells×16 (logits).
        truth: B×G×15 faces: corners, points, 1 = taught, 0 = neither taught nor denied, -1 = padding.
        height: Height of the input.
        width: Width of the input.
        weights: See :class:`Weights`.
        teacher: What the teacher says at every cell, B'×cells×16 (logits), about some of the pictures.
        asked: Which those are, B' indices.
    """
    out = torch.cat(outputs, dim=1).float()
    cls, box, obj, points = out[..., 0], out[..., 1:5], out[..., 5], out[..., 6:]
    cells = grid(height, width, out.device)
    corners = boxes_of(box, cells)
    score = torch.sqrt(torch.sigmoid(cls) * torch.sigmoid(obj))
    owner, match = assign(score.detach(), corners.detach(), cells, truth[..., :4], truth[..., 14] > 0.5)
    owned = owner >= 0
    number = owned.sum().clamp(min=out.shape[0])
    # Cells within a face that nobody is sure of, and not near the middle of one that is taught, are left alone.
    doubt = (truth[..., 14] > -0.5) & (truth[..., 14] < 0.5)
    xy = cells[:, :2]
    within = ((xy > truth[:, :, None, :2]) & (xy < truth[:, :, None, 2:4])).all(-1) & doubt[:, :, None]
    heard = owned | ~within.any(1)
    wrong = F.binary_cross_entropy_with_logits(obj, owned.float(), reduction="none")
    # What is taken for a face where none is costs more than a cell that is too modest: its neighbours speak for it.
    parts = {"obj": (wrong * torch.where(owned, 1.0, weights.denied))[heard].sum() / number}
    image, cell = owned.nonzero(as_tuple=True)
    want = truth[image, owner[image, cell]]
    parts["cls"] = F.binary_cross_entropy_with_logits(cls[image, cell], match[image, cell], reduction="sum") / number
    parts["box"] = eiou_loss(corners[image, cell], want[:, :4]).sum() / number
    at = cells[cell]
    aim = (want[:, 4:14].view(-1, 5, 2) - at[:, None, :2]) / at[:, None, 2:]
    parts["points"] = F.smooth_l1_loss(points[image, cell].view(-1, 5, 2), aim, beta=1 / 9, reduction="sum") / number
    if teacher is not None and asked is not None and len(asked):
        parts["dense"], parts["dense_points"] = dense_loss(out[asked], torch.cat(teacher, dim=1).float())
    parts["total"] = sum((getattr(weights, name) * value for name, value in parts.items()), torch.zeros(()))
    return parts


def dense_loss(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """How far every cell is from the teacher's (both N×P×16, logits): its scores; box and points where it sees a face.

    What the teacher says of the clean, upright picture is true of the same picture in the dark or half covered, and
    of one turned by 90° once its numbers are turned with it: far more to learn from than the few cells that own a face.
    """
    score = torch.sqrt(torch.sigmoid(theirs[..., 0]) * torch.sigmoid(theirs[..., 5]))
    seen = torch.where(score > 0.4, score, 0.0)
    number = seen.sum().clamp(min=1.0)
    here = F.binary_cross_entropy_with_logits(ours[..., 5], torch.sigmoid(theirs[..., 5]), reduction="sum")
    sure = F.binary_cross_entropy_with_logits(ours[..., 0], torch.sigmoid(theirs[..., 0]), weight=seen, reduction="sum")
    apart = F.smooth_l1_loss(ours, theirs, beta=1 / 9, reduction="none")
    box, points = apart[..., 1:5].sum(-1), apart[..., 6:].sum(-1)
    return (here + sure + 2 * (box * seen).sum()) / number, (points * seen).sum() / number


def turned_maps(
    rows: list[Tensor], height: int, width: int, quarters: int, mirror: bool, swap: list[int]
) -> list[Tensor]:
    """Rows (N×cells×16 at each stride) of a picture as if it had been turned by 90° counter-clockwise and mirrored.

    Args:
        rows: What was said of the picture as it is.
        height: Of the picture.
        width: Of the picture.
        quarters: 0 or 1.
        mirror: Whether it is then mirrored.
        swap: The order of the five points in a mirror.
    """
    out = []
    for stride, part in zip(STRIDES, rows, strict=True):
        maps = part.transpose(1, 2).reshape(len(part), 16, height // stride, width // stride)
        if quarters:
            maps = maps.rot90(1, (2, 3))
            xy = maps[:, 6:].reshape(len(maps), 5, 2, *maps.shape[2:])
            points = torch.stack([xy[:, :, 1], 1 - xy[:, :, 0]], dim=2).flatten(1, 2)
            centre = torch.stack([maps[:, 2], 1 - maps[:, 1]], dim=1)
            maps = torch.cat([maps[:, :1], centre, maps[:, [4, 3]], maps[:, 5:6], points], dim=1)
        if mirror:
            maps = maps.flip(3)
            xy = maps[:, 6:].reshape(len(maps), 5, 2, *maps.shape[2:])[:, swap]
            points = torch.stack([1 - xy[:, :, 0], xy[:, :, 1]], dim=2).flatten(1, 2)
            maps = torch.cat([maps[:, :1], 1 - maps[:, 1:2], maps[:, 2:6], points], dim=1)
        out.append(maps.flatten(2).transpose(1, 2))
    return out
