"""A network of 32-64-1 on random vectors: so small that a training's own cost shows."""

from typing import Any

import pytorch_lightning as lightning
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from patchsets.data.batch import Batch
from patchsets.set_module import Sets
from patchsets.task.classification import Regression
from workbench.train.loading import BatchedRows, loader

BATCH = 32
STEPS = 2000
FEATURES = 32


class OnValues(nn.Sequential):
    """The network, on sets of one element each."""

    def forward(self, sets: Sets) -> Tensor:
        return super().forward(sets.values)


def network() -> OnValues:
    """Make the network."""
    return OnValues(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, 1))


class TinySets(lightning.LightningDataModule):
    """As many batches of 32 random vectors as there are steps."""

    num_features = FEATURES
    classes: list[str] = []  # noqa: RUF012
    steps = STEPS

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.values = torch.randn(BATCH * STEPS, FEATURES, generator=generator)
        self.label = self.values.sum(dim=1)
        self.lengths = torch.ones(BATCH, dtype=torch.int64)

    def setup(self, stage: str | None = None) -> None:
        """Do nothing: the vectors are there."""

    def train_dataloader(self) -> DataLoader[Any]:
        rows = BatchedRows(len(self.label), lambda rows: (self.values[rows], self.label[rows], rows))
        return loader(rows, BATCH, 0, None)

    def val_dataloader(self) -> list[Any]:
        return []

    def make_batch(self, raw: Any, training: bool) -> Batch:
        values, label, rows = raw
        return Batch(Sets(values, self.lengths), label, rows)

    def fingerprint(self) -> dict[str, Any]:
        return {}


class Tiny(Regression):
    """The network as a task of the workspace."""

    monitor = "train/loss_epoch"

    def __init__(self, data: TinySets) -> None:
        settings = {"optimizer": "SGD", "learning_rate": 1e-3, "weight_decay": 0.0, "schedule": None}
        super().__init__(data, lambda **_: network(), settings, {}, seed=0)


class TinyAlone(lightning.LightningModule):
    """The network with nothing but Lightning around it: no logger, no value logged, no checkpoint."""

    def __init__(self, data: TinySets) -> None:
        super().__init__()
        self.data, self.network = data, network()

    def training_step(self, raw: Any, batch_index: int) -> Tensor:
        batch = self.data.make_batch(raw, training=True)
        return F.l1_loss(self.network(batch.sets).squeeze(1), batch.label)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=1e-3)

    def train_dataloader(self) -> DataLoader[Any]:
        return self.data.train_dataloader()
