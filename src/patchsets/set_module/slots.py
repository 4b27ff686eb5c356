"""Slot attention: elements are shared out among slots that compete for them (Locatello et al. 2020).

Shapes: B sets, N elements of the largest, S slots, D features.
"""

import torch
from torch import Tensor, nn

from patchsets.set_module.sets import Sets


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
            slots_BSD = self._step(slots_BSD, weights_BNS.transpose(1, 2) @ value_BND)
        return (slots_BSD, sets.with_values(sets.from_pad(weights_BNS))) if return_attention else slots_BSD

    def _weigh(self, slots_BSD: Tensor, key_BND: Tensor, mask_BN: Tensor) -> Tensor:
        """Softmax over the slots, then normalized over the elements: the mask belongs to the second alone."""
        query_BSD = self.project_query(self.norm_slots(slots_BSD)) * key_BND.shape[-1] ** -0.5
        share_BNS = (key_BND @ query_BSD.transpose(1, 2)).softmax(-1)
        share_BNS = torch.where(mask_BN[..., None], share_BNS, 0)
        return share_BNS / share_BNS.sum(1, keepdim=True).clamp(min=torch.finfo(share_BNS.dtype).tiny)

    def _step(self, slots_BSD: Tensor, mean_BSD: Tensor) -> Tensor:
        slots = self.update(mean_BSD.flatten(0, 1), slots_BSD.flatten(0, 1)).view_as(slots_BSD)
        return slots + self.feed_forward(self.norm_hidden(slots))
