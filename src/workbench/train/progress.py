"""One progress bar for a whole training, with the newest values; redrawn a few times a second at most."""

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar
from tqdm import tqdm

REDRAWN_EVERY = 5  # steps; asking for the step each time would cost a tiny network a tenth of its speed


class TrainingBar(ProgressBar):
    """Counts training steps over all epochs and shows the newest validation metrics beside them."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: tqdm[Any] | None = None
        self._is_disabled = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._is_disabled:
            return
        steps = trainer.estimated_stepping_batches
        total = int(steps) if steps != float("inf") else None
        self._bar = tqdm(
            total=total, initial=steps_done(trainer), unit="step", dynamic_ncols=True, mininterval=0.2
        )

    def disable(self) -> None:
        """Show nothing; Lightning asks for it where another rank shows the bar."""
        self._is_disabled = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % REDRAWN_EVERY == 0:
            self._advance(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._bar is None:
            return
        self._advance(trainer)
        shown = {
            name: f"{value:.4g}"
            for name, value in trainer.callback_metrics.items()
            if name.startswith("val/")
        }
        self._bar.set_description(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", refresh=False)
        self._bar.set_postfix(shown, refresh=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._advance(trainer)
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _advance(self, trainer: Trainer) -> None:
        if self._bar is not None:
            self._bar.update(steps_done(trainer) - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def steps_done(trainer: Trainer) -> int:
    """Return the training steps since the run's start, however many optimizers took each (or none)."""
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)
