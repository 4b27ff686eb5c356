"""Image → set of patches: all images of a batch in one step, whatever their sizes, on their device.

Shapes: B images, T patches of all of them, C channels, D = size * size * C (+ 2 with coordinates).
"""

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from patchsets.data.draws import random_bits
from patchsets.data.images import Images
from patchsets.set_module import Sets
from workbench.common.limits import Limit

Number = int | tuple[int, int] | None


def _is_patch_count(patches: Any) -> bool:
    if not isinstance(patches, list):
        return patches is None or patches > 0
    return len(patches) == 2 and all(type(bound) is int for bound in patches) and 0 < patches[0] <= patches[1]


PatchCount = Annotated[
    int | list[int] | None, Limit(_is_patch_count, "a number above 0, [low, high], or null")
]


@dataclass(frozen=True)
class Grid:
    """Candidate patches: the image of each `[T]`, its top-left pixel (y, x) `[T, 2]`, how many `[B]`."""

    image: Tensor
    position: Tensor
    lengths: Tensor

    def keep(self, chosen: Tensor) -> "Grid":
        """Keep the candidates whose flag `[T]` is set."""
        image = self.image[chosen]
        return Grid(image, self.position[chosen], torch.bincount(image, minlength=len(self.lengths)))


@dataclass(frozen=True)
class PatchCutter:
    """Cuts square patches of `size` pixels every `stride` pixels.

    `coordinates` appends where a patch lies in its image (y, x from -1 to 1). `min_contrast` leaves out
    patches whose standard deviation (of values 0 to 1) is lower; an image with no others keeps the one with
    the highest.
    """

    size: int
    stride: int
    coordinates: bool = True
    min_contrast: float = 0.0

    def num_features(self, channels: int) -> int:
        """Return D."""
        return self.size**2 * channels + 2 * self.coordinates

    def cut(self, images: Images, number: Number = None, key_B: Tensor | None = None) -> tuple[Sets, Tensor]:
        """Return the patches as sets of `[D]`, and their positions `[T, 2]`.

        `number` per image: a number or a range (inclusive) draws a random subset, by the images' keys (see
        draws.py), which without any come from torch's generator; None takes all. An image that has fewer
        gives all it has.
        """
        grid = self._grid(images)
        if self.min_contrast > 0:
            grid = grid.keep(self._foreground(images, grid))
        if number is not None:
            if key_B is None:
                key_B = torch.randint(2**62, (len(images),), device=grid.image.device)
            grid = grid.keep(random_subset(grid, number, key_B))
        values = self._pixels(images, grid)
        if self.coordinates:
            values = torch.cat([values, self._coordinates(images, grid)], dim=1)
        return Sets(values, grid.lengths), grid.position

    def cut_all(self, images_BHWC: Tensor) -> Sets:
        """Return all patches of images of one size, as `cut` does, in a form that torch can export."""
        B, H, W, _ = images_BHWC.shape
        patches = images_BHWC.unfold(1, self.size, self.stride).unfold(2, self.size, self.stride)
        values_BND = patches.permute(0, 1, 2, 4, 5, 3).flatten(3).flatten(1, 2).float() / 255
        if self.coordinates:
            places = [torch.arange(number) * self.stride for number in patches.shape[1:3]]
            y, x = (
                place / max(side - self.size, 1) * 2 - 1 for place, side in zip(places, (H, W), strict=True)
            )
            coordinates_N2 = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=2).flatten(0, 1)
            values_BND = torch.cat([values_BND, coordinates_N2.expand(B, -1, -1)], dim=2)
        return Sets.from_padded(values_BND)

    def _grid(self, images: Images) -> Grid:
        places_B2 = (images.size - self.size) // self.stride + 1
        lengths = places_B2.prod(1)
        image = torch.repeat_interleave(lengths)
        place = torch.arange(len(image), device=image.device) - (lengths.cumsum(0) - lengths)[image]
        columns = places_B2[image, 1]
        return Grid(image, torch.stack([place // columns, place % columns], dim=1) * self.stride, lengths)

    def _pixels(self, images: Images, grid: Grid) -> Tensor:
        """Gather the pixels of each patch `[T, size * size * C]`, values 0 to 1, row by row."""
        row_bytes = images.size[grid.image, 1] * images.channels
        y, x = grid.position.unbind(1)
        corner = images.begin[grid.image] + y * row_bytes + x * images.channels
        down = torch.arange(self.size, device=corner.device)
        row = (corner[:, None] + down * row_bytes[:, None]).view(-1)
        rows = images.pixels.unfold(0, self.size * images.channels, 1).index_select(0, row)
        return rows.view(len(corner), -1).float().div_(255)

    def _coordinates(self, images: Images, grid: Grid) -> Tensor:
        room = (images.size[grid.image] - self.size).clamp(min=1)
        return grid.position / room * 2 - 1

    def _foreground(self, images: Images, grid: Grid) -> Tensor:
        contrast = self._pixels(images, grid).std(dim=1, correction=0)
        padded, real = Sets(contrast, grid.lengths).padded()
        highest = padded.masked_fill(~real, -1).argmax(dim=1)
        foreground = contrast >= self.min_contrast
        foreground[highest + grid.lengths.cumsum(0) - grid.lengths] = True
        return foreground


def random_subset(grid: Grid, number: int | tuple[int, int], key_B: Tensor) -> Tensor:
    """Draw so many of each image's patches without replacement, by the image's key: flags `[T]`."""
    low, high = (number, number) if isinstance(number, int) else number
    wanted_B = low + random_bits(key_B, 0) % (high - low + 1)
    begin = grid.lengths.cumsum(0) - grid.lengths
    place = torch.arange(len(grid.image), device=grid.image.device) - begin[grid.image]  # in its image
    order = (random_bits(key_B[grid.image], place + 1) + (grid.image << 31)).argsort()
    chosen = torch.zeros(len(order), dtype=torch.bool, device=order.device)
    chosen[order] = place < wanted_B[grid.image]  # by image, and at random within each
    return chosen
