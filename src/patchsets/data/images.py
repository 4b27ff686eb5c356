"""Images of any sizes in one flat tensor, so that a batch of them travels and is cut in one piece.

Shapes: B images, P bytes of all of them; an image is stored row by row, its channels together `[H, W, C]`.

Preprocessing that is worth keeping: done once for the same images, whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from workbench.common.cache import cached
from workbench.train.loading import hash_of

Preprocess = Callable[[Tensor], Tensor]  # [B, C, H, W] in 0..1, to the same


@dataclass(frozen=True)
class Images:
    """B images: `pixels` `[P]`, where each begins `[B]`, their sizes (height, width) `[B, 2]`.

    Pixels are uint8; augmented ones are floating numbers in 0..1.
    """

    pixels: Tensor
    begin: Tensor
    size: Tensor
    channels: int

    @classmethod
    def from_arrays(cls, arrays: Sequence[np.ndarray] | np.ndarray) -> Images:
        """Take arrays `[H, W]` or `[H, W, C]` of uint8, all with the same number of channels."""
        channels = 1 if arrays[0].ndim == 2 else arrays[0].shape[2]
        size = torch.tensor([array.shape[:2] for array in arrays])
        one_size = isinstance(arrays, np.ndarray)
        flat = np.ravel(arrays) if one_size else np.concatenate([array.ravel() for array in arrays])
        pixels = torch.from_numpy(np.require(flat, requirements=["W"]))  # torch warns of what is read-only
        return cls(pixels, begin_of(size, channels), size, channels)

    @classmethod
    def from_tensor(cls, images_BCHW: Tensor) -> Images:
        """Take images of one size `[B, C, H, W]` as they are."""
        B, channels, height, width = images_BCHW.shape
        size = torch.tensor([[height, width]] * B, device=images_BCHW.device)
        return cls(images_BCHW.permute(0, 2, 3, 1).reshape(-1), begin_of(size, channels), size, channels)

    def __len__(self) -> int:
        return len(self.begin)

    def array(self, index: int) -> np.ndarray:
        """Return one image, `[H, W]` or `[H, W, C]`."""
        height, width = self.size[index].tolist()
        begin = int(self.begin[index])
        pixels = self.pixels[begin : begin + height * width * self.channels].numpy()
        return pixels.reshape((height, width) if self.channels == 1 else (height, width, self.channels))

    def stacked(self) -> Tensor:
        """Return images of one size as `[B, C, H, W]` in 0..1."""
        height, width = self.size[0].tolist()
        return in_0_to_1(self.pixels.view(-1, height, width, self.channels).permute(0, 3, 1, 2))

    def take(self, index: Tensor) -> Images:
        """Return some of the images, packed anew; in one step where all have one size."""
        size = self.size[index]
        if bool((self.size == self.size[0]).all()):
            pixels = self.pixels.view(len(self), -1)[index].view(-1)
        else:
            bytes_ = size.prod(1) * self.channels
            slices = zip(self.begin[index].tolist(), bytes_.tolist(), strict=True)
            pixels = torch.cat([self.pixels[begin : begin + count] for begin, count in slices])
        return Images(pixels, begin_of(size, self.channels), size, self.channels)

    def of_one_size(self, at_most: int) -> Iterator[Images]:
        """Give neighbours of one size together: so many values at most, or one image."""
        first = begin = 0
        for (height, width), run in groupby(self.size.tolist()):
            last = first + len(list(run))
            values = height * width * self.channels
            while first < last:
                count = min(last - first, max(1, at_most // values))
                pixels = self.pixels[begin : begin + count * values]
                size = self.size[first : first + count]
                yield Images(pixels, begin_of(size, self.channels), size, self.channels)
                first, begin = first + count, begin + count * values

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Images:
        """Move the pixels; Lightning calls this for every batch."""
        pixels, begin, size = (
            part.to(device, non_blocking=non_blocking) for part in (self.pixels, self.begin, self.size)
        )
        return Images(pixels, begin, size, self.channels)

    def pin_memory(self) -> Images:
        """Pin the pixels, so that a loader's copy to a GPU is fast."""
        return replace(self, pixels=self.pixels.pin_memory())


def in_0_to_1(pixels: Tensor) -> Tensor:
    """Return bytes as floating numbers; what is floating already, as it is."""
    return pixels if pixels.is_floating_point() else pixels.float().div_(255)


def begin_of(size: Tensor, channels: int) -> Tensor:
    """Return where each of the packed images begins `[B]`."""
    bytes_ = size.prod(1) * channels
    return bytes_.cumsum(0) - bytes_


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
