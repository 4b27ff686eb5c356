"""The part of a search that runs inside a training: it stops a trial that falls behind."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from workbench.common.errors import Pruned
from workbench.run.trial import TrialNote, read_note
from workbench.search.study import running_trial

if TYPE_CHECKING:
    from optuna.trial import Trial


def pruning(folder: Path) -> Sequence[Callback]:
    """Return the callback for a run folder that belongs to a study which prunes; else none."""
    note = read_note(folder)
    return [Pruning(note)] if note and note.pruner else []


class Pruning(Callback):
    """Reports the study's metric after each validation; raises Pruned on all ranks at once."""

    def __init__(self, note: TrialNote) -> None:
        self.note = note

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        value = trainer.callback_metrics.get(self.note.metric)
        if trainer.sanity_checking or value is None:
            return
        epoch = trainer.current_epoch
        falls_behind = trainer.is_global_zero and self._falls_behind(float(value), epoch)
        if trainer.strategy.broadcast(falls_behind):
            raise Pruned(f"after epoch {epoch} with {self.note.metric} {float(value):.6g}")

    def _falls_behind(self, value: float, epoch: int) -> bool:
        self._trial.report(value, epoch)
        return bool(self._trial.should_prune())

    @cached_property
    def _trial(self) -> "Trial":  # looked up at the first report: other ranks never do
        return running_trial(self.note)
