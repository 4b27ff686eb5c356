"""What a run needs of every task, and a researcher need not read: Lightning's hooks, seeds, step log."""

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from workbench.common.errors import ConfigError, DataError, NonFiniteLoss, UserError
from workbench.common.private_parts import start_loader_anew
from workbench.config.optimizers import make_optimizer, make_schedule
from workbench.distributed.gathering import mean_over_ranks
from workbench.run.checkpoints import fill
from workbench.run.folder import is_run_folder
from workbench.run.metrics_file import goal_of
from workbench.run.provenance import record_data
from workbench.train.loading import EpochSampler, SetData
from workbench.train.resume import go_on, options_of
from workbench.train.step_log import BadStep, RunLogger, StepLog

ADVICE = "Try a lower hparams.learning_rate or hparams.gradient_clip"
SHOWN = 8  # examples that a message names


class RunTask(LightningModule):
    """Learns from `data` with a network that `network` makes; the type that a run, and a loaded model, has.

    `settings` are the hyper-parameters of the root, `optimizers` and `schedules` the tables of those names.
    `monitor` and `monitor_mode` (min or max; by default as the monitor's name says) choose the best epoch in
    place of the class's own.
    """

    monitor = "val/loss"
    monitor_mode = "min"

    def __init__(
        self,
        data: SetData,
        network: Callable[..., nn.Module],
        settings: Mapping[str, Any],
        optimizers: Mapping[str, Any],
        seed: int,
        schedules: Mapping[str, Any] | None = None,
        monitor: str | None = None,
        monitor_mode: Literal["min", "max"] | None = None,
    ) -> None:
        super().__init__()
        self.data = data
        self.make_network = network
        self.settings = settings
        self.optimizer_table, self.schedule_table = optimizers, schedules or {}
        self.seed = seed
        self.monitor, self.monitor_mode = goal_of(self, monitor, monitor_mode)
        self.initial_weights: Mapping[str, Tensor] | None = None
        self.network: nn.Module
        self._is_prepared = False
        self.has_schedules = True  # not while a checkpoint is tried, before there is a trainer
        self.step_log = StepLog()

    def goal(self) -> tuple[str, str, str]:
        """Return what chooses the weights to test and use: the metric, min or max, and `hparams.keep`."""
        return self.monitor, self.monitor_mode, self.settings.get("keep", "best")

    # What a task says

    def fetch_data(self) -> None:
        """Look up or download the data."""
        raise NotImplementedError

    def preprocessing_train(self) -> None:
        """Read the data and split them."""
        raise NotImplementedError

    def run(self, trainer: Trainer, resume_from: Path | None = None) -> dict[str, float]:
        """Train, then test; return the metrics."""
        raise NotImplementedError

    def check_trainer(self, trainer: Trainer) -> None:
        """Raise ConfigError for a trainer that this task cannot obey; nothing has been written yet."""

    def read_pretrained(self, kept: Mapping[str, Any] | None) -> None:
        """Read weights that the network begins with, before anything is written.

        `kept` are the network's arguments in the checkpoint whose weights it gets in their place, if any.
        """

    def network_arguments(self) -> dict[str, Any]:
        """Return what the maker of the network is given; the data are set up by then."""
        raise NotImplementedError

    def training_values(self, batch: Any) -> dict[str, Tensor]:
        """Return the loss (first, with its gradient) and what else is logged of a training step, by name."""
        raise NotImplementedError

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the groups that torch's optimizers take: `params`, and a learning rate `lr` of their own."""
        return [{"params": list(self.parameters())}]

    def describe_broken(self, split: str) -> dict[int, str]:
        """Say of each example of a split that holds NaN or infinite numbers where they are, by its row."""
        return {}

    def remember(self, folder: Path) -> None:
        """Take from a run's folder what judging other data needs beside its weights."""

    def report(self, folder: Path) -> None:
        """Write what a test leaves to look at into a folder."""

    def deployable(self) -> tuple[nn.Module, dict[str, Any]] | None:
        """Return a module from images `[B, H, W, 3]` uint8 to named tensors, and what it takes and answers.

        None where the data are no images. The description holds plain values (see portable/model.py).
        """
        return None

    # Lightning's hooks

    def __deepcopy__(self, memo: dict[int, Any]) -> "RunTask":
        """Copy the network, for averages of weights, and share the data."""
        memo[id(self.data)] = self.data
        memo[id(self)] = twin = type(self).__new__(type(self))
        twin.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return twin

    def prepare_data(self) -> None:
        self.fetch_data()

    def setup(self, stage: str) -> None:
        if not self._is_prepared:  # Lightning asks before training and again before testing
            self.preprocessing_train()
            self._is_prepared = True

    def configure_model(self) -> None:
        if hasattr(self, "network"):
            return
        torch.manual_seed(self.seed)
        self.network = self.make_network(**self.network_arguments())
        if self.initial_weights is not None:
            fill(self.network, self.initial_weights)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["network_arguments"] = self.network_arguments()  # so that it is rebuilt without the data
        checkpoint["optimizers"] = [type(optimizer).__name__ for optimizer in self.trainer.optimizers]
        if (bad := self.step_log.read()[1]) is not None:
            raise self._bad_step(bad)
        checkpoint["step_log"] = self.step_log.state_dict()

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.parameter_groups())
        schedule = self.make_schedule(optimizer)
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def make_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Make the run's optimizer for groups of parameters."""
        return make_optimizer(groups, self.settings, self.optimizer_table)

    def make_schedule(self, optimizer: torch.optim.Optimizer) -> Any:
        """Make the run's learning-rate schedule over all its steps; None where it has none."""
        if not self.has_schedules:
            return None
        steps = self.trainer.estimated_stepping_batches  # infinite where the run has no end of its own
        return make_schedule(optimizer, steps, self.settings, self.schedule_table)

    def on_fit_start(self) -> None:
        folder = Path(self.trainer.default_root_dir)
        if self.trainer.is_global_zero and is_run_folder(folder):
            record_data(folder, self.data.fingerprint())
        self._asked = options_of(self.trainer)  # Lightning restores the checkpoint's after this

    def train_dataloader(self) -> Any:
        loader = self._divided(self.data.train_dataloader())
        loader.generator = torch.Generator().manual_seed(self.seed)  # else each start draws from torch's own
        return loader

    def val_dataloader(self) -> Any:
        loader = self.data.val_dataloader()
        if loader == []:
            self.do_without_validation()
        return self._divided(loader)

    def do_without_validation(self) -> None:
        """Raise ConfigError for what asks for a validation split, which these data do not have."""
        lack = "these data have no validation split"
        if self.settings.get("early_stopping_patience") is not None:
            raise ConfigError(f"hparams.early_stopping_patience: null is wanted: {lack}")
        if self.goal()[2] == "best":
            raise ConfigError(f"hparams.keep: {lack} to choose the best epoch; write hparams.keep=last")

    def test_dataloader(self) -> Any:
        return self._divided(self.data.test_dataloader())

    def _divided(self, loader: Any) -> Any:
        """Let a loader of `loading.py` give this rank's share; Lightning divides any other."""
        if isinstance(getattr(loader, "sampler", None), EpochSampler):
            loader.sampler.divide(self.global_rank, self.trainer.world_size)
        return loader

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        if self.trainer.training:
            self._seed(self.trainer.fit_loop.batch_idx + 1)
        return self.data.make_batch(batch, training=self.trainer.training)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let the patience that is asked for now stand: Lightning's callback would take the checkpoint's."""
        if "step_log" in checkpoint:  # not in version 0.1
            self.step_log.load_state_dict(checkpoint["step_log"])
        for callback in self.trainer.early_stopping_callbacks:
            checkpoint["callbacks"].get(callback.state_key, {})["patience"] = callback.patience

    def on_train_start(self) -> None:
        """Obey what is asked for now; start the loader anew: Lightning did before it knew the epoch."""
        if self.trainer.fit_loop.total_batch_idx >= 0:  # of a resumed run
            go_on(self.trainer, self._asked)
            loader: Any = self.trainer.train_dataloader
            if hasattr(loader.sampler, "set_epoch"):
                loader.sampler.set_epoch(self.current_epoch)
            start_loader_anew(self.trainer)

    def _seed(self, batch: int) -> None:
        """Let rank, epoch and batch alone decide what is drawn, so that a resumed run draws the same."""
        if hasattr(self.data, "epoch"):
            self.data.epoch = self.current_epoch
        parts = (self.seed, self.global_rank, self.current_epoch, batch)
        seed = int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])
        torch.default_generator.manual_seed(seed)  # torch.manual_seed takes 0.2 ms to look for other devices
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def training_step(self, batch: Any, batch_index: int) -> Tensor | None:
        values = self.training_values(batch)
        self.note_step(self.global_step, batch_index, batch, values)
        return next(iter(values.values()))

    # The log of steps

    def note_step(self, step: int, batch_index: int, batch: Any, values: Mapping[str, Tensor]) -> None:
        """Keep the values of a training step, the loss first, and log them where it is time to."""
        self.step_log.add(step, batch_index, {name: v.detach() for name, v in values.items()}, batch.index)
        if self._is_logged(step, batch_index):
            self._log_step(step)

    def on_train_epoch_end(self) -> None:
        for name, mean in self.step_log.means().items():
            self.log(f"train/{name}_epoch", mean, batch_size=1, sync_dist=True)

    def _is_logged(self, step: int, batch_index: int) -> bool:
        trainer = self.trainer
        interval: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by Trainer's own connector
        is_whole = (batch_index + 1) % trainer.accumulate_grad_batches == 0  # not a part of a step
        is_last = batch_index + 1 == trainer.num_training_batches
        return (is_whole and (step + 1) % interval == 0) or is_last

    def _log_step(self, step: int) -> None:
        values, bad = self.step_log.read()
        if bad is not None:
            raise self._bad_step(bad)
        values = {f"train/{name}": value for name, value in mean_over_ranks(values, self.device).items()}
        values["learning_rate"] = self.trainer.optimizers[0].param_groups[0]["lr"]
        for logger in self.trainer.loggers:
            if isinstance(logger, RunLogger):
                logger.log_steps(values, epoch=self.current_epoch, step=step)

    def _bad_step(self, bad: BadStep) -> UserError:
        line = (
            f"the loss became {bad.loss} at step {bad.step} (epoch {self.current_epoch}, batch {bad.batch}, "
            f"training examples {_listed(bad.examples, ', ')})"
        )
        return self._not_finite(line, "train", bad.examples)

    def refuse_loss(self, split: str, loss: float, rows: Sequence[int] = ()) -> None:
        """Raise for the loss of a whole split that is not finite; `rows` are the examples that may be why.

        DataError where these hold NaN or infinite numbers, else NonFiniteLoss.
        """
        line = f"the {split} loss became {loss} after step {self.global_step} (epoch {self.current_epoch})"
        raise self._not_finite(line, split, rows)

    def _not_finite(self, line: str, split: str, rows: Sequence[int]) -> UserError:
        broken = self.describe_broken(split) if rows else {}
        if not broken.keys().isdisjoint(rows):
            return DataError(
                f"{line}, because the data hold numbers that are not finite: "
                f"{_listed(list(broken.values()), '; ')}. Correct these examples, or leave them out"
            )
        return NonFiniteLoss(f"{line}; {self._last_good_checkpoint()}. {ADVICE}")

    def _last_good_checkpoint(self) -> str:
        last = Path(self.trainer.default_root_dir) / "checkpoints" / "last.ckpt"
        return f"last good checkpoint: {last}" if last.is_file() else "there is no checkpoint yet"


def _listed(items: Sequence[Any], between: str) -> str:
    more = [f"and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
    return between.join([*map(str, items[:SHOWN]), *more])
