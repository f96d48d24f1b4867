"""What every network of unmask has in common."""

from __future__ import annotations

from typing import Any, Self

from torch import Tensor, nn


class Network(nn.Module):
    """Turns crops into logits and evidence maps; mean and standard deviation are inside.

    Attributes:
        size: Side of the crops in pixels, the one that shapes were worked out for.
        head_names: Names of the modules and parameters that stand on the backbone; all that is inside counts too.
        frozen_norms: Full names of the normalisations that keep their statistics in training as well; set by
            :func:`unmask.train.freeze.apply`.
        start: What is known of its start weights (:class:`unmask.train.weights.Record`), or None.
    """

    size: int = 224
    head_names: frozenset[str] = frozenset()
    frozen_norms: frozenset[str] = frozenset()
    start: Any = None

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Score crops.

        Args:
            crops: N×3×S×S RGB, uint8 or float 0...255.

        Returns:
            logit: N; above 0 = fake.
            map: N×h×w in logits; where the logit comes from. In training mode of a head with kinds their scores,
                N×kinds, instead.
        """
        raise NotImplementedError

    def train(self, mode: bool = True) -> Self:
        """Set the mode; frozen normalisations stay in evaluation mode."""
        super().train(mode)
        for name in self.frozen_norms:
            self.get_submodule(name).eval()
        return self
