"""What is normal at each place of the image, as one Gaussian per place.

Shapes: B images, T places of the patch grid, D features.
"""

import torch
from torch import Tensor, nn

from workbench.common.errors import DataError

SHRINKAGE = 0.01  # of the covariance of all patches, added to that of each place


class PlaceGaussians(nn.Module):
    """Remembers each place's mean and covariance; forward gives `[B, T, D]` the Mahalanobis distances.

    For aligned objects, whose places mean the same in every image (PaDiM, Defard et al. 2021). The images
    are read once: only sums are collected, in double precision. Raises DataError for fewer than two images.
    """

    def __init__(self, dim: int, places: int) -> None:
        super().__init__()
        self._count = 0
        self._sum: Tensor | None = None
        self._squares: Tensor | None = None
        self.register_buffer("mean", torch.zeros(places, dim))
        self.register_buffer("whitening", torch.eye(dim).repeat(places, 1, 1))

    mean: Tensor
    whitening: Tensor

    def expect(self, images: int, places: int) -> str:
        """Say how large the memory will be."""
        dim = self.mean.shape[1]
        megabytes = 4e-6 * (self.mean.numel() + self.whitening.numel())
        return (
            f"{images * places:,} patches of {dim} features; "
            f"{places:,} places with a Gaussian of {dim} dimensions each remembered ({megabytes:.1f} MB)"
        )

    def add(self, features_BTD: Tensor) -> None:
        """Collect a batch of good images."""
        features_TBD = features_BTD.transpose(0, 1).double()
        if self._sum is None or self._squares is None:
            self._sum = torch.zeros_like(features_TBD[:, 0])
            self._squares = torch.zeros_like(self.whitening, dtype=torch.float64)
        self._count += len(features_BTD)
        self._sum += features_TBD.sum(dim=1)
        self._squares += features_TBD.transpose(1, 2) @ features_TBD

    def fit(self) -> None:
        """Turn what was collected into the Gaussians."""
        if self._count < 2 or self._sum is None or self._squares is None:
            raise DataError(f"{self._count} good images are too few to know how much a place varies")
        mean_TD = self._sum / self._count
        moment_TDD = self._squares / self._count
        covariance_TDD = moment_TDD - mean_TD[:, :, None] * mean_TD[:, None, :]
        whole_D = mean_TD.mean(dim=0)
        overall_DD = moment_TDD.mean(dim=0) - whole_D[:, None] * whole_D
        floor_DD = (
            torch.eye(len(whole_D)).to(overall_DD) * overall_DD.diagonal().mean().clamp(min=1e-12) * 1e-4
        )
        shrunk_TDD = covariance_TDD + SHRINKAGE * (overall_DD + floor_DD)
        cholesky_TDD = torch.linalg.cholesky(torch.linalg.inv(shrunk_TDD))
        self.mean.copy_(mean_TD)
        self.whitening.copy_(cholesky_TDD)
        self._count, self._sum, self._squares = 0, None, None

    def forward(self, features_BTD: Tensor) -> Tensor:
        away_BTD = features_BTD - self.mean
        whitened_BTD = torch.einsum("btd,tde->bte", away_BTD, self.whitening)
        return whitened_BTD.square().sum(dim=-1).sqrt()
