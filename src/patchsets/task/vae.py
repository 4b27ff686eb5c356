"""Learn to draw good images again from codes that can be drawn at random too."""

from typing import Any, ClassVar

import torch

from patchsets.anomaly.judging import as_pictures
from patchsets.task.autoencoder import Reconstruction

SAMPLES = 32


class Variational(Reconstruction):
    """Learns like an autoencoder; leaves samples.png, images that were never there."""

    needs: ClassVar[tuple[str, ...]] = ("maps", "reconstruct", "losses", "sample")

    def extras(self) -> dict[str, Any]:
        from patchsets.figures import samples

        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(self.seed)
            images = as_pictures(self.network.eval().sample(SAMPLES).cpu().numpy())  # type: ignore[operator]
        caption = "Drawn from random codes: what the network takes for good."
        return {**super().extras(), "samples": samples(images, "Samples", caption)}
