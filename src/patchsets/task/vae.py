"""Learn to draw good images again from codes that can be drawn at random too."""

from pathlib import Path
from typing import ClassVar

import torch

from patchsets.anomaly.judging import as_pictures
from patchsets.task.autoencoder import Reconstruction

SAMPLES = 32


class Variational(Reconstruction):
    """Learns like an autoencoder; leaves samples.png, images that were never there."""

    needs: ClassVar[tuple[str, ...]] = (*Reconstruction.needs, "sample")

    def report(self, folder: Path) -> None:
        from patchsets.atomic import appearing_whole
        from patchsets.figures.samples import image_grid

        super().report(folder)
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(self.seed)
            images = as_pictures(self.network.eval().sample(SAMPLES).cpu().numpy())  # type: ignore[operator]
        figure = image_grid(images, "Samples", "Images drawn from random codes, none of a real one.")
        (folder / "figures").mkdir(exist_ok=True)
        with appearing_whole(folder / "figures" / "samples.png") as path:
            figure.savefig(path, format="png")
