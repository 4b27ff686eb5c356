"""The run logger under a real Lightning training."""

from pathlib import Path

import pytest
import pytorch_lightning
import torch
from torch.utils.data import DataLoader

from workbench.run.metrics_file import read_metrics
from workbench.train.step_log import RunLogger, StepOrEpoch

STEPS, EPOCHS = 5, 3
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*`isinstance\\(treespec, LeafSpec\\)` is deprecated"),
]


class Line(pytorch_lightning.LightningModule):
    """Logs the step's number at each step, the epoch's at each end of an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
        assert isinstance(self.logger, RunLogger)
        self.logger.log_steps({"train/step": self.global_step}, self.current_epoch, self.global_step)
        self.log("train/mine", float(index))
        self.log("train/both", float(index), on_step=True, on_epoch=True, batch_size=len(batch))
        return self.layer(batch).mean()

    def on_train_epoch_end(self) -> None:
        self.log("train/epoch", float(self.current_epoch))

    def validation_step(self, batch: torch.Tensor, index: int) -> None:
        self.log("val/mean", float(batch.mean()), batch_size=len(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_what_lightning_logs_lies_on_its_axis(folder: Path) -> None:
    data = torch.arange(STEPS * 2, dtype=torch.float32).reshape(-1, 1)
    logger = RunLogger(folder)
    trainer = pytorch_lightning.Trainer(
        max_epochs=EPOCHS,
        logger=logger,
        callbacks=[StepOrEpoch(logger)],
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    trainer.fit(Line(), DataLoader(data, batch_size=2), DataLoader(data, batch_size=4))
    found: dict[str, list[tuple[str, int, float]]] = {}
    for row in read_metrics(folder):
        found.setdefault(row.name, []).append((row.axis, row.x, row.value))
    assert found == {
        "train/step": [("step", step, float(step)) for step in range(STEPS * EPOCHS)],
        "train/mine": [("step", step, float(step % STEPS)) for step in range(STEPS * EPOCHS)],
        "train/both_step": [("step", step, float(step % STEPS)) for step in range(STEPS * EPOCHS)],
        "train/both_epoch": [("epoch", epoch, 2.0) for epoch in range(EPOCHS)],
        "train/epoch": [("epoch", epoch, float(epoch)) for epoch in range(EPOCHS)],
        "val/mean": [("epoch", epoch, 4.5) for epoch in range(EPOCHS)],
    }
    assert trainer.log_dir == str(folder)


def test_validations_within_an_epoch_lie_on_the_step_axis(folder: Path) -> None:
    data = torch.arange(STEPS * 2, dtype=torch.float32).reshape(-1, 1)
    logger = RunLogger(folder)
    trainer = pytorch_lightning.Trainer(
        max_epochs=2,
        logger=logger,
        callbacks=[StepOrEpoch(logger)],
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        val_check_interval=2,
        log_every_n_steps=1,
    )
    trainer.fit(Line(), DataLoader(data, batch_size=2), DataLoader(data, batch_size=4))
    rows = [row for row in read_metrics(folder) if row.name.startswith("val/")]
    assert [(row.name, row.axis, row.x) for row in rows] == [
        ("val/mean_step", "step", 1),
        ("val/mean_step", "step", 3),
        ("val/mean", "epoch", 0),
        ("val/mean_step", "step", 6),
        ("val/mean_step", "step", 8),
        ("val/mean", "epoch", 1),
    ]
