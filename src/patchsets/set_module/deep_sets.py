"""Networks that treat elements alike and let them meet only in a pool (Zaheer et al. 2017)."""

from torch import Tensor, nn

from patchsets.set_module.pooling import Pool
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
