"""A callback that breaks one rank in the middle of its training."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class BreaksInRankOne(Callback):
    """Raises in rank 1 after a few steps."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.global_rank == 1 and trainer.global_step == 12:
            raise ZeroDivisionError("planted")
