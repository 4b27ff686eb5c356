"""From sets to one vector each: fixed reductions, and attention pooling for multiple-instance learning.

Pooling by sorting each feature over the set.

Slot attention: elements are shared out among slots that compete for them (Locatello et al. 2020).

Shapes: B sets, N elements of the largest, S slots, D features.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from patchsets.set_module import segment
from patchsets.set_module.segment import segment_sum
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

    An empty set gives 0. `return_attention` adds the weights, sets of `[]` that add up to 1, in float32 at
    least.
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
        scores = segment.at_least_float32(self.score(hidden))  # in float16 weights of 1 / N are lost
        weights = segment.segment_softmax(sets.with_values(scores))
        pooled = segment.segment_sum(sets.with_values(sets.values * weights.values)).to(sets.values.dtype)
        return (pooled, weights.with_values(weights.values[:, 0])) if return_attention else pooled


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


class SlotAttention(nn.Module):
    """Share each set out among S slots: sets of `[D]` to `[B, S, D]`.

    Each slot starts from learned values, not from noise as in the paper, so the result is deterministic.
    `return_attention` adds sets of `[S]`: what each element weighs in each slot's mean, adding up to 1 over
    the set. For an empty set the slots are updated by zeros.
    """

    def __init__(self, dim: int, slots: int = 7, iterations: int = 3) -> None:
        super().__init__()
        self.slots = nn.Parameter(nn.init.xavier_uniform_(torch.empty(slots, dim)))
        self.iterations = iterations
        self.norm_elements, self.norm_slots, self.norm_hidden = (nn.LayerNorm(dim) for _ in range(3))
        self.project_key, self.project_value, self.project_query = (
            nn.Linear(dim, dim, bias=False) for _ in range(3)
        )
        self.update = nn.GRUCell(dim, dim)
        self.feed_forward = nn.Sequential(nn.Linear(dim, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, dim))

    def forward(self, sets: Sets, return_attention: bool = False) -> Tensor | tuple[Tensor, Sets]:
        elements = self.norm_elements(sets.values)
        key_BND = sets.with_values(self.project_key(elements)).pad()
        value_BND = sets.with_values(self.project_value(elements)).pad()
        mask_BN = sets.layout.mask
        slots_BSD = self.slots.expand(sets.batch_size, -1, -1)
        for _ in range(self.iterations):
            weights_BNS = self._weigh(slots_BSD, key_BND, mask_BN)
            mean_BSD = weights_BNS.transpose(1, 2) @ value_BND.to(weights_BNS.dtype)
            slots_BSD = self._step(slots_BSD, mean_BSD.to(slots_BSD.dtype))
        return (slots_BSD, sets.with_values(sets.from_pad(weights_BNS))) if return_attention else slots_BSD

    def _weigh(self, slots_BSD: Tensor, key_BND: Tensor, mask_BN: Tensor) -> Tensor:
        """Softmax over the slots, then normalized over the elements: the mask belongs to the second alone."""
        query_BSD = self.project_query(self.norm_slots(slots_BSD)) * key_BND.shape[-1] ** -0.5
        share_BNS = segment.at_least_float32(key_BND @ query_BSD.transpose(1, 2)).softmax(-1)
        share_BNS = torch.where(mask_BN[..., None], share_BNS, 0)
        return share_BNS / share_BNS.sum(1, keepdim=True).clamp(min=torch.finfo(share_BNS.dtype).tiny)

    def _step(self, slots_BSD: Tensor, mean_BSD: Tensor) -> Tensor:
        slots = self.update(mean_BSD.flatten(0, 1), slots_BSD.flatten(0, 1)).view_as(slots_BSD)
        return slots + self.feed_forward(self.norm_hidden(slots))
