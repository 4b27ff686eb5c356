"""What every task shares: three stages, the optimizer, the log of steps, a halt where the loss breaks."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from patchsets.checkpoints import fill
from patchsets.data.batch import Batch
from patchsets.data.loading import EpochSampler
from patchsets.data.set_data import SetData
from patchsets.data_record import record_data
from patchsets.distributed.gathering import gather_rows, mean_over_ranks
from patchsets.errors import NonFiniteLoss
from patchsets.optimizers import make_optimizer, make_schedule
from patchsets.run import is_run_folder
from patchsets.task.examination import Judged
from patchsets.task.report import write_report
from patchsets.task.step_log import BadStep, StepLog
from patchsets.tracking.run_logger import RunLogger

SEED_STRIDE = 1_000_003  # keeps the streams of two seeds apart for as many epochs

ADVICE = "Try a lower hparams.learning_rate or hparams.gradient_clip"


class Task(LightningModule):
    """Learns from `data` with a network; a subclass says what the loss is and how the network is judged.

    Its three stages may be replaced by a subclass: `fetch_data` (once per machine), `preprocessing_train`
    (once per process), `run`. `network` makes the network, given `in_features` and `out_features`.
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
    ) -> None:
        super().__init__()
        self.data = data
        self.make_network = network
        self.settings = settings
        self.optimizer_table = optimizers
        self.seed = seed
        self.initial_weights: Mapping[str, Tensor] | None = None
        self.network: nn.Module
        self._is_prepared = False
        self.step_log = StepLog()
        self._judged: list[tuple[Tensor, Tensor, Tensor]] = []
        self.tested: Judged | None = None

    # The three stages

    def fetch_data(self) -> None:
        """Look up or download the data."""
        self.data.prepare_data()

    def preprocessing_train(self) -> None:
        """Read the data and split them."""
        self.data.setup()

    def run(self, trainer: Trainer, resume_from: Path | None = None) -> dict[str, float]:
        """Train, then test the best checkpoint; return its metrics."""
        trainer.fit(self, ckpt_path=resume_from, weights_only=True)
        folder = Path(trainer.default_root_dir)
        best = folder / "checkpoints" / "best.ckpt"
        weights = best if best.is_file() else None
        metrics = trainer.test(self, ckpt_path=weights, verbose=False, weights_only=True)[0]
        is_kept = not trainer.fast_dev_run  # type: ignore[attr-defined]  # set by Trainer's own connector
        if is_kept and trainer.is_global_zero:
            self.report(folder)
        return dict(metrics)

    # What a subclass says

    def network_arguments(self) -> dict[str, Any]:
        """Return what the maker of the network is given; the data are set up by then."""
        return {"in_features": self.data.num_features, "out_features": self.num_outputs()}

    def num_outputs(self) -> int:
        """Return how many numbers the network gives for a set."""
        raise NotImplementedError

    def training_values(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss (first, with its gradient) and what else is logged of a training step, by name."""
        raise NotImplementedError

    def judge(self, output: Tensor, label: Tensor) -> dict[str, float]:
        """Return the metrics of a whole split, `loss` among them."""
        raise NotImplementedError

    def reference(self, tested: Judged) -> dict[str, float]:
        """Return what is known of the test split without the network, by name."""
        return {}

    def report(self, folder: Path) -> None:
        """Write predictions and figures of the tested network into its run folder."""
        write_report(self, folder)

    def deployable(self) -> tuple[nn.Module, dict[str, Any]] | None:
        """Return a module from images `[B, H, W, 3]` uint8 to named tensors, and what it takes and answers.

        None where the data are no images. The description holds plain values (see portable/model.py).
        """
        return None

    # Lightning's hooks

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

    def configure_optimizers(self) -> Any:
        settings = self.settings
        optimizer = make_optimizer(
            self.parameters(),
            settings["optimizer"],
            settings["learning_rate"],
            settings["weight_decay"],
            self.optimizer_table,
        )
        if settings["schedule"] is None:
            return optimizer
        schedule = make_schedule(
            settings["schedule"], optimizer, int(self.trainer.estimated_stepping_batches)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_fit_start(self) -> None:
        folder = Path(self.trainer.default_root_dir)
        if self.trainer.is_global_zero and is_run_folder(folder):
            record_data(folder, self.data.fingerprint())

    def train_dataloader(self) -> Any:
        loader = self._divided(self.data.train_dataloader())
        loader.generator = torch.Generator().manual_seed(self.seed)  # else each start draws from torch's own
        return loader

    def val_dataloader(self) -> Any:
        return self._divided(self.data.val_dataloader())

    def test_dataloader(self) -> Any:
        return self._divided(self.data.test_dataloader())

    def _divided(self, loader: Any) -> Any:
        """Let a loader of `data/loading.py` give this rank's share; Lightning divides any other."""
        if isinstance(getattr(loader, "sampler", None), EpochSampler):
            loader.sampler.divide(self.global_rank, self.trainer.world_size)
        return loader

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Batch:
        return self.data.make_batch(batch, training=self.trainer.training)

    def on_train_start(self) -> None:
        """Start the loader of a resumed epoch anew: Lightning did before it knew which epoch that is."""
        self._seed(self.current_epoch)
        if self.current_epoch > 0:
            loop: Any = self.trainer.fit_loop
            loader: Any = self.trainer.train_dataloader
            if hasattr(loader.sampler, "set_epoch"):
                loader.sampler.set_epoch(self.current_epoch)
            iter(loop._data_fetcher)

    def on_train_epoch_start(self) -> None:
        self._seed(self.current_epoch)

    def _seed(self, epoch: int) -> None:
        """Let randomness depend on rank and epoch alone: a resumed run draws what an unbroken one draws."""
        torch.manual_seed((self.global_rank * SEED_STRIDE + self.seed) * SEED_STRIDE + epoch)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        values = self.training_values(batch)
        self.note_step(self.global_step, batch_index, batch, values)
        return next(iter(values.values()))

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
        return (step + 1) % interval == 0 or batch_index + 1 == trainer.num_training_batches

    def _log_step(self, step: int) -> None:
        values, bad = self.step_log.read()
        if bad is not None:
            raise NonFiniteLoss(self._describe(bad))
        values = {f"train/{name}": value for name, value in mean_over_ranks(values, self.device).items()}
        values["learning_rate"] = self.trainer.optimizers[0].param_groups[0]["lr"]
        for logger in self.trainer.loggers:
            if isinstance(logger, RunLogger):
                logger.log_steps(values, epoch=self.current_epoch, step=step)

    def _describe(self, bad: BadStep) -> str:
        shown = ", ".join(map(str, bad.examples[:8])) + (", ..." if len(bad.examples) > 8 else "")
        return (
            f"the loss became {bad.loss} at step {bad.step} (epoch {self.current_epoch}, batch {bad.batch}, "
            f"training examples {shown}); {self._last_good_checkpoint()}. {ADVICE}"
        )

    def _last_good_checkpoint(self) -> str:
        last = Path(self.trainer.default_root_dir) / "checkpoints" / "last.ckpt"
        return f"last good checkpoint: {last}" if last.is_file() else "there is no checkpoint yet"

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self._judged.append((self.network(batch.input).float(), batch.label, batch.index))

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        self._log_judgement("val")

    def on_test_epoch_end(self) -> None:
        self._log_judgement("test")

    def _log_judgement(self, split: str) -> None:
        """Judge all sets of a split at once: exact, whatever the sizes of the batches."""
        output, label, index = (torch.cat(parts) for parts in zip(*self._judged, strict=True))
        self._judged.clear()
        index, output, label = gather_rows(index, output, label)
        judged = Judged(output, label, index)
        metrics = self.judge(judged.output, judged.label)
        if not math.isfinite(metrics["loss"]):
            raise NonFiniteLoss(
                f"the {split} loss became {metrics['loss']} after step {self.global_step} "
                f"(epoch {self.current_epoch}); {self._last_good_checkpoint()}. {ADVICE}"
            )
        if split == "test":
            self.tested = judged
            metrics |= self.reference(judged)
        named = {f"{split}/{name}": value for name, value in metrics.items()}
        self.log_dict(named, batch_size=len(judged.label), sync_dist=True)
