"""Images of any sizes in one flat tensor, so that a batch of them travels and is cut in one piece.

Shapes: B images, P bytes of all of them; an image is stored row by row, its channels together `[H, W, C]`.

Preprocessing that is worth keeping: done once for the same images, whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from workbench.common.cache import cached
from workbench.common.errors import UserError
from workbench.train.loading import hash_of

Preprocess = Callable[[Tensor], Tensor]  # [B, C, H, W] in 0..1, to the same
Augment = Preprocess


@dataclass(frozen=True)
class Images:
    """B images of uint8: `pixels` `[P]`, where each begins `[B]`, their sizes (height, width) `[B, 2]`."""

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
        return self.pixels.view(-1, height, width, self.channels).permute(0, 3, 1, 2).float() / 255

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

    def augmented(self, function: Augment) -> Images:
        """Return what `function` makes of the images: all in one call where they have one size."""
        if bool((self.size == self.size[0]).all()):
            height, width = self.size[0].tolist()
            return replace(
                self, pixels=self._changed(self.pixels.view(-1, height, width, self.channels), function)
            )
        begins = [*self.begin.tolist(), len(self.pixels)]
        parts = [
            self.pixels[begin:end].view(1, *size, self.channels)
            for begin, end, size in zip(begins, begins[1:], self.size.tolist(), strict=False)
        ]
        return replace(self, pixels=torch.cat([self._changed(part, function) for part in parts]))

    def _changed(self, images_BHWC: Tensor, function: Augment) -> Tensor:
        changed_BHWC = apply(function, images_BHWC)
        if changed_BHWC.shape != images_BHWC.shape:
            raise UserError("data.augment: it changed the size of the images, which must stay as they are")
        return changed_BHWC.reshape(-1)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Images:
        """Move the pixels; Lightning calls this for every batch."""
        pixels, begin, size = (
            part.to(device, non_blocking=non_blocking) for part in (self.pixels, self.begin, self.size)
        )
        return Images(pixels, begin, size, self.channels)

    def pin_memory(self) -> Images:
        """Pin the pixels, so that a loader's copy to a GPU is fast."""
        return replace(self, pixels=self.pixels.pin_memory())


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
