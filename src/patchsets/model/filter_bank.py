"""What a patch looks like to a bank of log-Gabor filters: features that are written down, not learned.

Shapes: B images, C channels, H x W pixels, F filters, D features, h x w places of the patch grid.

Shapes: B images, C channels, H x W pixels, D features, h x w places of the patch grid. A grid with a place
every `stride` pixels has h = H / stride: patches at the border look at a mirrored image.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FAINTEST = 0.01  # of responses and contrasts in 0..1: what is fainter is the camera's noise


class FilterBank(nn.Module):
    """Describe patches by log filter energies, brightness and log contrast: `[B, C, H, W]` to `[B, D, h, w]`.

    Log-Gabor filters (Field 1987) of several wavelengths (pixels) and orientations look at the mean of the
    channels; their energy, averaged over `size` x `size` pixels every `stride` pixels, is a feature each.
    Brightness and contrast are one feature each per channel.
    """

    def __init__(
        self,
        wavelengths: list[float] | None = None,
        orientations: int = 6,
        size: int = 8,
        stride: int = 4,
    ) -> None:
        super().__init__()
        self.size = size
        self.stride = stride
        kernels = log_gabor_kernels(wavelengths or [3.0, 6.0, 12.0], orientations)
        self.register_buffer("even", kernels.real.contiguous(), persistent=False)
        self.register_buffer("odd", kernels.imag.contiguous(), persistent=False)
        self.even: Tensor
        self.odd: Tensor

    def forward(self, images_BCHW: Tensor) -> Tensor:
        energy = self._pool(self._energy(images_BCHW))
        mean = self._pool(images_BCHW)
        contrast = (self._pool(images_BCHW.square()) - mean.square()).clamp(min=0).sqrt()
        return torch.cat([(energy + FAINTEST).log(), mean, (contrast + FAINTEST).log()], dim=1)

    def _energy(self, images_BCHW: Tensor) -> Tensor:
        margin = self.even.shape[-1] // 2
        grey = F.pad(images_BCHW.mean(dim=1, keepdim=True), [margin] * 4, mode="reflect")
        squares = F.conv2d(grey, self.even).square() + F.conv2d(grey, self.odd).square()
        return (squares + 1e-12).sqrt()

    def _pool(self, values: Tensor) -> Tensor:
        return pool_patches(values, self.size, self.stride)


def log_gabor_kernels(wavelengths: list[float], orientations: int) -> Tensor:
    """Return complex kernels `[F, 1, K, K]`, K twice the longest wavelength, of unit absolute sum.

    One octave wide; the real part answers to lines, the imaginary part to edges.
    """
    side = 2 * math.ceil(max(wavelengths)) + 1
    frequency = torch.fft.fftfreq(side)
    y, x = torch.meshgrid(frequency, frequency, indexing="ij")
    radius = torch.hypot(x, y).clamp(min=1e-6)
    angle = torch.atan2(y, x)
    transfer = [
        _radial(radius, wavelength) * _angular(angle, math.pi * turn / orientations, orientations)
        for wavelength in wavelengths
        for turn in range(orientations)
    ]
    kernels = torch.fft.fftshift(torch.fft.ifft2(torch.stack(transfer)), dim=(-2, -1))
    return (kernels / kernels.abs().sum(dim=(-2, -1), keepdim=True)).unsqueeze(1)


def _radial(radius: Tensor, wavelength: float) -> Tensor:
    passed = torch.exp(-((radius * wavelength).log() ** 2) / (2 * math.log(0.65) ** 2))
    passed[0, 0] = 0  # brightness passes no filter
    return passed


def _angular(angle: Tensor, towards: float, orientations: int) -> Tensor:
    away = torch.atan2((angle - towards).sin(), (angle - towards).cos())
    return torch.exp(-(away**2) / (2 * (math.pi / orientations / 1.5) ** 2))


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
