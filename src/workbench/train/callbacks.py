"""The two checkpoints of a run: `last.ckpt` to resume from, `best.ckpt` to test and to use.

One progress bar for a whole training, with the newest values; redrawn a few times a second at most.
"""

import math
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    ProgressBar,
    StochasticWeightAveraging,
    WeightAveraging,
)
from tqdm import tqdm

from workbench.common.errors import ConfigError
from workbench.common.files import give_second_name
from workbench.common.private_parts import batches_that_stepped
from workbench.run.folder import point_latest_at


class NetworkFirst(Callback):
    """Makes the network before the other callbacks look at it in their `setup`, to copy or freeze its parts.

    Stands first among them. It also lets averaged weights be tested: as Lightning loads a checkpoint,
    WeightAveraging would put those of the last step in their place.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            trainer.callbacks = [  # type: ignore[attr-defined]  # set by Trainer's own connector
                callback
                for callback in trainer.callbacks  # type: ignore[attr-defined]
                if not isinstance(callback, WeightAveraging)
            ]
            return
        pl_module.setup(stage)
        with (  # as Lightning does, a little later
            trainer.strategy.tensor_init_context(),
            trainer.strategy.model_sharded_context(),
            trainer.precision_plugin.module_init_context(),
        ):
            pl_module.configure_model()


class BestAndLast(Checkpoint):
    """Saves once an epoch; where the epoch is the best so far, the same file gets a second name.

    With a `keep` of last every epoch counts as the best so far.
    """

    def __init__(self, folder: Path, monitor: str, mode: str, keep: str = "best") -> None:
        self.folder = folder
        self.monitor = monitor
        self.keep = keep
        self.sign = 1 if mode == "max" else -1
        self.best_score = -math.inf
        self.last_is_best = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        is_kept = self.keep == "last" and trainer.ckpt_path is not None
        if self.last_is_best or is_kept:  # of a resumed run, which may have been killed between the two files
            self._make_last_the_best(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.keep == "best":
            require_logged(trainer, self.monitor)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metric = trainer.callback_metrics.get(self.monitor)
        score = -math.inf if metric is None else self.sign * float(metric)
        is_best = score > self.best_score  # never where it is not a number
        if is_best:
            self.best_score = score
        self.last_is_best = is_best or self.keep == "last"
        self._save(trainer, "last.ckpt")
        if self.last_is_best:
            self._make_last_the_best(trainer)
        trainer.strategy.barrier()  # the other ranks may read the files at once

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the average that stochastic weight averaging has put into the network be what is tested."""
        for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set by Trainer's own connector
            if isinstance(callback, StochasticWeightAveraging) and trainer.current_epoch > callback.swa_end:
                self._save(trainer, "best.ckpt")

    def _save(self, trainer: Trainer, name: str) -> None:
        """Replace the file: written over, it would change the best epoch's too, which may be its second name.

        Lightning does write over it where the run is not on the file system of temporary files.
        """
        path = self.folder / name
        new = path.with_name(f".{name}.new")
        try:
            trainer.save_checkpoint(new)
        except BaseException:
            new.unlink(missing_ok=True)  # a part of it may have filled the disk
            raise
        if trainer.is_global_zero:
            new.replace(path)
            point_latest_at(self.folder.parent)

    def _make_last_the_best(self, trainer: Trainer) -> None:
        if trainer.is_global_zero:
            give_second_name(self.folder / "last.ckpt", self.folder / "best.ckpt")

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know to go on comparing."""
        return {"best_score": self.best_score, "last_is_best": self.last_is_best, **dict(self._goal())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the run was left; another metric than before has seen no epoch yet."""
        if all(state_dict.get(name, own) == own for name, own in self._goal()):
            self.best_score = state_dict["best_score"]
            self.last_is_best = state_dict["last_is_best"]

    def _goal(self) -> list[tuple[str, Any]]:
        return [("monitor", self.monitor), ("sign", self.sign), ("keep", self.keep)]


def require_logged(trainer: Trainer, monitor: str) -> None:
    """Raise ConfigError for a metric to choose by that no validation logs."""
    logged = trainer.callback_metrics
    if monitor in logged or monitor.startswith("train") or trainer.sanity_checking:
        return
    there = ", ".join(sorted(name for name in logged if name.startswith("val/"))) or "no metric"
    raise ConfigError(f"task.monitor: validation logged no {monitor}; it logged {there}")


class StopsEarly(EarlyStopping):
    """Stops as an uninterrupted run would: at once where the resumed one had run out of patience already."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        require_logged(trainer, self.monitor)
        super().on_validation_end(trainer, pl_module)


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
            total=total,
            initial=batches_that_stepped(trainer),
            unit="step",
            dynamic_ncols=True,
            mininterval=0.2,
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
            if name.startswith("val/") and name.count("/") == 1
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
            self._bar.update(batches_that_stepped(trainer) - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
