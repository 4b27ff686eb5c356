"""Attention-based multiple-instance learning (Ilse et al. 2018): encode each → attention pool → classify."""

from torch import Tensor, nn

from patchsets.set_module import AttentionPool as GatedAttention
from patchsets.set_module import Each, Sets
from workbench.common.limits import AboveZero, Share


class AttentionPool(nn.Module):
    """From sets of `[in_features]` to `[B, out_features]`."""

    def __init__(
        self, in_features: int, out_features: int, width: AboveZero, depth: AboveZero, dropout: Share = 0.0
    ) -> None:
        super().__init__()
        hidden = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())]
        self.encode = Each(nn.Linear(in_features, width), nn.ReLU(), *hidden)
        self.pool = GatedAttention(width, hidden=width)
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, out_features))

    def forward(self, sets: Sets) -> Tensor:
        return self.classify(self.pool(self.encode(sets)))

    def attention(self, sets: Sets) -> Tensor:
        """Return the weight of each element `[T]`, adding up to 1 over each set."""
        _, weights = self.pool(self.encode(sets), return_attention=True)
        return weights.values
