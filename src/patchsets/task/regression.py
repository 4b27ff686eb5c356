"""Regress one number from a set: mean absolute error."""

import torch.nn.functional as F
from torch import Tensor

from patchsets.data.batch import Batch
from patchsets.task.task import Task


class Regression(Task):
    """Learns a number per set from the output `[B, 1]` of its network."""

    def num_outputs(self) -> int:
        return 1

    def training_values(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss": F.l1_loss(self.network(batch.input).squeeze(1), batch.label)}

    def judge(self, output_N1: Tensor, label_N: Tensor) -> dict[str, float]:
        error_N = output_N1.squeeze(1) - label_N
        return {
            "loss": error_N.abs().mean().item(),
            "root_mean_squared_error": error_N.square().mean().sqrt().item(),
        }
