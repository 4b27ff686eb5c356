"""What happens in the middle of a training: a shell script that is run once, as the second epoch begins."""

import subprocess
from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer


class Midway(Callback):
    """Runs the script and removes it, so that a resumed training does not run it again."""

    def __init__(self, script: str) -> None:
        self.script = Path(script)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 1 and self.script.exists():
            subprocess.run(["sh", str(self.script)], check=True)
            self.script.unlink(missing_ok=True)
