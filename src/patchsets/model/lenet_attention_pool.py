"""The network of Ilse et al. (2018) for MNIST-bags: LeNet on each image → gated attention pool → classify."""

import math

from torch import nn

from patchsets.model.attention_pool import AttentionPool
from patchsets.set_module import Each
from workbench.common.limits import AboveZero, Share


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
