"""Smooth random fields, all images of a batch in one step.

Shapes: B images, H x W pixels.
"""

import torch
from torch import Tensor


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
