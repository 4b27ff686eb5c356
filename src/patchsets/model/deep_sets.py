"""Deep Sets (Zaheer et al. 2017): encode each patch → pool by fixed reductions → classify."""

from torch import Tensor, nn

from patchsets.set_module import Each, Pool, Sets
from workbench.common.limits import AboveZero, Share


class DeepSets(nn.Module):
    """From sets of `[in_features]` to `[B, out_features]`; `pool` names reductions kept side by side."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        width: AboveZero,
        depth: AboveZero,
        pool: list[str],
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        hidden = [layer for _ in range(depth) for layer in (nn.ReLU(), nn.Linear(width, width))]
        self.encode = Each(nn.Linear(in_features, width), *hidden)
        self.pool = Pool(*pool)
        self.classify = nn.Sequential(
            nn.Linear(width * len(pool), width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width, out_features),
        )

    def forward(self, sets: Sets) -> Tensor:
        return self.classify(self.pool(self.encode(sets)))
