"""Normalization that respects sets."""

import torch
from torch import Tensor, nn

from patchsets.set_module.segment import segment_mean
from patchsets.set_module.sets import Sets


class SetNorm(nn.Module):
    """Normalize each set by one mean and variance of all its elements and features, then scale and shift.

    Sets of `[D]` to sets of `[D]` (Zhang et al. 2022).
    """

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.eps = eps

    def forward(self, sets: Sets) -> Sets:
        centred = sets.values - self._spread_mean(sets)
        variance = self._spread_mean(sets.with_values(centred.square()))
        return sets.with_values(centred * (variance + self.eps).rsqrt() * self.weight + self.bias)

    @staticmethod
    def _spread_mean(sets: Sets) -> Tensor:
        """Average over elements and features, one value per set, given back to its elements `[T, 1]`."""
        return sets.spread(segment_mean(sets.with_values(sets.values.mean(-1, keepdim=True))))
