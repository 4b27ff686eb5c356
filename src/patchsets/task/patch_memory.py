"""Remember the patches of good images: one pass over them, and no training."""

import logging
import math
from typing import Any, ClassVar

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor, nn

from patchsets.data.batch import ImageBatch
from patchsets.task.anomaly import AnomalyTask
from workbench.common.errors import ConfigError

log = logging.getLogger(__name__)


class Remembering(AnomalyTask):
    """Shows its network all good images once; the network's `fit` turns what it was shown into its memory.

    There is no optimizer and one epoch, whatever `hparams.max_epochs` says: a second would show the same. A
    run that was stopped before its end begins anew; one stopped later has its memory in the checkpoint.
    """

    needs: ClassVar[tuple[str, ...]] = ("maps", "expect", "add", "fit")

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if self.learning_rates:
            raise ConfigError("task.learning_rates: a memory has no learning rate; leave them out")
        self.automatic_optimization = False

    def check_trainer(self, trainer: Trainer) -> None:
        if trainer.world_size > 1:
            raise ConfigError("trainer.devices: a memory is filled on one device; take trainer.devices=1")
        trainer.gradient_clip_val = None  # there is no gradient, and Lightning would refuse to clip none
        for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set by Trainer's own connector
            if isinstance(callback, WeightAveraging):
                raise ConfigError("trainer.callbacks: a memory has no weights to average")

    def configure_optimizers(self) -> list[Any]:
        return []

    def on_fit_start(self) -> None:
        super().on_fit_start()
        if self.trainer.ckpt_path is None:  # a checkpoint has the memory
            log.info("memory: %s", self._memory().expect(self._good_images()))

    def on_train_start(self) -> None:
        super().on_train_start()
        if self.current_epoch > 0:
            self.trainer.should_stop = True

    def training_step(self, batch: ImageBatch, batch_index: int) -> None:
        with torch.autocast(batch.input.device.type, enabled=False):
            self._memory().add(batch.input)
            if (
                batch_index + 1 == self.trainer.num_training_batches
            ):  # validation comes before the epoch's end
                self._memory().fit()

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.trainer.should_stop = True

    def validation_values(self, batch: ImageBatch) -> dict[str, Tensor]:
        """Return how far held-out good images are from the memory, as the mean over their pixels."""
        return {"loss": self._memory().maps(batch.input)["own"].mean()}

    @torch.no_grad()
    def untrained(self) -> nn.Module:
        """Return the same network, shown as many images of noise: what it scores is not due to good ones."""
        network: Any = super().untrained()
        images, batch_size = self._good_images(), self.settings["batch_size"]
        network.expect(images)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            for _ in range(math.ceil(images / batch_size)):
                network.add(torch.rand(batch_size, *self.data.image_shape, device=self.device))
            network.fit()
        return network

    def _memory(self) -> Any:
        return self.network

    def _good_images(self) -> int:
        loader: Any = self.data.train_dataloader()
        return len(loader.dataset)
