"""Images squeezed through a narrow place and drawn again: what was not seen in training comes out badly.

Shapes: B images, C channels, H x W pixels.

Variational autoencoder: an autoencoder whose codes are made to look drawn from a standard normal.

Shapes: B images, C channels, H x W pixels, L latent numbers (or L x h x w where the bottleneck is spatial).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from patchsets.anomaly.scoring import error_maps, similarity
from workbench.common.errors import ConfigError
from workbench.common.limits import AboveZero, ListAboveZero, ZeroOrMore

Loss = Literal["mse", "bce", "l1", "ssim"]  # of a reconstruction
Bottleneck = Literal["vector", "spatial"]


class Autoencoder(nn.Module):
    """Convolutional autoencoder; its output are logits, and only a prediction has the sigmoid.

    Each of `enc_channels` is a block that halves the image. `bottleneck` "vector" squeezes the whole image
    into `latent_dim` numbers, "spatial" into as many for each place of the smallest feature map.
    """

    numbers_per_latent = 1

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        enc_channels: ListAboveZero,
        latent_dim: AboveZero,
        bottleneck: Bottleneck = "vector",
        loss: Loss = "mse",
    ) -> None:
        super().__init__()
        features = smallest_features(image_shape, enc_channels)
        channels = [image_shape[0], *enc_channels]
        codes = latent_dim * self.numbers_per_latent
        self.encoder = nn.Sequential(*encoder_blocks(channels), squeeze(features, codes, bottleneck))
        self.decoder = nn.Sequential(expand(features, latent_dim, bottleneck), *decoder_blocks(channels))
        self.loss = loss

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the logits of the reconstruction `[B, C, H, W]`."""
        return self.decoder(self.encoder(images_BCHW))

    def losses(self, images_BCHW: Tensor) -> dict[str, Tensor]:
        """Return the loss, first, and its parts by name."""
        return {"loss": reconstruction_loss(self(images_BCHW), images_BCHW, self.loss)}

    def reconstruct(self, images_BCHW: Tensor) -> Tensor:
        """Return the reconstruction `[B, C, H, W]` in 0..1."""
        return self(images_BCHW).sigmoid()

    def maps(self, images_BCHW: Tensor) -> dict[str, Tensor]:
        """Return the maps of the reconstruction's error `[B, H, W]`, by name."""
        return error_maps(images_BCHW, self.reconstruct(images_BCHW))


def reconstruction_loss(logits_BCHW: Tensor, images_BCHW: Tensor, kind: str) -> Tensor:
    """Return the mean error of a reconstruction, given as logits: `mse`, `bce`, `l1` or `ssim`."""
    if kind == "bce":
        return F.binary_cross_entropy_with_logits(logits_BCHW, images_BCHW)
    reconstructions_BCHW = logits_BCHW.sigmoid()
    if kind == "ssim":
        return 1 - similarity(images_BCHW, reconstructions_BCHW).mean()
    return {"mse": F.mse_loss, "l1": F.l1_loss}[kind](reconstructions_BCHW, images_BCHW)


def smallest_features(image_shape: tuple[int, int, int], enc_channels: Sequence[int]) -> tuple[int, int, int]:
    """Return the shape of the encoder's last features; raise ConfigError where a side cannot be halved."""
    _, height, width = image_shape
    shrink = 2 ** len(enc_channels)
    if height % shrink or width % shrink:
        raise ConfigError(
            f"hparams.image_size: {height}x{width} cannot be halved {len(enc_channels)} times, once for each "
            f"of hparams.enc_channels; choose {multiple_of(shrink, height, width)}"
        )
    return enc_channels[-1], height // shrink, width // shrink


def multiple_of(number: int, height: int, width: int) -> str:
    """Say which sizes can be halved, and the nearest of them."""
    near = [max(1, round(side / number)) * number for side in (height, width)]
    return f"a multiple of {number}, such as {near[0] if near[0] == near[1] else str(near).replace(' ', '')}"


def encoder_blocks(channels: Sequence[int]) -> list[nn.Module]:
    """Return a block from each number of channels to the next; each halves the image."""
    return [
        nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2))
        for i, o in pairwise(channels)
    ]


def decoder_blocks(channels: Sequence[int]) -> list[nn.Module]:
    """Return the mirror of `encoder_blocks`: each doubles the image; the last gives logits."""
    first, second, *others = channels
    hidden = [second, *others][::-1]
    blocks: list[nn.Module] = [
        nn.Sequential(nn.ConvTranspose2d(i, o, 2, stride=2), nn.BatchNorm2d(o), nn.ReLU())
        for i, o in pairwise(hidden)
    ]
    return [*blocks, nn.ConvTranspose2d(second, first, 2, stride=2)]


def squeeze(features: tuple[int, int, int], codes: int, bottleneck: str) -> nn.Module:
    """Return the layer from features to codes: `[B, codes]`, or `[B, codes, h, w]` where it is spatial."""
    channels, height, width = features
    if bottleneck == "spatial":
        return nn.Conv2d(channels, codes, 1)
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, codes))


def expand(features: tuple[int, int, int], codes: int, bottleneck: str) -> nn.Module:
    """Return the layer from codes back to features."""
    channels, height, width = features
    if bottleneck == "spatial":
        return nn.Conv2d(codes, channels, 1)
    return nn.Sequential(nn.Linear(codes, channels * height * width), nn.Unflatten(1, features))


class VariationalAutoencoder(Autoencoder):
    """Kingma and Welling 2014; `beta` weights the divergence (Higgins et al. 2017).

    With beta 1 the loss is the negative evidence lower bound by pixel, for pixels that are Bernoulli (`bce`)
    or normal with a variance of 1/2 (`mse`).
    """

    numbers_per_latent = 2  # mean and logarithm of the variance

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        enc_channels: ListAboveZero,
        latent_dim: AboveZero,
        bottleneck: Bottleneck = "vector",
        loss: Loss = "mse",
        beta: ZeroOrMore = 1.0,
    ) -> None:
        super().__init__(image_shape, enc_channels, latent_dim, bottleneck, loss)
        self.beta = beta
        _, *places = smallest_features(image_shape, enc_channels)
        self.latent_shape = (latent_dim, *(places if bottleneck == "spatial" else ()))

    def encode(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance of the codes, `[B, L]` each."""
        mean_BL, log_variance_BL = self.encoder(images_BCHW).chunk(2, dim=1)
        return mean_BL, log_variance_BL

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the logits of the reconstruction from the mean code `[B, C, H, W]`."""
        return self.decoder(self.encode(images_BCHW)[0])

    def losses(self, images_BCHW: Tensor) -> dict[str, Tensor]:
        mean_BL, log_variance_BL = self.encode(images_BCHW)
        deviation_BL = (0.5 * log_variance_BL).exp()
        noise_BL = torch.randn_like(mean_BL) if self.training else torch.zeros_like(mean_BL)
        logits_BCHW = self.decoder(mean_BL + deviation_BL * noise_BL)
        reconstruction = reconstruction_loss(logits_BCHW, images_BCHW, self.loss)
        divergence = 0.5 * (mean_BL.square() + log_variance_BL.exp() - 1 - log_variance_BL).sum()
        by_pixel = divergence / images_BCHW.numel()
        return {
            "loss": reconstruction + self.beta * by_pixel,
            "reconstruction": reconstruction,
            "divergence": divergence / len(images_BCHW),
        }

    def sample(self, number: int) -> Tensor:
        """Return images drawn from the prior `[number, C, H, W]` in 0..1."""
        device = next(self.parameters()).device
        return self.decoder(torch.randn(number, *self.latent_shape, device=device)).sigmoid()
