"""Pooling by sorting each feature over the set."""

import torch
from torch import Tensor, nn

from patchsets.set_module.segment import segment_sum
from patchsets.set_module.sets import Sets


class FSPool(nn.Module):
    """Sort each feature over the set and weigh it by rank: sets of `[D]` to `[B, D]` (Zhang et al. 2020).

    The weight is a piecewise linear function of the rank between 0, the largest, and 1, the smallest, learned
    for each feature at `pieces` + 1 points; so one function serves sets of every size. An empty set gives 0.
    """

    def __init__(self, dim: int, pieces: int = 20) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(pieces + 1, dim))

    def forward(self, sets: Sets) -> Tensor:
        return segment_sum(sets.with_values(sort_features(sets) * self._weights(sets)))

    def _weights(self, sets: Sets) -> Tensor:
        """Return each rank's weights `[T, D]`."""
        last_T = sets.spread(sets.lengths - 1).clamp(min=1)
        pieces = len(self.weight) - 1
        position_T = sets.position * pieces / last_T
        left_T = position_T.long().clamp(max=pieces - 1)
        along_T1 = (position_T - left_T)[:, None].to(self.weight.dtype)
        return torch.lerp(self.weight[left_T], self.weight[left_T + 1], along_T1)


def sort_features(sets: Sets) -> Tensor:
    """Sort every feature of each set by itself, the largest first: `[T, D]`."""
    x_BND, mask_BN = sets.padded()
    return sets.from_pad(x_BND.masked_fill(~mask_BN[..., None], -torch.inf).sort(1, descending=True).values)
