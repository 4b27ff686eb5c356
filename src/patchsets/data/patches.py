"""Image → set of patches: all images of a batch in one step, whatever their sizes, on their device.

Shapes: B images of H x W pixels, T patches of all of them, C channels.
"""

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from patchsets.data.draws import random_bits
from patchsets.data.images import Images, in_0_to_1
from patchsets.set_module import Sets
from workbench.common.limits import Limit

Number = int | tuple[int, int] | None
Edge = Literal["drop", "pad", "shift"]  # what becomes of pixels behind the last whole stride


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
    """Cuts square patches of `size` pixels every `stride` pixels, from the top left corner on.

    `coordinates` says where a patch lies in its image (y, x from -1 to 1). `min_contrast` leaves out patches
    whose standard deviation (of values 0 to 1) is lower; an image with no others keeps the one with the
    highest. `edge`: pixels at the right and at the bottom for which no patch is left are dropped, or belong
    to one more, which is padded with the last pixels of the image, or shifted so that it ends where they do.
    """

    size: int
    stride: int
    coordinates: bool = True
    min_contrast: float = 0.0
    edge: Edge = "drop"

    @property
    def smallest(self) -> int:
        """How many pixels a side of an image needs."""
        return 1 if self.edge == "pad" else self.size

    @property
    def place_features(self) -> int:
        """How many numbers say where a patch lies."""
        return 2 * self.coordinates

    def num_features(self, channels: int) -> int:
        """Return how long a patch is as a vector."""
        return self.size**2 * channels + self.place_features

    def cut(self, images: Images, number: Number = None, key_B: Tensor | None = None) -> tuple[Sets, Tensor]:
        """Return the patches as sets of `[C, size, size]` in 0..1, and their top-left pixels `[T, 2]`.

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
        patches = self._pixels(images, grid).permute(0, 3, 1, 2)
        places = self._places(grid.position, self._room(images.size)[grid.image])
        return Sets(patches, grid.lengths, places=places), grid.position

    def cut_all(self, images_BHWC: Tensor) -> Sets:
        """Return all patches of images of one size, as `cut` does, in a form that torch can export."""
        B, H, W, C = images_BHWC.shape
        y, x = self._starts(H), self._starts(W)
        position = self.positions(H, W)
        rows, columns = (
            (start[:, None] + torch.arange(self.size)).clamp(max=side - 1).flatten()
            for start, side in ((y, H), (x, W))
        )
        pixels = images_BHWC.index_select(1, rows).index_select(2, columns)
        pixels = pixels.view(B, y.shape[0], self.size, x.shape[0], self.size, C)
        patches = pixels.permute(0, 1, 3, 5, 2, 4).flatten(1, 2).float() / 255
        places = self._places(position, torch.stack([self._room(torch.scalar_tensor(s)) for s in (H, W)]))
        sets = Sets.from_padded(patches)
        return sets if places is None else sets.with_places(places.repeat(B, 1))

    def positions(self, height: int, width: int) -> Tensor:
        """Return the top-left pixels of the patches of an image `[N, 2]`, as cut_all gives them."""
        starts = torch.meshgrid(self._starts(height), self._starts(width), indexing="ij")
        return torch.stack(starts, dim=2).flatten(0, 1)

    def coverage(self, size_B2: Tensor) -> Tensor:
        """Return the share of the pixels of images of these heights and widths that lie in a patch `[B]`."""
        seen = cache(self._seen)
        return torch.tensor([seen(height) * seen(width) for height, width in size_B2.tolist()])

    def _seen(self, side: int) -> float:
        pixels = self._starts(side)[:, None] + torch.arange(self.size)
        return len(pixels.clamp(max=side - 1).unique()) / side

    def _count(self, side: Any) -> Any:
        """Return how many patches lie along a side: a number, also one that torch traces, or a tensor."""
        if self.edge == "drop":
            return (side - self.size) // self.stride + 1
        reach = max(self.size, self.stride)  # no patch begins behind the image
        return (side - reach + self.stride - 1) // self.stride + 1

    def _starts(self, side: int) -> Tensor:
        if self.edge == "pad":
            side = torch.sym_max(side, self.size)
        starts = torch.arange(self._count(side)) * self.stride
        return starts.clamp(max=side - self.size) if self.edge == "shift" else starts

    def _room(self, size: Tensor) -> Tensor:
        """Return how far the last patch can begin from the first."""
        if self.edge == "pad":
            return ((self._count(size.clamp(min=self.size)) - 1) * self.stride).clamp(min=1)
        return (size - self.size).clamp(min=1)

    def _places(self, position: Tensor, room: Tensor) -> Tensor | None:
        return position / room * 2 - 1 if self.coordinates else None

    def _grid(self, images: Images) -> Grid:
        size = images.size.clamp(min=self.size) if self.edge == "pad" else images.size
        places_B2 = self._count(size)
        lengths = places_B2.prod(1)
        image = torch.repeat_interleave(lengths)
        place = torch.arange(len(image), device=image.device) - (lengths.cumsum(0) - lengths)[image]
        columns = places_B2[image, 1]
        position = torch.stack([place // columns, place % columns], dim=1) * self.stride
        if self.edge == "shift":
            position = position.minimum((size - self.size)[image])
        return Grid(image, position, lengths)

    def _pixels(self, images: Images, grid: Grid) -> Tensor:
        """Gather the pixels of each patch `[T, size, size, C]`, values 0 to 1."""
        steps = torch.arange(self.size, device=grid.position.device)
        begin, y, x = images.begin[grid.image], *grid.position.unbind(1)
        if self.edge == "pad":
            height, width = (side[:, None] for side in images.size[grid.image].unbind(1))
            row = (y[:, None] + steps).minimum(height - 1) * width
            column = (x[:, None] + steps).minimum(width - 1)
            pixel = begin[:, None, None] // images.channels + row[:, :, None] + column[:, None]
            return in_0_to_1(images.pixels.view(-1, images.channels)[pixel])
        row_bytes = images.size[grid.image, 1] * images.channels
        corner = begin + y * row_bytes + x * images.channels
        row = (corner[:, None] + steps * row_bytes[:, None]).view(-1)
        rows = images.pixels.unfold(0, self.size * images.channels, 1).index_select(0, row)
        return in_0_to_1(rows.view(-1, self.size, self.size, images.channels))

    def _foreground(self, images: Images, grid: Grid) -> Tensor:
        contrast = self._pixels(images, grid).flatten(1).std(dim=1, correction=0)
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
