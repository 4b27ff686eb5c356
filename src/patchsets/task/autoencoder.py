"""Learn to draw good images again: what is drawn badly is an anomaly."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from patchsets.anomaly.judged import as_pictures
from patchsets.data.batch import ImageBatch
from patchsets.task.anomaly import AnomalyTask


class Reconstruction(AnomalyTask):
    """Learns from the `losses` of its network, which draws images again."""

    needs: ClassVar[tuple[str, ...]] = ("maps", "reconstruct", "losses")

    def training_values(self, batch: ImageBatch) -> dict[str, Tensor]:
        return self.network.losses(batch.input)  # type: ignore[operator]


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
