"""An autoencoder trained against a discriminator, which must not tell an image from its reconstruction.

Shapes: B images, C channels, H x W pixels, L latent numbers (or L x h x w where the bottleneck is spatial).
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from patchsets.anomaly.scoring import error_maps
from patchsets.model.autoencoder import Autoencoder, Bottleneck, encoder_blocks, smallest_features, squeeze
from workbench.common.limits import AboveZero, ListAboveZero


class Ganomaly(nn.Module):
    """Akcay et al. 2018: image → code → image → code, with an adversary.

    Stabilised: the discriminator has spectral normalisation (Miyato et al. 2018) and a hinge loss, the
    generator matches its features. `contextual` and `encoding` weight the errors of image and code beside it.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        enc_channels: ListAboveZero,
        latent_dim: AboveZero,
        bottleneck: Bottleneck = "vector",
        contextual: float = 50.0,
        encoding: float = 1.0,
    ) -> None:
        super().__init__()
        features = smallest_features(image_shape, enc_channels)
        channels = [image_shape[0], *enc_channels]
        self.generator = Autoencoder(image_shape, enc_channels, latent_dim, bottleneck)
        self.second_encoder = nn.Sequential(
            *encoder_blocks(channels), squeeze(features, latent_dim, bottleneck)
        )
        self.discriminator = Discriminator(channels)
        self.contextual = contextual
        self.encoding = encoding

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the logits of the reconstruction `[B, C, H, W]`."""
        return self.generator(images_BCHW)

    def reconstruct(self, images_BCHW: Tensor) -> Tensor:
        """Return the reconstruction `[B, C, H, W]` in 0..1."""
        return self.generator.reconstruct(images_BCHW)

    def generator_losses(self, images_BCHW: Tensor) -> dict[str, Tensor]:
        """Return the loss of the generator, first, and its parts by name."""
        code = self.generator.encoder(images_BCHW)
        reconstructions_BCHW = self.generator.decoder(code).sigmoid()
        real, _ = self.discriminator(images_BCHW)
        fake, _ = self.discriminator(reconstructions_BCHW)
        adversarial = F.mse_loss(fake, real.detach())
        contextual = F.l1_loss(reconstructions_BCHW, images_BCHW)
        encoding = F.mse_loss(self.second_encoder(reconstructions_BCHW), code)
        loss = adversarial + self.contextual * contextual + self.encoding * encoding
        parts = {"adversarial": adversarial, "contextual": contextual, "encoding": encoding}
        return {"loss": loss, **parts}

    def discriminator_loss(self, images_BCHW: Tensor) -> Tensor:
        """Return the hinge loss of telling images from their reconstructions."""
        with torch.no_grad():
            reconstructions_BCHW = self.reconstruct(images_BCHW)
        _, real = self.discriminator(images_BCHW)
        _, fake = self.discriminator(reconstructions_BCHW)
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def maps(self, images_BCHW: Tensor) -> dict[str, Tensor]:
        """Return the maps of the reconstruction's error `[B, H, W]`, and as `own` the error of the code.

        Where the bottleneck is a vector, `own` is one value all over the image: the score of the paper.
        """
        code = self.generator.encoder(images_BCHW)
        reconstructions_BCHW = self.generator.decoder(code).sigmoid()
        error = (self.second_encoder(reconstructions_BCHW) - code).square().mean(dim=1)
        size = images_BCHW.shape[2:]
        places = error[:, None] if error.ndim == 3 else error[:, None, None, None]
        own_BHW = F.interpolate(places, size=size, mode="bilinear")[:, 0]
        return error_maps(images_BCHW, reconstructions_BCHW) | {"own": own_BHW}


class Discriminator(nn.Module):
    """From images to features, and to logits (above 0: a real one) of overlapping patches."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(
                nn.Sequential(spectral_norm(nn.Conv2d(i, o, 4, stride=2, padding=1)), nn.LeakyReLU(0.2))
                for i, o in pairwise(channels)
            )
        )
        self.head = spectral_norm(nn.Conv2d(channels[-1], 1, 3, padding=1))

    def forward(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(images_BCHW)
        return features, self.head(features)
