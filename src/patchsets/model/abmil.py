"""The network of Ilse et al. (2018) for vectors: layers with dropout on each → attention pool → classify."""

from typing import Literal

from torch import Tensor, nn

from patchsets.set_module import AttentionPool, Each, Pool, Sets
from patchsets.set_module.segment import segment_softmax
from workbench.common.limits import AboveZero, ListAboveZero, Share


class Abmil(nn.Module):
    """From sets of `[in_features]` to `[B, out_features]`; `pool` mean is the control without weights."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        widths: ListAboveZero,
        hidden: AboveZero = 64,
        dropout: Share = 0.5,
        pool: Literal["attention", "gated", "mean"] = "attention",
    ) -> None:
        super().__init__()
        sizes = zip([in_features, *widths], widths, strict=False)
        layers = [(nn.Linear(*size), nn.ReLU(), nn.Dropout(dropout)) for size in sizes]
        self.encode = Each(*(part for layer in layers for part in layer))
        gated = pool == "gated"
        self.pool: nn.Module = Pool("mean") if pool == "mean" else AttentionPool(widths[-1], hidden, gated)
        self.classify = nn.Linear(widths[-1], out_features)

    def forward(self, sets: Sets) -> Tensor:
        return self.classify(self.pool(self.encode(sets)))

    def forward_and_attention(self, sets: Sets) -> tuple[Tensor, Tensor]:
        """Return the outputs `[B, out_features]` and the attention, at the price of one of them."""
        if isinstance(self.pool, Pool):
            alike = sets.with_values(sets.values.new_zeros(sets.values.shape[0]))
            return self.forward(sets), segment_softmax(alike).values
        pooled, weights = self.pool(self.encode(sets), return_attention=True)
        return self.classify(pooled), weights.values

    def attention(self, sets: Sets) -> Tensor:
        """Return the weight of each element `[T]`, adding up to 1 over each set; a mean shares alike."""
        return self.forward_and_attention(sets)[1]

    def scores(self, sets: Sets) -> Tensor | None:
        """Return the score of each element `[T, 1]`, before the softmax; a mean has none."""
        return self.pool.scores(self.encode(sets)).values if isinstance(self.pool, AttentionPool) else None
