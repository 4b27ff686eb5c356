"""Networks that treat elements alike and let them meet only in a pool (Zaheer et al. 2017).

Normalization that respects sets.

Classification by the evidence of each patch alone.
"""

import torch
from torch import Tensor, nn

from patchsets.set_module.pooling import Pool
from patchsets.set_module.segment import at_least_float32, segment_mean
from patchsets.set_module.sets import Sets


class Each(nn.Sequential):
    """Apply modules to every element by itself, one after the other: sets of `[D]` to sets of `[E]`."""

    def forward(self, sets: Sets) -> Sets:
        return sets.with_values(super().forward(sets.values))


class DeepSets(nn.Module):
    """Encode each element by `phi`, pool, and map the pooled vector by `rho`: sets of `[D]` to `[B, E]`."""

    def __init__(self, phi: nn.Module, rho: nn.Module, pool: str = "sum") -> None:
        super().__init__()
        self.phi = Each(phi)
        self.pool = Pool(pool)
        self.rho = rho

    def forward(self, sets: Sets) -> Tensor:
        return self.rho(self.pool(self.phi(sets)))


class EquivariantLinear(nn.Module):
    """Map each element, less a map of what its set is pooled to: sets of `[dim_in]` to sets of `[dim]`.

    The equivariant layer of the paper, whose non-linearity follows as `Each(nn.ReLU())`.
    """

    def __init__(self, dim_in: int, dim: int, pool: str = "max") -> None:
        super().__init__()
        self.element = nn.Linear(dim_in, dim)
        self.pool = Pool(pool)
        self.pooled = nn.Linear(dim_in, dim, bias=False)

    def forward(self, sets: Sets) -> Sets:
        return sets.with_values(self.element(sets.values) - sets.spread(self.pooled(self.pool(sets))))


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
        values = at_least_float32(sets.values)  # in float16 the square of 256 is infinite
        centred = values - self._spread_mean(sets.with_values(values))
        variance = self._spread_mean(sets.with_values(centred.square()))
        normed = centred * (variance + self.eps).rsqrt() * self.weight + self.bias
        return sets.with_values(normed.to(sets.values.dtype))

    @staticmethod
    def _spread_mean(sets: Sets) -> Tensor:
        """Average over elements and features, one value per set, given back to its elements `[T, 1]`."""
        return sets.spread(segment_mean(sets.with_values(sets.values.mean(-1, keepdim=True))))


class PatchLogits(nn.Module):
    """Classify each element and average: sets of `[D]` to `[B, classes]` (BagNet, Brendel and Bethge 2019).

    `return_logits` adds the elements' own, sets of `[classes]`: placed where the patches were cut they are a
    map of the evidence, whose mean is exactly the answer. An empty set gives 0.
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.classify = nn.Linear(dim, classes)

    def forward(self, sets: Sets, return_logits: bool = False) -> Tensor | tuple[Tensor, Sets]:
        logits = sets.with_values(self.classify(sets.values))
        return (segment_mean(logits), logits) if return_logits else segment_mean(logits)
