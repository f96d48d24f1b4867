"""From features with places to one vector, and from a slope on that vector back to the places."""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from unmask.base.errors import DataError

MOST_CHANNELS = 512
"""More would give the covariance over 131,328 values; its root would take two billion multiplications a crop."""

AROUND = 5
"""Side of the square of places that a place of the covariance's map is the mean of."""

ROOT_STEPS = 5
"""Newton-Schulz steps towards the root of a covariance, as Li et al. took; weights are made for one number of them."""

_FLAT = 1e-8
"""Added to a variance: features that are everywhere alike have none."""


class Average(nn.Module):
    """The mean over all places."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = channels

    def forward(self, features: Tensor) -> Tensor:
        """N×width of features N×C×h×w."""
        return features.mean((2, 3))

    def spread(self, features: Tensor, slope: Tensor) -> Tensor:
        """What each place adds to ``slope`` times the vector: N×h×w, whose mean is that sum.

        Args:
            features: N×C×h×w.
            slope: 1×width or N×width.
        """
        # The gradient at a place is the slope over the number of places, by which HiResCAM is multiplied.
        return (features * slope[:, :, None, None]).sum(1)


class Flatten(nn.Module):
    """Every channel of every place."""

    def __init__(self, channels: int, high: int, wide: int) -> None:
        super().__init__()
        self.width = channels * high * wide

    def forward(self, features: Tensor) -> Tensor:
        """N×width of features N×C×h×w."""
        return features.flatten(1)

    def spread(self, features: Tensor, slope: Tensor) -> Tensor:
        """See :meth:`Average.spread`."""
        _, _, high, wide = features.shape
        return (features * slope.unflatten(1, features.shape[1:])).sum(1) * (high * wide)


class Covariance(nn.Module):
    """How every two channels vary together over the places, scaled to mean 0 and deviation 1 over the training.

    What a mean forgets is texture: which traces occur at the same place. A generator's pictures differ from photographs
    in it even in the features of a network that has never seen one. Sources: Lin, RoyChowdhury, Maji, "Bilinear CNN
    Models for Fine-grained Visual Recognition", 2015; for generated faces, Liu, Qi, Torr, "Global Texture Enhancement
    for Fake Face Detection in the Wild", 2020.

    Args:
        channels: C; the vector has C (C + 1) / 2 values.

    Raises:
        DataError: There are more than :data:`MOST_CHANNELS`.
    """

    pairs: Tensor
    places: Tensor
    share: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels > MOST_CHANNELS:
            raise DataError(
                f"the covariance of {channels} channels has {channels * (channels + 1) // 2:,} values",
                hint=f"Take features with at most {MOST_CHANNELS} channels: set network.stride, or network.cnn.widths",
            )
        self.width = channels * (channels + 1) // 2
        self.norm = nn.BatchNorm1d(self.width, affine=False)
        rows, columns = torch.triu_indices(channels, channels)
        self.register_buffer("pairs", rows * channels + columns, persistent=False)
        # Off the diagonal a value of the vector stands for two of the matrix.
        places = torch.empty(channels, channels, dtype=torch.long)
        places[rows, columns] = places[columns, rows] = torch.arange(self.width)
        self.register_buffer("places", places.flatten(), persistent=False)
        self.register_buffer("share", torch.eye(channels).flatten() * 0.5 + 0.5, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """N×width of features N×C×h×w."""
        # In full precision: squares of features, summed over all places, leave the range of a half.
        with torch.autocast(features.device.type, enabled=False):
            return self.norm(self._matrix(_centred(features)).flatten(1)[:, self.pairs])

    def spread(self, features: Tensor, slope: Tensor) -> Tensor:
        """See :meth:`Average.spread`; it is the sum but for what scaling took off, which is the same for every crop.

        One place says little of how channels vary together: each gets the mean of the places around it.
        """
        with torch.autocast(features.device.type, enabled=False):
            form = self._form(slope.float(), features.shape[1])
            sharp = self._places(form, _centred(features)).unflatten(1, features.shape[2:])
        return _around(sharp)

    def _matrix(self, centred: Tensor) -> Tensor:
        """What is pooled, N×C×C, of features N×C×(h·w) without their mean."""
        return centred @ centred.transpose(1, 2) / centred.shape[2]

    def _places(self, form: Tensor, centred: Tensor) -> Tensor:
        """What each place adds to the sum of ``form`` times :meth:`_matrix`, times the number of places: N×(h·w)."""
        return ((form @ centred) * centred).sum(1)

    def _form(self, slope: Tensor, channels: int) -> Tensor:
        """A slope on the vector as one on the matrix, N×C×C, before scaling."""
        return (before_norm(self.norm, slope)[:, self.places] * self.share).unflatten(1, (channels, channels))


class RootCovariance(Covariance):
    """About the square root of the covariance over the mean variance, as a matrix; scaled like :class:`Covariance`.

    A covariance is led by its few strongest directions; its root brings the weak ones nearer, and over the mean
    variance of the channels the overall strength of the features falls out. Five steps reach the root of directions
    that hold more than some twentieth of the whole; weaker ones they raise by at most 7.6 times. Source: Li, Xie, Wang,
    Gao, "Towards Faster Training of Global Covariance Pooling Networks by Iterative Matrix Square Root Normalization",
    2018; here without their compensation for the trace.
    """

    def _matrix(self, centred: Tensor) -> Tensor:
        return self._root(centred)[0]

    def _places(self, form: Tensor, centred: Tensor) -> Tensor:
        # At every step the root is the covariance times what goes to its inverse root: a sum over places, if the
        # latter, of all places together, is held fixed.
        _, inverse, variance = self._root(centred)
        return super()._places(form @ inverse, centred) / variance[:, :, 0]

    def _root(self, centred: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Root and inverse root N×C×C of the covariance over the mean variance, and that variance N×1×1."""
        channels = centred.shape[1]
        unit = torch.eye(channels, device=centred.device)
        variance = centred.square().mean((1, 2), keepdim=True) + _FLAT
        # The steps lead to the root where no direction is stronger than one: over the trace, the sum of all.
        root = super()._matrix(centred) / (variance * channels)
        inverse = 1.5 * unit - 0.5 * root
        root = root @ inverse
        for _ in range(ROOT_STEPS - 1):
            step = 1.5 * unit - 0.5 * (inverse @ root)
            root, inverse = root @ step, step @ inverse
        return root * math.sqrt(channels), inverse / math.sqrt(channels), variance


def before_norm(norm: _BatchNorm, slope: Tensor) -> Tensor:
    """A slope N×C on what a batch norm gives, in evaluation mode, as one on what it takes."""
    spread = torch.rsqrt(cast(Tensor, norm.running_var) + norm.eps)
    return slope * (spread if norm.weight is None else spread * norm.weight)


def _around(sharp: Tensor) -> Tensor:
    soft = F.avg_pool2d(sharp.unsqueeze(1), AROUND, 1, AROUND // 2, count_include_pad=False).squeeze(1)
    return soft + (sharp - soft).mean((1, 2), keepdim=True)


def _centred(features: Tensor) -> Tensor:
    places = features.flatten(2).float()
    return places - places.mean(2, keepdim=True)
