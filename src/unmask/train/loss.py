"""What a training lowers."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def loss_of(
    logit: Tensor,
    target: Tensor,
    scores: Tensor | None,
    kinds: Tensor,
    *,
    smoothing: float,
    weights: tuple[float, float] = (1.0, 1.0),
) -> Tensor:
    """Binary cross-entropy of the logit, and where a head has kinds their cross-entropy.

    Args:
        logit: N, above 0 = fake.
        target: N, 0.0 or 1.0.
        scores: N×K, of the kinds; None without.
        kinds: N numbers below K; -1 where a sample is of none, which then has the first part alone.
        smoothing: Of the first part: its targets are ``smoothing / 2`` and ``1 - smoothing / 2``.
        weights: What a real and a fake weigh.

    Returns:
        The mean over the samples.
    """
    real, fake = weights
    weight = target * fake + (1 - target) * real
    loss = F.binary_cross_entropy_with_logits(logit, target * (1 - smoothing) + smoothing / 2, weight=weight)
    if scores is None:
        return loss
    of_kinds = F.cross_entropy(scores.float(), kinds.to(scores.device), ignore_index=-1, reduction="none")
    return loss + (of_kinds * weight).mean()
