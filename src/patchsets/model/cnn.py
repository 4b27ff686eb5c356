"""A small convolutional network: stages of half the size and twice the channels → mean → classify.

Shapes: B images, C channels, H, W pixels.
"""

from torch import Tensor, nn

from workbench.common.limits import AboveZero, Share


class Stage(nn.Sequential):
    """From `[B, in_channels, H, W]` to `[B, out_channels, H/2, W/2]`, rounded up."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
        )


class Cnn(nn.Module):
    """From images `[B, in_features, H, W]` of any size to `[B, out_features]`; `width` channels at first."""

    def __init__(
        self, in_features: int, out_features: int, width: AboveZero, depth: AboveZero, dropout: Share = 0.0
    ) -> None:
        super().__init__()
        channels = [in_features, *(width * 2**stage for stage in range(depth))]
        self.encode = nn.Sequential(*map(Stage, channels[:-1], channels[1:]))
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels[-1], out_features))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.classify(self.encode(images_BCHW).mean(dim=(2, 3)))
