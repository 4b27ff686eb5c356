"""Attention-based multiple-instance learning (Ilse et al. 2018): encode each → attention pool → classify.

The network of Ilse et al. (2018) for MNIST-bags: LeNet on each image → gated attention pool → classify.
"""

import math

from torch import Tensor, nn

from patchsets.set_module import AttentionPool as GatedAttention
from patchsets.set_module import Each, Sets
from workbench.common.limits import AboveZero, Share


class AttentionPool(nn.Module):
    """From sets of `[in_features]` to `[B, out_features]`; `branches`: so many sets of weights."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        width: AboveZero,
        depth: AboveZero,
        dropout: Share = 0.0,
        branches: AboveZero = 1,
    ) -> None:
        super().__init__()
        hidden = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())]
        self.encode = Each(nn.Linear(in_features, width), nn.ReLU(), *hidden)
        self.pool = GatedAttention(width, hidden=width, branches=branches)
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(width * branches, out_features))

    def forward(self, sets: Sets) -> Tensor:
        return self.classify(self.pool(self.encode(sets)).flatten(1))

    def forward_and_attention(self, sets: Sets) -> tuple[Tensor, Tensor]:
        """Return the outputs `[B, out_features]` and the attention, at the price of one of them."""
        pooled, weights = self.pool(self.encode(sets), return_attention=True)
        weight_T = weights.values if weights.values.dim() == 1 else weights.values.mean(dim=1)
        return self.classify(pooled.flatten(1)), weight_T

    def attention(self, sets: Sets) -> Tensor:
        """Return the weight of each element `[T]`, adding up to 1 over each set; of branches their mean."""
        return self.forward_and_attention(sets)[1]

    def scores(self, sets: Sets) -> Tensor:
        """Return the score of each element in each branch `[T, branches]`, before the softmax."""
        return self.pool.scores(self.encode(sets)).values


class LeNetAttentionPool(AttentionPool):
    """From sets of square grey images, flattened to `[in_features]`, to `[B, out_features]`."""

    def __init__(self, in_features: int, out_features: int, width: AboveZero, dropout: Share = 0.0) -> None:
        super().__init__(in_features, out_features, width, depth=0, dropout=dropout)
        side = math.isqrt(in_features)
        last_side = ((side - 4) // 2 - 4) // 2
        self.encode = Each(
            nn.Unflatten(1, (1, side, side)),
            *(nn.Conv2d(1, 20, kernel_size=5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(20, 50, kernel_size=5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(50 * last_side**2, width), nn.ReLU()),
        )
