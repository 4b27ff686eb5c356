"""From sets to one vector each: fixed reductions, and attention pooling for multiple-instance learning.

Pooling by sorting each feature over the set.

Slot attention: elements are shared out among slots that compete for them (Locatello et al. 2020).

Shapes: B sets, N elements of the largest, S slots, D features.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from patchsets.set_module import segment
from patchsets.set_module.ragged_attention import buckets
from patchsets.set_module.segment import segment_sum
from patchsets.set_module.sets import Sets
from workbench.common.errors import ConfigError
from workbench.common.private_parts import untraced

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


class TopK(nn.Module):
    """Average the `k` largest values of each feature over the set: sets of `[D]` to `[B, D]`.

    A smaller set averages all it has; an empty set gives 0.
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        if k < 1:
            raise ConfigError(f"TopK({k}): give a number above 0")
        self.k = k

    def forward(self, sets: Sets) -> Tensor:
        is_top_T1 = (sets.position < self.k)[:, None]
        total = segment_sum(sets.with_values(torch.where(is_top_T1, sort_features(sets), 0)))
        return total / segment.per_set(sets.lengths.clamp(1, self.k), total)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": nn.functional.gelu,
}


class AttentionPool(nn.Module):
    """Average each set with weights learned from its elements: sets of `[D]` to `[B, D]` (Ilse et al. 2018).

    With several `branches`, each with weights of its own, to `[B, branches, D]`. `dropout` acts on the hidden
    layer, as in CLAM (Lu et al. 2021). An empty set gives 0. `return_attention` adds the weights, sets of
    `[]` (or `[branches]`) that add up to 1, in float32 at least; `scores` gives them before the softmax.
    """

    def __init__(
        self,
        dim: int,
        hidden: int = 128,
        gated: bool = True,
        branches: int = 1,
        dropout: float = 0.0,
        activation: Literal["tanh", "relu", "gelu"] = "tanh",
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ConfigError(f"activation={activation!r}: give one of {', '.join(ACTIVATIONS)}")
        self.hidden = nn.Linear(dim, hidden)
        self.gate = nn.Linear(dim, hidden) if gated else None
        self.score = nn.Linear(hidden, branches)
        self.dropout = nn.Dropout(dropout)
        self.activation = activation
        self.branches = branches

    def scores(self, sets: Sets) -> Sets:
        """Return the score of each element in each branch before the softmax, sets of `[branches]`."""
        hidden = self.dropout(ACTIVATIONS[self.activation](self.hidden(sets.values)))
        if self.gate is not None:
            hidden = hidden * self.dropout(self.gate(sets.values).sigmoid())
        return sets.with_values(segment.at_least_float32(self.score(hidden)))  # in float16 1 / N is lost

    def forward(self, sets: Sets, return_attention: bool = False) -> Tensor | tuple[Tensor, Sets]:
        weights = segment.segment_softmax(self.scores(sets))
        pooled = [
            segment_sum(sets.with_values(sets.values * weight_T1))
            for weight_T1 in weights.values.split(1, dim=1)
        ]
        pooled_B = (pooled[0] if self.branches == 1 else torch.stack(pooled, dim=1)).to(sets.values.dtype)
        if not return_attention:
            return pooled_B
        return pooled_B, weights.with_values(weights.values[:, 0]) if self.branches == 1 else weights


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
    values_TD, order_TD = sets.values.sort(dim=0, descending=True)
    by_set_TD = sets.set_index[order_TD].sort(dim=0, stable=True).indices  # keeps the order within each set
    return values_TD.gather(0, by_set_TD)


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
        key, value = (sets.with_values(p(elements)) for p in (self.project_key, self.project_value))
        slots, weights = share_out(self._iterate, key, value)
        return (slots, sets.with_values(weights)) if return_attention else slots

    def _iterate(self, key_BND: Tensor, value_BND: Tensor, mask_BN: Tensor) -> tuple[Tensor, Tensor]:
        """Return the slots `[B, S, D]` and the weights `[B, N, S]`, 0 at padding."""
        slots_BSD = self.slots.expand(key_BND.shape[0], -1, -1)
        for _ in range(self.iterations):
            weights_BNS = self._weigh(slots_BSD, key_BND, mask_BN)
            mean_BSD = weights_BNS.transpose(1, 2) @ value_BND.to(weights_BNS.dtype)
            slots_BSD = self._step(slots_BSD, mean_BSD.to(slots_BSD.dtype))
        return slots_BSD, weights_BNS

    def _weigh(self, slots_BSD: Tensor, key_BND: Tensor, mask_BN: Tensor) -> Tensor:
        """Softmax over the slots, then normalized over the elements: the mask belongs to the second alone."""
        query_BSD = self.project_query(self.norm_slots(slots_BSD)) * key_BND.shape[-1] ** -0.5
        share_BNS = segment.at_least_float32(key_BND @ query_BSD.transpose(1, 2)).softmax(-1)
        share_BNS = torch.where(mask_BN[..., None], share_BNS, 0)
        return share_BNS / share_BNS.sum(1, keepdim=True).clamp(min=torch.finfo(share_BNS.dtype).tiny)

    def _step(self, slots_BSD: Tensor, mean_BSD: Tensor) -> Tensor:
        slots = self.update(mean_BSD.flatten(0, 1), slots_BSD.flatten(0, 1)).view_as(slots_BSD)
        return slots + self.feed_forward(self.norm_hidden(slots))


Iterate = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def share_out(iterate: Iterate, key: Sets, value: Sets) -> tuple[Tensor, Tensor]:
    """Let `iterate` work on padded sets of like sizes; return `[B, S, D]`, and weights `[T, S]`."""
    if key.layout.equal is not None:
        slots, weights = iterate(key.pad(), value.pad(), key.layout.mask)
        return slots, weights.flatten(0, 1)
    if torch.compiler.is_exporting():  # all elements in each set, those of others masked out
        mask_BT = key.set_index == torch.arange(key.batch_size, device=key.values.device)[:, None]
        keys, values = (x.values.expand(key.batch_size, *x.values.shape) for x in (key, value))
        slots, weights = iterate(keys, values, mask_BT)
        return slots, weights.sum(0)
    return _share_out_in_buckets(iterate, key, value)


@untraced  # the sizes are data: traced, every batch would be a new graph
def _share_out_in_buckets(iterate: Iterate, key: Sets, value: Sets) -> tuple[Tensor, Tensor]:
    members, elements, slots, weights = [], [], [], []
    for bucket in buckets(key):
        (rows,) = bucket.rows
        found, weight_BNS = iterate(key.values[rows.places], value.values[rows.places], rows.real)
        members.append(bucket.members)
        slots.append(found)
        elements.append(rows.places[rows.real])
        weights.append(weight_BNS[rows.real])
    order, place = torch.cat(members).argsort(), torch.cat(elements).argsort()
    return torch.cat(slots)[order], torch.cat(weights)[place]
