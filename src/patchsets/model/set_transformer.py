"""Set Transformer (Lee et al. 2019): encode each patch → self-attention → pool by attention → classify."""

from torch import Tensor, nn

from patchsets.set_module import ISAB, PMA, SAB, Each, Sets
from workbench.common.limits import AboveZero, Share


class SetTransformer(nn.Module):
    """From sets of `[in_features]` to `[B, out_features]`; `points` learned points make attention cheaper."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        width: AboveZero,
        depth: AboveZero,
        heads: AboveZero,
        dropout: Share = 0.0,
        points: AboveZero | None = None,
    ) -> None:
        super().__init__()
        block = (
            (lambda: ISAB(width, heads, points, norm="set"))
            if points
            else (lambda: SAB(width, heads, norm="set"))
        )
        self.encode = Each(nn.Linear(in_features, width), nn.ReLU(), nn.Linear(width, width))
        self.attend = nn.Sequential(*(block() for _ in range(depth)))
        self.pool = PMA(width, heads)
        self.classify = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(width, out_features))

    def forward(self, sets: Sets) -> Tensor:
        return self.classify(self.pool(self.attend(self.encode(sets))))

    def forward_and_attention(self, sets: Sets) -> tuple[Tensor, Tensor]:
        """Return the outputs `[B, out_features]` and the attention, at the price of one of them."""
        pooled, weights = self.pool(self.attend(self.encode(sets)), return_attention=True)
        return self.classify(pooled), weights.values.mean(dim=(1, 2))

    def attention(self, sets: Sets) -> Tensor:
        """Return how the pooling weighs each element `[T]`, adding up to 1 over each set."""
        return self.forward_and_attention(sets)[1]


class PublishedSetTransformer(nn.Sequential):
    """The network of the paper's first experiment, as printed: attention blocks straight on the elements."""

    def __init__(
        self, in_features: int, out_features: int, width: AboveZero, depth: AboveZero, heads: AboveZero
    ) -> None:
        super().__init__(
            SAB(width, heads, dim_in=in_features),
            *(SAB(width, heads) for _ in range(depth - 1)),
            PMA(width, heads),
            nn.Flatten(),
            nn.Linear(width, out_features),
        )
