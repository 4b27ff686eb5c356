"""From an image to what is known of each of its patches.

Shapes: B images, C channels, H x W pixels, D features, h x w places of the patch grid. A grid with a place
every `stride` pixels has h = H / stride: patches at the border look at a mirrored image.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class RawPatches(nn.Module):
    """Describe patches by their `size` x `size` pixels: `[B, C, H, W]` to `[B, D, h, w]`."""

    def __init__(self, size: int = 8, stride: int = 4) -> None:
        super().__init__()
        self.size = size
        self.stride = stride

    def forward(self, images_BCHW: Tensor) -> Tensor:
        height, width = (side // self.stride for side in images_BCHW.shape[-2:])
        patches = F.unfold(mirrored(images_BCHW, self.size, self.stride), self.size, stride=self.stride)
        return patches.unflatten(2, (height, width))


def pool_patches(values: Tensor, size: int, stride: int) -> Tensor:
    """Average `[B, D, H, W]` over each patch of the grid: `[B, D, h, w]`."""
    return F.avg_pool2d(mirrored(values, size, stride), size, stride)


def mirrored(values: Tensor, size: int, stride: int) -> Tensor:
    """Add a margin, so that a patch lies around the middle of each `stride` x `stride` cell."""
    before = (size - stride) // 2
    after = size - stride - before
    return F.pad(values, [before, after, before, after], mode="reflect")
