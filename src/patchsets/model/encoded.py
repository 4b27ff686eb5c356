"""A pretrained network looks, another learns from what it sees: of each patch of a set, or of whole images.

Shapes: B images, T patches of all of them, C channels, H, W pixels, D features, h x w places of a map.
"""

from collections.abc import Callable
from inspect import ismethod
from typing import Any

import torch
from torch import Tensor, nn

from patchsets.model.encoder import Encoder
from patchsets.model.pretrained import make_encoder
from patchsets.set_module import Sets
from workbench.common.limits import Share


class Encoded(nn.Module):
    """What is common to both: the learning network's other methods are given what its encoder sees, too."""

    encoder: Encoder
    network: Any

    def __getattr__(self, name: str) -> Any:
        """Find `attention(sets)` and its like in the network that learns."""
        inner = self.__dict__.get("_modules", {}).get("network")
        if name in self._modules or name.startswith("_") or not ismethod(found := getattr(inner, name, None)):
            return super().__getattr__(name)
        return lambda given, *others: found(self.encoded(given), *others)

    def forward(self, given: Any) -> Tensor:
        return self.network(self.encoded(given))

    def encoded(self, given: Any) -> Any:
        """Return what the learning network is given, of what this one is."""
        raise NotImplementedError


class EncodedPatches(Encoded):
    """From sets of patches `[C, h, w]`, or of the vectors `[D]` they are encoded as, to `[B, out_features]`.

    `network` makes what learns from the vectors, and from the places where they are known; `encoder` is any
    that make_encoder takes.
    """

    def __init__(
        self,
        network: Callable[..., nn.Module],
        encoder: Any,
        patch_shape: tuple[int, int, int],
        out_features: int,
        place_features: int = 0,
    ) -> None:
        super().__init__()
        self.encoder = make_encoder(encoder)
        features = self.encode(torch.zeros(1, *patch_shape)).shape[1]
        self.network = network(in_features=features + place_features, out_features=out_features)

    def encode(self, patches_TChw: Tensor) -> Tensor:
        """Return the vectors of patches `[T, D]`."""
        return self.encoder.vectors(patches_TChw, self.encoder.layers)

    def encoded(self, sets: Sets) -> Sets:
        is_encoded = sets.values.dim() == 2
        return (sets if is_encoded else sets.with_values(self.encode(sets.values))).as_vectors()


class EncodedImages(Encoded):
    """From images `[B, in_features, H, W]`, or what they are encoded as, to `[B, out_features]`.

    `network` makes what learns from the maps `[B, D, h, w]`, or where it `takes_vectors`, from `[B, D]`.
    """

    def __init__(
        self, network: Callable[..., nn.Module], encoder: Any, in_features: int, out_features: int
    ) -> None:
        super().__init__()
        self.encoder = make_encoder(encoder)
        self.channels = in_features
        self.takes_vectors = getattr(getattr(network, "func", network), "takes_vectors", False)
        features = self.encode(torch.zeros(1, in_features, 64, 64)).shape[1]
        self.network = network(in_features=features, out_features=out_features)

    def encoded(self, images_BCHW: Tensor) -> Tensor:
        is_encoded = images_BCHW.dim() == 2 or images_BCHW.shape[1] != self.channels
        return images_BCHW if is_encoded else self.encode(images_BCHW)

    def encode(self, images_BCHW: Tensor) -> Tensor:
        """Return the maps of images, or their vectors."""
        if self.takes_vectors:
            return self.encoder.vectors(images_BCHW, self.encoder.last)
        return self.encoder(images_BCHW)


class Linear(nn.Module):
    """From what an encoder makes of whole images `[B, in_features]` to `[B, out_features]`."""

    takes_vectors = True

    def __init__(self, in_features: int, out_features: int, dropout: Share = 0.0) -> None:
        super().__init__()
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(in_features, out_features))

    def forward(self, vectors_BD: Tensor) -> Tensor:
        return self.classify(vectors_BD)
