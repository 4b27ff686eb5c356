"""What happens in the middle of a training: a shell script, run once as the second epoch begins."""

import subprocess
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class Midway(Callback):
    """Runs the script and removes it, so that a resumed training does not run it again.

    `batch` waits for the epoch's first batch, when its data workers are at work.
    """

    def __init__(self, script: str, batch: bool = False) -> None:
        self.script, self.batch = Path(script), batch

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.batch:
            self._run(trainer)

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if self.batch:
            self._run(trainer)

    def _run(self, trainer: Trainer) -> None:
        if trainer.current_epoch == 1 and self.script.exists():
            subprocess.run(["sh", str(self.script)], check=True)
            self.script.unlink(missing_ok=True)
