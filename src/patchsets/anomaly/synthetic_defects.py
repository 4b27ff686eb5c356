"""Defects painted on good images, for a network that learns to find them.

After CutPaste (Li et al. 2021), DRAEM (Zavrtanik et al. 2021) and NSA (Schlueter et al. 2022). A defect is an
area, something in it, and how strongly it covers what was there; each image of a batch draws its own, and the
whole batch is painted at once, on its device, from torch's generator.

Shapes: B images, C channels, H x W pixels.

Shapes: B images, H x W pixels.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

UNTOUCHED = 0.3  # share of the images that stay good
CELLS = (3, 6, 12)  # of the noise that frays the edge of an area, along a side
VISIBLE = 0.02  # a change of brightness (0..1) fainter than this is no defect


def paint_defects(images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Return good images with defects on most of them, and where they are: `[B, H, W]` of bool."""
    area_B1HW = draw_areas(len(images_BCHW), images_BCHW.shape[-2:], images_BCHW.device)[:, None]
    cover_B1HW = area_B1HW * _uniform(len(images_BCHW), 0.4, 1.0, images_BCHW)
    painted = torch.lerp(images_BCHW, draw_contents(images_BCHW), cover_B1HW).clamp(0, 1)
    change = (painted - images_BCHW).abs().amax(dim=1, keepdim=True)
    visible = F.avg_pool2d(change, 5, stride=1, padding=2) > VISIBLE
    return painted, (visible & (area_B1HW > 0.5)).squeeze(1)


def draw_areas(count: int, size: torch.Size, device: torch.device) -> Tensor:
    """Draw an area for each image `[B, H, W]`: 1 inside, soft at the edge, 0 outside and where it stays good.

    An ellipse of any place, size, direction and slenderness (the slimmest is a scratch), frayed by noise.
    """
    height, width = size
    noise = torch.stack([perlin_noise(count, (height, width), cells, device) for cells in CELLS], dim=1)
    frayed = noise[torch.arange(count, device=device), torch.randint(len(CELLS), (count,), device=device)]
    field = 1 - _distance_from_ellipse(count, size, device) + 1.5 * frayed
    area = torch.sigmoid(field * 8)
    return area * (torch.rand(count, 1, 1, device=device) >= UNTOUCHED)


def _distance_from_ellipse(count: int, size: torch.Size, device: torch.device) -> Tensor:
    """Return how far each pixel is from the middle of an ellipse `[B, H, W]`, in its own radii."""
    height, width = size
    middle_y, middle_x, turn, large, slender = torch.rand(5, count, 1, 1, device=device)
    side = min(height, width)  # the unit of both, so that the shape is that of a square image
    y = (torch.linspace(-0.5, 0.5, height, device=device)[:, None] - (middle_y - 0.5)) * (height / side)
    x = (torch.linspace(-0.5, 0.5, width, device=device) - (middle_x - 0.5)) * (width / side)
    angle = turn * math.pi
    along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    radius = torch.exp(math.log(0.05) + large * math.log(0.3 / 0.05))
    aspect = torch.exp(slender * math.log(6.0))
    return torch.hypot(along / (radius * aspect.sqrt()), across * aspect.sqrt() / radius)


def draw_contents(images_BCHW: Tensor) -> Tensor:
    """Draw what an area is filled with for each image `[B, C, H, W]`."""
    choices = torch.stack([fill(images_BCHW) for fill in CONTENTS], dim=1)
    chosen = torch.randint(len(CONTENTS), (len(images_BCHW),), device=images_BCHW.device)
    return choices[torch.arange(len(images_BCHW), device=images_BCHW.device), chosen]


def _elsewhere(images: Tensor) -> Tensor:
    """Another place of another good image, perhaps turned upside down or mirrored."""
    other = images[torch.randperm(len(images), device=images.device)]
    height, width = images.shape[-2:]
    down, right = (int(torch.randint(side // 4, side - side // 4 + 1, ())) for side in (height, width))
    flips = [(), (2,), (3,), (2, 3)][int(torch.randint(4, ()))]
    moved = other.roll((down, right), dims=(2, 3)).flip(flips)
    return moved + _sign(images) * _uniform(len(images), 0.0, 1.0, images) * _contrast(images)


def _turned(images: Tensor) -> Tensor:
    """The image turned by a quarter (its own size again), at another brightness."""
    turned = F.interpolate(images.transpose(2, 3).flip(3), images.shape[-2:], mode="bilinear")
    return turned + _sign(images) * _uniform(len(images), 0.0, 1.0, images) * _contrast(images)


def _shifted(images: Tensor) -> Tensor:
    """The image, brighter or darker by half to three times its contrast."""
    return images + _sign(images) * _uniform(len(images), 0.5, 3.0, images) * _contrast(images)


def _blurred(images: Tensor) -> Tensor:
    """The image without its detail, a little brighter or darker."""
    window = int(torch.randint(1, 4, ())) * 2 + 1
    smooth = images
    for _ in range(2):
        smooth = F.avg_pool2d(F.pad(smooth, [window // 2] * 4, mode="reflect"), window, stride=1)
    return smooth + _sign(images) * _uniform(len(images), 0.0, 0.7, images) * _contrast(images)


def _constant(images: Tensor) -> Tensor:
    """One colour that the image has somewhere."""
    pixels = images.flatten(2)
    place = torch.randint(pixels.shape[2], (len(images), 1, 1), device=images.device)
    colour = pixels.take_along_dim(place, dim=2)[..., None]
    return colour.expand_as(images)


def _coloured_noise(images: Tensor) -> Tensor:
    """A texture of no image: noise between coarse and fine, with the image's mean and contrast."""
    height, width = images.shape[-2:]
    coarse = 2 ** int(torch.randint(0, 4, ()))
    grid = (math.ceil(height / coarse), math.ceil(width / coarse))
    noise = torch.randn(*images.shape[:2], *grid, device=images.device)
    spread = F.interpolate(noise, (height, width), mode="bilinear")
    return images.mean(dim=(2, 3), keepdim=True) + spread * _contrast(images)


CONTENTS = (_elsewhere, _turned, _shifted, _blurred, _constant, _coloured_noise)


def _contrast(images: Tensor) -> Tensor:
    return images.std(dim=(1, 2, 3), keepdim=True, correction=0)


def _uniform(count: int, low: float, high: float, like: Tensor) -> Tensor:
    return low + (high - low) * torch.rand(count, 1, 1, 1, device=like.device)


def _sign(images: Tensor) -> Tensor:
    return torch.randint(0, 2, (len(images), 1, 1, 1), device=images.device) * 2.0 - 1


def perlin_noise(count: int, size: tuple[int, int], cells: int, device: torch.device) -> Tensor:
    """Return gradient noise `[B, H, W]` about 0 with so many cells along each side (Perlin 1985)."""
    angle = torch.rand(count, cells + 1, cells + 1, device=device) * 2 * torch.pi
    y, row, ease_y = _places(size[0], cells, device)
    x, column, ease_x = _places(size[1], cells, device)

    def ramp(down: int, right: int) -> Tensor:
        corner = angle[:, row + down][:, :, column + right]
        return corner.sin() * (y - down)[:, None] + corner.cos() * (x - right)

    above = torch.lerp(ramp(0, 0), ramp(0, 1), ease_x)
    below = torch.lerp(ramp(1, 0), ramp(1, 1), ease_x)
    return torch.lerp(above, below, ease_y[:, None])


def _places(side: int, cells: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each pixel its place within its cell, the cell, and the eased place."""
    place = (torch.arange(side, device=device) + 0.5) * cells / side
    cell = place.long()
    within = place - cell
    return within, cell, within**3 * (within * (within * 6 - 15) + 10)
