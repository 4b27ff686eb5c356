"""Preprocessing that is worth keeping: done once for the same images, whoever asks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from patchsets.cache import cached
from patchsets.data.images import Images
from patchsets.data.loading import hash_of

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


def _make(folder: Path, images: Images, function: Preprocess) -> None:
    parts = [function(images.take(rows).stacked()) for rows in torch.arange(len(images)).split(AT_ONCE)]
    array = (torch.cat(parts) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    np.save(folder / "images.npy", array.squeeze(3).numpy() if images.channels == 1 else array.numpy())
