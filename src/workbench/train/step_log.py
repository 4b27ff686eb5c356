"""Training values, kept as tensors and read together: to read one each step would stall a GPU.

Lightning's logger of this workspace: it appends to the run folder and knows no tracker.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from workbench.run.media import write_histogram, write_image, write_text
from workbench.run.metrics_file import MetricsFile


class Step(NamedTuple):
    """One training step: where it was, its values (scalars by name) and the rows of its examples."""

    step: int
    batch: int
    values: dict[str, Tensor]
    examples: Tensor


@dataclass
class BadStep:
    """The first step whose loss is NaN or infinite."""

    step: int
    batch: int
    loss: float
    examples: list[int]


class StepLog:
    """Collects the values of the steps since the last reading, and their mean over the epoch by set."""

    def __init__(self) -> None:
        self._waiting: list[Step] = []
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, step: int, batch: int, values: dict[str, Tensor], examples: Tensor) -> None:
        """Keep the values of one step; costs no synchronisation."""
        self._waiting.append(Step(step, batch, values, examples))

    def read(self) -> tuple[dict[str, float], BadStep | None]:
        """Return the newest step's values, and the first step with a loss that is not finite."""
        if not self._waiting:
            return {}, None
        names = list(self._waiting[0].values)
        rows = torch.stack([torch.stack(tuple(s.values.values())).float() for s in self._waiting]).tolist()
        bad = next(
            (self._bad(s, row) for s, row in zip(self._waiting, rows, strict=True) if not _finite(row[0])),
            None,
        )
        for step, row in zip(self._waiting, rows, strict=True):
            size = len(step.examples)
            self._count += size
            for name, value in zip(names, row, strict=True):
                self._sums[name] = self._sums.get(name, 0.0) + value * size
        self._waiting.clear()
        return dict(zip(names, rows[-1], strict=True)), bad

    def means(self) -> dict[str, float]:
        """Return the epoch's means, each set counting once whatever its batch, and begin anew."""
        means = {name: total / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return means

    def state_dict(self) -> dict[str, Any]:
        """Return what the epoch's means are made of; what waits has been read."""
        return {"sums": self._sums, "count": self._count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on in the midst of an epoch."""
        self._sums, self._count = dict(state["sums"]), state["count"]

    def _bad(self, step: Step, row: list[float]) -> BadStep:
        return BadStep(step.step, step.batch, row[0], step.examples.tolist())


def _finite(value: float) -> bool:
    return value - value == 0


# Where what Lightning logs belongs: the axis, and what is added to the names.
Places = tuple[tuple[str, str], ...]
OF_STEP: Places = (("step", ""),)
OF_EPOCH: Places = (("epoch", ""),)
BETWEEN: Places = (("step", "_step"),)  # a validation in the midst of an epoch


class RunLogger(Logger):
    """Appends every value to `<folder>/metrics.csv`; trackers read it from there (tracking/uploader.py)."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.places = OF_EPOCH

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write what Lightning collected with `self.log`, against the step or the epoch it is of."""
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        for axis, suffix in self.places if "epoch" in metrics else OF_STEP:  # Lightning always adds it
            named = {f"{name}{suffix}": value for name, value in values.items()}
            self._file.append(axis, int(metrics.get("epoch", 0)), step or 0, named)

    @rank_zero_only
    def log_steps(self, metrics: Mapping[str, float], epoch: int, step: int) -> None:
        """Write values of one training step, against the step."""
        self._file.append("step", epoch, step, metrics)

    @rank_zero_only
    def log_image(self, name: str, image: Any) -> None:
        """Keep an image `[H, W]` or `[H, W, 3]`, uint8 or 0..1, as `figures/<name>.png`."""
        write_image(self.folder, name, image)

    @rank_zero_only
    def log_histogram(self, name: str, values: Any) -> None:
        """Keep a histogram of numbers of any shape as `figures/<name>.png`."""
        write_histogram(self.folder, name, values)

    @rank_zero_only
    def log_text(self, name: str, text: str) -> None:
        """Keep a text in Markdown as `figures/<name>.md`."""
        write_text(self.folder, name, text)

    def __getattr__(self, name: str) -> Any:
        """Say what there is in place of what other loggers have, such as `experiment`."""
        raise AttributeError(
            f"the run's logger has no {name}; it has log_image, log_histogram, log_text and log_steps, "
            "which every tracker is sent"
        )

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run folder's config.yaml holds them before training begins."""

    @property
    def name(self) -> str:
        """The run folder's name."""
        return self.folder.name

    @property
    def version(self) -> str:
        """Empty: a run folder has no versions."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self.folder)

    @cached_property
    def _file(self) -> MetricsFile:  # opened at the first value: other ranks never open it
        return MetricsFile(self.folder)


class StepOrEpoch(Callback):
    """Tells the run's logger whether what comes is of a step or of a whole epoch: Lightning does not.

    Where an epoch is validated several times, each is a point `<name>_step` on the step axis, and the last
    one the epoch's, too.
    """

    def __init__(self, logger: RunLogger) -> None:
        self.logger = logger

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.logger.places = OF_EPOCH

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        interval, batches = trainer.val_check_batch, trainer.num_training_batches
        if interval is None or interval >= batches:  # None by time, as Lightning has it
            self.logger.places = OF_EPOCH
        else:
            is_last = trainer.fit_loop.batch_idx + 1 + interval > batches
            self.logger.places = (*BETWEEN, *(OF_EPOCH if is_last else ()))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.logger.places = OF_EPOCH

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.logger.places = OF_STEP

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.logger.places = OF_STEP

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.logger.places = OF_STEP
