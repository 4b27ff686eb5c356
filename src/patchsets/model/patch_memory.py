"""The image as a set of patches, the patches of good images as a memory: nothing is trained.

Shapes: B images, C channels, H x W pixels, D features, T = h x w places of the patch grid.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from patchsets.model.filter_bank import FilterBank, RawPatches
from patchsets.model.patch_distances import NearestPatches, PlaceGaussians
from patchsets.model.pretrained import make_encoder
from workbench.common.errors import ConfigError

FEATURES = {"filter_bank": FilterBank, "raw": RawPatches}
DISTANCES = ("nearest", "mahalanobis")


class PatchMemory(nn.Module):
    """Maps how unlike the patches of good images each place of an image is.

    `encoder` is any that make_encoder takes; without one, `features` is a word (filter_bank, raw) or a module
    that gives `[B, D, h, w]`.
    `distance` is to the nearest remembered patches (`nearest`: textures, and what is not aligned), or to a
    Gaussian of each place (`mahalanobis`: aligned objects); the other keys are NearestPatches'.

    Raises ConfigError for a word there is not, or features that are no map.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        features: str | nn.Module = "filter_bank",
        distance: str = "nearest",
        size: int = 4096,
        coreset: str = "greedy",
        neighbours: int = 1,
        components: int | None = None,
        whiten: bool = True,
        candidates: int = 100_000,
        encoder: str | dict[str, Any] | nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.features = make_features(features) if encoder is None else make_encoder(encoder)
        dim, *self.grid = self._feature_shape()
        if distance not in DISTANCES:
            raise ConfigError(f"model.distance: there is no {distance}; there is {', '.join(DISTANCES)}")
        self.memory: NearestPatches | PlaceGaussians = (
            NearestPatches(dim, size, coreset, neighbours, components, whiten, candidates)
            if distance == "nearest"
            else PlaceGaussians(dim, self.grid[0] * self.grid[1])
        )

    def _feature_shape(self) -> torch.Size:
        with torch.no_grad():
            features = self.features(torch.zeros(1, *self.image_shape))
        if not isinstance(features, Tensor) or features.dim() != 4:
            raise ConfigError("model.features: gives no map [B, D, h, w]; its layers choose one")
        return features.shape[1:]

    def expect(self, images: int) -> str:
        """Prepare for so many good images, and say how large the memory will be."""
        return f"{images:,} good images: {self.memory.expect(images, self.grid[0] * self.grid[1])}"

    @torch.no_grad()
    def add(self, images_BCHW: Tensor) -> None:
        """Collect the patches of a batch of good images."""
        self.memory.add(self._describe(images_BCHW))

    @torch.no_grad()
    def fit(self) -> None:
        """Turn what was collected into the memory."""
        self.memory.fit()

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the distance of each pixel from what is good `[B, H, W]`."""
        distance_B1hw = self.memory(self._describe(images_BCHW)).unflatten(1, (1, *self.grid))
        return F.interpolate(distance_B1hw, images_BCHW.shape[-2:], mode="bilinear").squeeze(1)

    def maps(self, images_BCHW: Tensor) -> dict[str, Tensor]:
        """Return the distance as the map `own` `[B, H, W]`."""
        return {"own": self(images_BCHW)}

    def _describe(self, images_BCHW: Tensor) -> Tensor:
        return self.features(images_BCHW).flatten(2).transpose(1, 2)


def make_features(features: str | nn.Module) -> nn.Module:
    """Return the module a word stands for, or the module itself."""
    if isinstance(features, nn.Module):
        return features
    if features not in FEATURES:
        there = ", ".join(FEATURES)
        raise ConfigError(f"model.features: there is no {features}; there is {there}, or a model.encoder")
    return FEATURES[features]()
