"""Lightning's logger of this workspace: it appends to the run folder and knows no tracker."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from workbench.run.metrics_file import MetricsFile


class RunLogger(Logger):
    """Appends every value to `<folder>/metrics.csv`; trackers read it from there (tracking/uploader.py)."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write what Lightning collected with `self.log`, against the epoch it names."""
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        axis = "epoch" if "epoch" in metrics else "step"
        self._file.append(axis, int(metrics.get("epoch", 0)), step or 0, values)

    @rank_zero_only
    def log_steps(self, metrics: Mapping[str, float], epoch: int, step: int) -> None:
        """Write values of one training step, against the step."""
        self._file.append("step", epoch, step, metrics)

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
