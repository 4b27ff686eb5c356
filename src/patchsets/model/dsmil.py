"""DSMIL: a dual-stream network for multiple-instance learning (Li, Li and Eliceiri, CVPR 2021).

Shapes: B sets, T elements of all sets, W width, Q query width, C classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from patchsets.set_module import Each, Pool, Sets
from patchsets.set_module.segment import segment_softmax, segment_sum
from workbench.common.limits import AboveZero, Share


class Dsmil(nn.Module):
    """From sets of `[in_features]` to `[B, out_features]`, the mean of two streams.

    The first scores each element and keeps the highest score of each class. The second lets every element
    attend by its likeness to that highest one, and classifies the weighted mean. In training each stream has
    a loss of its own, as in the paper. Where several elements have the highest score, their mean stands for
    them, so that no order of elements matters.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        width: AboveZero = 512,
        queries: AboveZero = 128,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        self.encode = Each(nn.Linear(in_features, width), nn.ReLU(), nn.Dropout(dropout))
        self.score = nn.Linear(width, out_features)
        self.highest = Pool("max")
        self.query = nn.Sequential(
            nn.Linear(width, queries), nn.ReLU(), nn.Linear(queries, queries), nn.Tanh()
        )
        self.classify = nn.Conv1d(out_features, out_features, kernel_size=width)

    def forward(self, sets: Sets) -> Tensor:
        first_BC, second_BC, _ = self._streams(sets)
        return (first_BC + second_BC) / 2

    def forward_and_loss(self, sets: Sets, label_B: Tensor) -> tuple[Tensor, Tensor, float]:
        """Return the logits `[B, C]`, the mean loss of the two streams, and its share of the whole: all."""
        first_BC, second_BC, _ = self._streams(sets)
        loss = (F.cross_entropy(first_BC, label_B) + F.cross_entropy(second_BC, label_B)) / 2
        return (first_BC + second_BC) / 2, loss, 1.0

    def forward_and_attention(self, sets: Sets) -> tuple[Tensor, Tensor]:
        """Return the logits `[B, C]` and the attention, at the price of one of them."""
        first_BC, second_BC, likeness = self._streams(sets)
        return (first_BC + second_BC) / 2, segment_softmax(likeness).values.mean(dim=1)

    def attention(self, sets: Sets) -> Tensor:
        """Return the weight of each element `[T]`, adding up to 1 over each set: the mean over classes."""
        return self.forward_and_attention(sets)[1]

    def scores(self, sets: Sets) -> Tensor:
        """Return for each class how alike each element is to the highest `[T, C]`, before the softmax."""
        return self._streams(sets)[2].values

    def _streams(self, sets: Sets) -> tuple[Tensor, Tensor, Sets]:
        """Return the logits of both streams `[B, C]`, and the scores of the attention `[T, C]`."""
        encoded = self.encode(sets)
        scores = encoded.with_values(self.score(encoded.values))
        first_BC = self.highest(scores)
        is_highest_TC = (scores.values == sets.spread(first_BC)).to(scores.values.dtype)
        query_TQ = self.query(encoded.values)
        of_class = [self._likeness(encoded, query_TQ, share_T1) for share_T1 in is_highest_TC.split(1, dim=1)]
        likeness = encoded.with_values(torch.cat(of_class, dim=1))
        pooled = [
            segment_sum(encoded.with_values(encoded.values * weight_T1))
            for weight_T1 in segment_softmax(likeness).values.split(1, dim=1)
        ]
        return first_BC, self.classify(torch.stack(pooled, dim=1)).squeeze(2), likeness

    @staticmethod
    def _likeness(encoded: Sets, query_TQ: Tensor, share_T1: Tensor) -> Tensor:
        """Return how alike each element is to the one with the highest score `[T, 1]`."""
        parts = torch.cat([query_TQ * share_T1, share_T1], dim=1)
        total_BQ, number_B1 = segment_sum(encoded.with_values(parts)).split([query_TQ.shape[1], 1], dim=1)
        critical_BQ = total_BQ / number_B1.clamp(min=1)
        return (query_TQ * encoded.spread(critical_BQ)).sum(1, keepdim=True) / query_TQ.shape[1] ** 0.5
