"""Variational autoencoder: an autoencoder whose codes are made to look drawn from a standard normal.

Shapes: B images, C channels, H x W pixels, L latent numbers (or L x h x w where the bottleneck is spatial).
"""

import torch
from torch import Tensor

from patchsets.model.autoencoder import Autoencoder, Bottleneck, Loss, reconstruction_loss, smallest_features
from workbench.common.limits import AboveZero, ListAboveZero, ZeroOrMore


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
