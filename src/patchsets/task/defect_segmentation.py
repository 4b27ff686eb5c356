"""Learn to find defects that are painted on good images: what is found in a new one is an anomaly."""

from typing import ClassVar

import torch
from torch import Tensor

from patchsets.anomaly.synthetic_defects import paint_defects
from patchsets.data.batch import ImageBatch
from patchsets.task.anomaly import AnomalyTask


class DefectSegmentation(AnomalyTask):
    """Learns where the synthetic defects of each training step were painted.

    Its validation loss is that of the same defects in every epoch, painted on held-out good images.
    """

    needs: ClassVar[tuple[str, ...]] = ("maps", "defect_loss")

    def training_values(self, batch: ImageBatch) -> dict[str, Tensor]:
        return {"loss": self.network.defect_loss(*paint_defects(batch.input))}  # type: ignore[operator]

    def validation_values(self, batch: ImageBatch) -> dict[str, Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(int(batch.index[0]))
            return self.training_values(batch)
