"""A callback that leaves the process after its first training step, for startup.py to time."""

import os
from typing import Any

from pytorch_lightning import Callback


class LeaveAfterOneStep(Callback):
    """Ends the process without any closing work."""

    def on_train_batch_end(self, *args: Any) -> None:
        os._exit(0)
