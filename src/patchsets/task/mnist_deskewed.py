"""A task that replaces a stage: like its parent, but slanted digits are set upright before they are learned.

Shapes: B images, C channels, H, W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from patchsets.data.image_sets import ImageSets
from patchsets.task.classification import Classification


class MnistDeskewed(Classification):
    """Classifies digits whose slant has been taken away; the upright images are kept in the cache."""

    data: ImageSets

    def preprocessing_train(self) -> None:
        super().preprocessing_train()
        self.data.preprocess("deskewed", version=1, function=deskew)


def deskew(images_BCHW: Tensor) -> Tensor:
    """Shear each image about its centre of mass so that its ink no longer leans; `[B, C, H, W]` in 0..1."""
    ink_BHW = images_BCHW.mean(dim=1) + 1e-6
    ink_BHW = ink_BHW / ink_BHW.sum(dim=(1, 2), keepdim=True)
    y_H, x_W = (torch.linspace(-1, 1, size, device=ink_BHW.device) for size in ink_BHW.shape[1:])
    y_BHW = y_H[:, None] - (ink_BHW.sum(dim=2) @ y_H)[:, None, None]
    x_BHW = x_W - (ink_BHW.sum(dim=1) @ x_W)[:, None, None]
    lean_B = (ink_BHW * x_BHW * y_BHW).sum(dim=(1, 2)) / (ink_BHW * y_BHW**2).sum(dim=(1, 2))
    sheared_x_BHW = x_W + lean_B[:, None, None] * y_BHW
    grid_BHW2 = torch.stack([sheared_x_BHW, y_H[:, None].expand_as(sheared_x_BHW)], dim=3)
    return F.grid_sample(images_BCHW, grid_BHW2, align_corners=True)
