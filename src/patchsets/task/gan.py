"""Learn to draw good images again against an adversary: two networks, two optimizers, by turns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from pytorch_lightning import Trainer
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn

from patchsets.data.batch import ImageBatch
from patchsets.task.anomaly import AnomalyTask
from workbench.common.errors import ConfigError
from workbench.common.private_parts import find_unused_parameters


class Adversarial(AnomalyTask):
    """In each step the discriminator learns first, then the generator.

    Held-out good images are judged without the adversary: by the error of image and code.
    """

    needs: ClassVar[tuple[str, ...]] = ("maps", "generator_losses", "discriminator_loss")

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if self.learning_rates:
            raise ConfigError("task.learning_rates: its two networks learn at one rate; leave them out")
        self.automatic_optimization = False

    def run(self, trainer: Trainer, resume_from: Path | None = None) -> dict[str, float]:
        if isinstance(trainer.strategy, DDPStrategy):  # each half of a step leaves one network out
            find_unused_parameters(trainer.strategy)
        return super().run(trainer, resume_from)

    def configure_optimizers(self) -> Any:
        network: Any = self.network
        generator = nn.ModuleList([network.generator, network.second_encoder])
        parts = (generator, network.discriminator)
        optimizers = [self.make_optimizer([{"params": list(part.parameters())}]) for part in parts]
        schedules = [self.make_schedule(optimizer) for optimizer in optimizers]
        return optimizers, [schedule for schedule in schedules if schedule is not None]

    def training_step(self, batch: ImageBatch, batch_index: int) -> None:
        network: Any = self.network
        optimizers: Any = self.optimizers()
        generator, discriminator = optimizers
        step = self.global_step // 2  # Lightning counts the steps of both
        learned = self._descend(
            discriminator, lambda: {"discriminator": network.discriminator_loss(batch.input)}
        )
        values = self._descend(generator, lambda: self.training_values(batch))
        schedules: Any = self.lr_schedulers() or []
        for schedule in schedules:
            schedule.step()
        self.note_step(step, batch_index, batch, values | learned)

    def training_values(self, batch: ImageBatch) -> dict[str, Tensor]:
        return self.network.generator_losses(batch.input)  # type: ignore[operator]

    def _descend(self, optimizer: Any, losses: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Let one of the two learn from the first of its losses while the other holds still."""
        self.toggle_optimizer(optimizer)
        values = losses()
        optimizer.zero_grad()
        self.manual_backward(next(iter(values.values())))
        self.clip_gradients(optimizer, self.settings["gradient_clip"], "norm")
        optimizer.step()
        self.untoggle_optimizer(optimizer)
        return values

    def validation_values(self, batch: ImageBatch) -> dict[str, Tensor]:
        network: Any = self.network
        values = self.training_values(batch)
        without = network.contextual * values["contextual"] + network.encoding * values["encoding"]
        return {**values, "loss": without}
