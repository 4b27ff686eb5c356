"""Bag of local features (Brendel and Bethge 2019): each patch votes by itself, the set is their mean."""

from torch import Tensor, nn

from patchsets.set_module import Each, PatchLogits, Sets
from workbench.common.limits import AboveZero, Share


class BagOfPatches(nn.Module):
    """From sets of `[in_features]` to `[B, out_features]`; no patch hears what the others say."""

    def __init__(
        self, in_features: int, out_features: int, width: AboveZero, depth: AboveZero, dropout: Share = 0.0
    ) -> None:
        super().__init__()
        hidden = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())]
        self.encode = Each(nn.Linear(in_features, width), nn.ReLU(), *hidden, nn.Dropout(dropout))
        self.vote = PatchLogits(width, out_features)

    def forward(self, sets: Sets) -> Tensor:
        return self.vote(self.encode(sets))
