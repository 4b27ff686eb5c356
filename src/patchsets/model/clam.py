"""CLAM: clustering-constrained attention multiple-instance learning (Lu et al., Nature Biomed. Eng. 2021).

Shapes: B sets, T elements of all sets, D features, W width, C classes, A attention branches.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from patchsets.set_module import AttentionPool, Each, Sets
from workbench.common.limits import AboveZero, Share


class Clam(nn.Module):
    """From sets of `[in_features]` to `[B, out_features]` by gated attention in one branch, or one per class.

    In training, small classifiers must also tell the `instances` elements with the most attention from those
    with the least: of the set's own class the first belong to it and the last do not; of every other class
    the first do not. That loss has the share `instance_share`; `branches` are `single` (CLAM_SB) or `multi`
    (CLAM_MB). The clustering loss is cross-entropy, one of the two in the authors' code.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        width: AboveZero = 512,
        hidden: AboveZero = 256,
        branches: Literal["single", "multi"] = "single",
        dropout: Share = 0.25,
        instances: AboveZero = 8,
        instance_share: Share = 0.3,
    ) -> None:
        super().__init__()
        self.is_multi = branches == "multi"
        self.encode = Each(nn.Linear(in_features, width), nn.ReLU(), nn.Dropout(dropout))
        self.pool = AttentionPool(
            width, hidden, branches=out_features if self.is_multi else 1, dropout=dropout
        )
        self.classify = nn.ModuleList(nn.Linear(width, 1) for _ in range(out_features))
        self.tell_instances = nn.ModuleList(nn.Linear(width, 2) for _ in range(out_features))
        self.instances, self.instance_share = instances, instance_share

    def forward(self, sets: Sets) -> Tensor:
        return self._classify(self.pool(self.encode(sets)))

    def forward_and_loss(self, sets: Sets, label_B: Tensor) -> tuple[Tensor, Tensor, float]:
        """Return the logits `[B, C]`, the clustering loss, and the share of the whole loss that it has."""
        encoded = self.encode(sets)
        pooled, weights = self.pool(encoded, return_attention=True)
        weight_TA = weights.values if self.is_multi else weights.values[:, None]
        return self._classify(pooled), self._cluster(encoded, weight_TA, label_B), self.instance_share

    def forward_and_attention(self, sets: Sets) -> tuple[Tensor, Tensor]:
        """Return the logits `[B, C]` and the attention, at the price of one of them."""
        pooled, weights = self.pool(self.encode(sets), return_attention=True)
        return self._classify(pooled), weights.values.mean(dim=1) if self.is_multi else weights.values

    def attention(self, sets: Sets) -> Tensor:
        """Return the weight of each element `[T]`, adding up to 1 over each set; of branches their mean."""
        return self.forward_and_attention(sets)[1]

    def scores(self, sets: Sets) -> Tensor:
        """Return the score of each element in each branch `[T, A]`, before the softmax."""
        return self.pool.scores(self.encode(sets)).values

    def _classify(self, pooled: Tensor) -> Tensor:
        """Return the logits of sets pooled to `[B, W]`, or of each class's branch `[B, C, W]`."""
        of_class = pooled.unbind(1) if self.is_multi else [pooled] * len(self.classify)
        return torch.cat([one(x_BW) for one, x_BW in zip(self.classify, of_class, strict=True)], dim=1)

    def _cluster(self, encoded: Sets, weight_TA: Tensor, label_B: Tensor) -> Tensor:
        """Return the mean loss of the instance classifiers, over the elements that they are asked about."""
        losses = [encoded.values.new_zeros(0)]
        own_T = encoded.spread(label_B)
        for class_, tell in enumerate(self.tell_instances):
            first_T, last_T = self._extremes(encoded, weight_TA[:, class_ if self.is_multi else 0])
            is_own_T = own_T == class_
            asked_T = first_T | (last_T & is_own_T)
            belongs_T = (first_T & is_own_T).long()
            logits = tell(encoded.values[asked_T])
            losses.append(F.cross_entropy(logits, belongs_T[asked_T], reduction="none"))
        told = torch.cat(losses)
        return told.sum() / max(1, len(told))

    def _extremes(self, sets: Sets, weight_T: Tensor) -> tuple[Tensor, Tensor]:
        """Mark the elements with the most and the least attention of their set, as many of each `[T]`."""
        order = weight_T.argsort(descending=True, stable=True)
        order = order[sets.set_index[order].argsort(stable=True)]  # by set, the most attention first
        rank_T = torch.empty_like(order).index_copy(0, order, sets.position)
        number_T = sets.spread((sets.lengths // 2).clamp(max=self.instances))
        return rank_T < number_T, rank_T >= sets.spread(sets.lengths) - number_T
