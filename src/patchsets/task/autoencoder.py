"""Learn to draw good images again: what is drawn badly is an anomaly."""

from typing import ClassVar

from torch import Tensor

from patchsets.data.batch import ImageBatch
from patchsets.task.anomaly import AnomalyTask


class Reconstruction(AnomalyTask):
    """Learns from the `losses` of its network, which draws images again."""

    needs: ClassVar[tuple[str, ...]] = ("maps", "reconstruct", "losses")

    def training_values(self, batch: ImageBatch) -> dict[str, Tensor]:  # type: ignore[override]
        return self.network.losses(batch.input)  # type: ignore[operator]
