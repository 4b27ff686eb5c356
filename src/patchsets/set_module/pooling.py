"""From sets to one vector each: fixed reductions, and attention pooling for multiple-instance learning."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from patchsets.set_module import segment
from patchsets.set_module.sets import Sets
from workbench.common.errors import ConfigError

REDUCTIONS: dict[str, Callable[[Sets], Tensor]] = {
    "sum": segment.segment_sum,
    "mean": segment.segment_mean,
    "max": segment.segment_max,
    "min": segment.segment_min,
    "std": segment.segment_std,
    "logsumexp": segment.segment_logsumexp,
}


class Pool(nn.Module):
    """Reduce each set by name, several names side by side: sets of `[D]` to `[B, len(names) * D]`.

    Names: sum, mean, max, min, std (divided by the size), logsumexp. An empty set gives 0 for each.
    """

    def __init__(self, *names: str) -> None:
        super().__init__()
        unknown = [name for name in names if name not in REDUCTIONS]
        if unknown or not names:
            raise ConfigError(f"Pool({', '.join(unknown)}): give one or more of {', '.join(REDUCTIONS)}")
        self.names = names
        # Whether pooling pooled parts equals pooling the whole, so that a set may be streamed.
        self.associative = len(names) == 1 and names[0] in {"sum", "max", "min", "logsumexp"}

    def forward(self, sets: Sets) -> Tensor:
        return torch.cat([REDUCTIONS[name](sets) for name in self.names], dim=-1)

    def extra_repr(self) -> str:
        return ", ".join(self.names)


class AttentionPool(nn.Module):
    """Average each set with weights learned from its elements: sets of `[D]` to `[B, D]` (Ilse et al. 2018).

    An empty set gives 0. `return_attention` adds the weights, sets of `[]` adding up to 1.
    """

    def __init__(self, dim: int, hidden: int = 128, gated: bool = True) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, hidden)
        self.gate = nn.Linear(dim, hidden) if gated else None
        self.score = nn.Linear(hidden, 1)

    def forward(self, sets: Sets, return_attention: bool = False) -> Tensor | tuple[Tensor, Sets]:
        hidden = self.hidden(sets.values).tanh()
        if self.gate is not None:
            hidden = hidden * self.gate(sets.values).sigmoid()
        weights = segment.segment_softmax(sets.with_values(self.score(hidden)))
        pooled = segment.segment_sum(sets.with_values(sets.values * weights.values))
        return (pooled, weights.with_values(weights.values[:, 0])) if return_attention else pooled
