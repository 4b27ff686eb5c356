"""A memory of good patches, and how far a patch is from the nearest of them.

Shapes: B images, T places of the patch grid, D features, K components, M patches in the memory, N candidates.

What is normal at each place of the image, as one Gaussian per place.

Shapes: B images, T places of the patch grid, D features.
"""

import torch
from torch import Tensor, nn

from workbench.common.errors import ConfigError, DataError

BLOCK = 2**20  # distances held at a time for each image: 4 MB


class NearestPatches(nn.Module):
    """Remembers a coreset of good patches; forward gives `[B, T, D]` the distance to its nearest `[B, T]`.

    Features are rotated to their `components` strongest directions (at most; all where None) and, with
    `whiten`, scaled to equal variance. `size` is the length of the memory whatever the data are, so that a
    checkpoint always fits: where there are fewer patches all are kept and the other rows are infinitely far.
    At most `candidates` patches, drawn evenly from all images, are looked at when it is fitted.

    kNN with a coreset: PatchCore (Roth et al. 2022). Raises DataError where there are fewer patches than
    `neighbours`.
    """

    def __init__(
        self,
        dim: int,
        size: int = 4096,
        coreset: str = "greedy",
        neighbours: int = 1,
        components: int | None = None,
        whiten: bool = True,
        candidates: int = 100_000,
    ) -> None:
        super().__init__()
        _require_choice(coreset, size, neighbours, candidates)
        self.kept = min(components or dim, dim)
        self.size = size
        self.coreset = coreset
        self.neighbours = neighbours
        self.whiten = whiten
        self.candidates = candidates
        self.per_image: int | None = None
        self._collected: list[Tensor] = []
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("rotation", torch.eye(dim)[:, : self.kept].clone())
        self.register_buffer("memory", torch.randn(size, self.kept))
        self.register_buffer("squares", self.memory.square().sum(dim=1))

    centre: Tensor
    rotation: Tensor
    memory: Tensor
    squares: Tensor

    def expect(self, images: int, places: int) -> str:
        """Prepare for so many images, and say how large the memory will be."""
        total = images * places
        self.per_image = max(1, self.candidates // images) if total > self.candidates else None
        looked_at = images * min(places, self.per_image or places)
        kept = min(self.size, looked_at)
        drawn = "" if looked_at == total else f", {looked_at:,} of them drawn"
        dim = len(self.centre)
        return (
            f"{total:,} patches of {dim} features ({_megabytes(total, dim)}){drawn}; "
            f"{kept:,} of {self.kept} dimensions remembered, {self.coreset} coreset "
            f"({_megabytes(self.size, self.kept)})"
        )

    def add(self, features_BTD: Tensor) -> None:
        """Collect the patches of a batch of good images."""
        if self.per_image is not None and self.per_image < features_BTD.shape[1]:
            key_BT = torch.rand(features_BTD.shape[:2], device=features_BTD.device)
            place_BP = key_BT.topk(self.per_image, dim=1).indices
            features_BTD = features_BTD.take_along_dim(place_BP[:, :, None], dim=1)
        self._collected.append(features_BTD.flatten(0, 1))

    def fit(self) -> None:
        """Turn what was collected into the memory."""
        patches_ND = torch.cat(self._collected)
        self._collected.clear()
        if len(patches_ND) < self.neighbours:
            raise DataError(f"{len(patches_ND)} good patches are fewer than {self.neighbours} neighbours")
        self._fit_rotation(patches_ND)
        projected_NK = self._project(patches_ND)
        remembered_MK = projected_NK[CORESETS[self.coreset](projected_NK, self.size)]
        self.memory.zero_()[: len(remembered_MK)] = remembered_MK
        self.squares.fill_(torch.inf)[: len(remembered_MK)] = remembered_MK.square().sum(dim=1)

    def _fit_rotation(self, patches_ND: Tensor) -> None:
        """Find the principal components; directions without variance are not blown up."""
        self.centre.copy_(patches_ND.mean(dim=0))
        covariance = (patches_ND - self.centre).double().T.cov(correction=0).view(len(self.centre), -1)
        variance, directions = torch.linalg.eigh(covariance)
        strongest = directions.flip(1)[:, : self.kept]
        if self.whiten:
            largest = variance[-1].clamp(min=1e-12)
            strongest = strongest / variance.flip(0)[: self.kept].clamp(min=1e-4 * largest).sqrt()
        self.rotation.copy_(strongest)

    def _project(self, features: Tensor) -> Tensor:
        return (features - self.centre) @ self.rotation

    def forward(self, features_BTD: Tensor) -> Tensor:
        projected_BTK = self._project(features_BTD)
        nearest = [self._nearest(projected_BTK, rows) for rows in self._blocks(features_BTD.shape[1])]
        squared_BTk = torch.cat(nearest, dim=-1).topk(self.neighbours, dim=-1, largest=False).values
        return squared_BTk.clamp(min=0).sqrt().mean(dim=-1)

    def _blocks(self, places: int) -> list[slice]:
        step = max(self.neighbours, BLOCK // places)
        return [slice(begin, begin + step) for begin in range(0, self.size, step)]

    def _nearest(self, projected_BTK: Tensor, rows: slice) -> Tensor:
        """Return the smallest squared distances to some rows of the memory `[B, T, neighbours or fewer]`."""
        block_RK = self.memory[rows]
        own_BT1 = projected_BTK.square().sum(dim=-1, keepdim=True)
        squared_BTR = own_BT1 + self.squares[rows] - 2 * (projected_BTK @ block_RK.T)
        return squared_BTR.topk(min(self.neighbours, len(block_RK)), dim=-1, largest=False).values


def _megabytes(rows: int, columns: int) -> str:
    return f"{4e-6 * rows * columns:.1f} MB"


def _require_choice(coreset: str, size: int, neighbours: int, candidates: int) -> None:
    if coreset not in CORESETS:
        raise ConfigError(f"model.coreset: there is no {coreset}; there is {', '.join(CORESETS)}")
    if not 0 < neighbours <= size:
        raise ConfigError(f"model.neighbours: {neighbours} is not from 1 to the memory's {size} patches")
    if candidates < size:
        raise ConfigError(f"model.candidates: {candidates} are fewer than the memory's {size} patches")


def random_coreset(patches_ND: Tensor, size: int) -> Tensor:
    """Draw M patches: index `[M]`, from torch's generator."""
    return torch.randperm(len(patches_ND), device=patches_ND.device)[:size]


def greedy_coreset(patches_ND: Tensor, size: int) -> Tensor:
    """Choose M patches so that none is far from a chosen one: index `[M]`.

    Each next one is the patch farthest from all chosen so far (k-center greedy: Gonzalez 1985; Sener and
    Savarese 2018; as the coreset of PatchCore, Roth et al. 2022), from a random first.
    """
    squares_N = patches_ND.square().sum(dim=1)
    distance_N = torch.full_like(squares_N, torch.inf)
    chosen = torch.randint(len(patches_ND), (1,), device=patches_ND.device)
    indices = [chosen]
    for _ in range(min(size, len(patches_ND)) - 1):
        centre_D = patches_ND[chosen[0]]
        to_centre_N = squares_N + squares_N[chosen] - 2 * (patches_ND @ centre_D)
        torch.minimum(distance_N, to_centre_N, out=distance_N)
        distance_N[chosen] = -1  # never twice, whatever the rounding
        chosen = distance_N.argmax(keepdim=True)
        indices.append(chosen)
    return torch.cat(indices)


CORESETS = {"greedy": greedy_coreset, "random": random_coreset}
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
