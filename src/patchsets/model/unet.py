"""A small U-Net (Ronneberger et al. 2015) that marks what does not belong to a good image.

Shapes: B images, C channels, H x W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from patchsets.model.autoencoder import multiple_of
from workbench.common.errors import ConfigError


def two_convolutions(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return Conv 3x3, BatchNorm, ReLU, twice."""
    parts: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        parts += [
            nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*parts)


class UNet(nn.Module):
    """Gives each pixel of `[B, C, H, W]` the logit `[B, H, W]` of belonging to a defect.

    Each of `channels` but the last halves the image: 265,000 parameters by default. Raises ConfigError for
    an image that cannot be halved so often.
    """

    def __init__(self, image_shape: tuple[int, int, int], channels: list[int] | None = None) -> None:
        super().__init__()
        widths = channels or [24, 48, 96]
        halved = 2 ** (len(widths) - 1)
        if any(side % halved for side in image_shape[1:]):
            height, width = image_shape[1:]
            raise ConfigError(
                f"hparams.image_size: {height} x {width} pixels cannot be halved {len(widths) - 1} times; "
                f"take {multiple_of(halved, height, width)}"
            )
        inputs = [image_shape[0], *widths[:-1]]
        self.down = nn.ModuleList(two_convolutions(i, o) for i, o in zip(inputs, widths, strict=True))
        pairs = list(zip(widths[1:], widths[:-1], strict=True))[::-1]
        self.up = nn.ModuleList(two_convolutions(below + beside, beside) for below, beside in pairs)
        self.logit = nn.Conv2d(widths[0], 1, 1)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        seen: list[Tensor] = []
        x = images_BCHW
        for block in self.down:
            x = block(F.max_pool2d(x, 2) if seen else x)
            seen.append(x)
        for block, beside in zip(self.up, seen[-2::-1], strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0), beside], dim=1))
        return self.logit(x).squeeze(1)

    def defect_loss(self, images_BCHW: Tensor, defect_BHW: Tensor) -> Tensor:
        """Return how badly the defects were found."""
        return focal_loss(self(images_BCHW), defect_BHW)

    def maps(self, images_BCHW: Tensor) -> dict[str, Tensor]:
        """Return -log(probability of good) as the map `own` `[B, H, W]`: no two tie at the top."""
        return {"own": F.softplus(self(images_BCHW))}


def focal_loss(logits_BHW: Tensor, defect_BHW: Tensor) -> Tensor:
    """Return the mean binary cross-entropy, weighted towards pixels that are wrong and those of defects.

    Weighted by (1 - probability of the truth)^2 (Lin et al. 2017), and fivefold where a defect is.
    """
    truth = defect_BHW.to(logits_BHW.dtype)
    cross_entropy = F.binary_cross_entropy_with_logits(logits_BHW, truth, reduction="none")
    wrong = 1 - torch.exp(-cross_entropy)
    return (wrong.square() * cross_entropy * (1 + 4 * truth)).mean()
