"""A small convolutional network on each patch → gated attention pool (Ilse et al. 2018) → classify.

Shapes: B images, T patches of all of them, C channels, h, w pixels of a patch.
"""

from torch import Tensor, nn

from patchsets.model.cnn import Stage
from patchsets.set_module import AttentionPool, Each, Sets
from workbench.common.limits import AboveZero, Share


class PatchCnn(nn.Module):
    """From sets of patches `[C, h, w]`, and their places, to `[B, out_features]`.

    Each of `depth` stages halves a patch; the first has `width` channels, the next twice as many.
    """

    def __init__(
        self,
        patch_shape: tuple[int, int, int],
        out_features: int,
        width: AboveZero,
        depth: AboveZero,
        dropout: Share = 0.0,
        place_features: int = 0,
    ) -> None:
        super().__init__()
        channels = [patch_shape[0], *(width * 2**stage for stage in range(depth))]
        height, width_left = (-(-side // 2**depth) for side in patch_shape[1:])
        self.look = Each(*map(Stage, channels[:-1], channels[1:]))
        features = channels[-1] * height * width_left + place_features
        self.encode = Each(nn.Linear(features, channels[-1]), nn.ReLU())
        self.pool = AttentionPool(channels[-1], hidden=channels[-1])
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels[-1], out_features))

    def forward(self, sets: Sets) -> Tensor:
        return self.classify(self.pool(self._encode(sets)))

    def forward_and_attention(self, sets: Sets) -> tuple[Tensor, Tensor]:
        """Return the outputs `[B, out_features]` and the attention, at the price of one of them."""
        pooled, weights = self.pool(self._encode(sets), return_attention=True)
        return self.classify(pooled), weights.values

    def attention(self, sets: Sets) -> Tensor:
        """Return the weight of each patch `[T]`, adding up to 1 over each set."""
        return self.forward_and_attention(sets)[1]

    def scores(self, sets: Sets) -> Tensor:
        """Return the score of each patch `[T, 1]`, before the softmax."""
        return self.pool.scores(self._encode(sets)).values

    def _encode(self, sets: Sets) -> Sets:
        return self.encode(self.look(sets).as_vectors())
