"""The network of Ilse et al. (2018) for vectors: layers with dropout on each → attention pool → classify."""

from typing import Literal

from torch import Tensor, nn

from patchsets.set_module import AttentionPool, Each, Pool, Sets
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

    def attention(self, sets: Sets) -> Tensor:
        """Return the weight of each element `[T]`, adding up to 1 over each set; a mean shares alike."""
        if isinstance(self.pool, Pool):
            return 1 / sets.spread(sets.lengths.to(sets.values.dtype))
        _, weights = self.pool(self.encode(sets), return_attention=True)
        return weights.values
