"""Preprocessing that is worth keeping: done once for the same images, whoever asks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from patchsets.data.images import Images
from workbench.common.cache import cached
from workbench.train.loading import hash_of

Preprocess = Callable[[Tensor], Tensor]  # [B, C, H, W] in 0..1, to the same
AT_ONCE = 1000  # images


def preprocessed(images: Images, name: str, version: int, function: Preprocess) -> Images:
    """Return what `function` makes of images of one size; kept by name, version and the images themselves."""
    height, width = images.size[0].tolist()
    parameters = {
        "preprocessing": name,
        "version": version,
        "images": len(images),
        "shape": [images.channels, height, width],
        "sha256": hash_of(images.pixels),
    }
    folder = cached(f"preprocessing/{name}", parameters, lambda folder: _make(folder, images, function))
    return Images.from_arrays(np.load(folder / "images.npy"))


def apply(function: Preprocess, images_BHWC: Tensor) -> Tensor:
    """Return what `function` makes of images `[B, H, W, C]` of uint8, as such again."""
    made_BCHW = function(images_BHWC.permute(0, 3, 1, 2).float() / 255)
    return (made_BCHW.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def _make(folder: Path, images: Images, function: Preprocess) -> None:
    height, width = images.size[0].tolist()
    pixels_BHWC = images.pixels.view(-1, height, width, images.channels)
    made_BHWC = torch.cat([apply(function, part) for part in pixels_BHWC.split(AT_ONCE)])
    np.save(folder / "images.npy", made_BHWC.squeeze(3) if images.channels == 1 else made_BHWC)
