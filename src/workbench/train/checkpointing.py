"""The two checkpoints of a run: `last.ckpt` to resume from, `best.ckpt` by the task's validation metric."""

import math
import os
import shutil
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping


class BestAndLast(Checkpoint):
    """Saves once an epoch; where the epoch is the best so far, the same file gets a second name."""

    def __init__(self, folder: Path, monitor: str, mode: str) -> None:
        self.folder = folder
        self.monitor = monitor
        self.sign = 1 if mode == "max" else -1
        self.best_score = -math.inf
        self.last_is_best = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.last_is_best:  # of a resumed run, which may have been killed between the two files
            self._make_last_the_best(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metric = trainer.callback_metrics.get(self.monitor)
        score = -math.inf if metric is None else self.sign * float(metric)
        self.last_is_best = score > self.best_score
        self.best_score = max(score, self.best_score)
        self._save_last(trainer)
        if self.last_is_best:
            self._make_last_the_best(trainer)
        trainer.strategy.barrier()  # the other ranks may read the files at once

    def _save_last(self, trainer: Trainer) -> None:
        """Replace the file: written over, it would change the best epoch's too, which may be its second name.

        Lightning does write over it where the run is not on the file system of temporary files.
        """
        last = self.folder / "last.ckpt"
        new = last.with_name(f".{last.name}.new")
        try:
            trainer.save_checkpoint(new)
        except BaseException:
            new.unlink(missing_ok=True)  # a part of it may have filled the disk
            raise
        if trainer.is_global_zero:
            new.replace(last)

    def _make_last_the_best(self, trainer: Trainer) -> None:
        if trainer.is_global_zero:
            give_second_name(self.folder / "last.ckpt", self.folder / "best.ckpt")

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know to go on comparing."""
        return {"best_score": self.best_score, "last_is_best": self.last_is_best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the run was left."""
        self.best_score = state_dict["best_score"]
        self.last_is_best = state_dict["last_is_best"]


class StopsEarly(EarlyStopping):
    """Stops as an uninterrupted run would: at once where the resumed one had run out of patience already."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the run was left, with the patience that was asked for now."""
        super().load_state_dict({**state_dict, "patience": self.patience})


def give_second_name(path: Path, second: Path) -> None:
    """Let `second` be the same file as `path` is now, at once or not at all."""
    temporary = second.with_name(f".{second.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, temporary)
    temporary.replace(second)
