"""The sweep as one MLflow run, whose children are its trials; nothing where MLflow is not asked for."""

import time
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock
from omegaconf import DictConfig

from workbench.run.folder import mlflow_id
from workbench.run.metrics_file import MetricsFile
from workbench.tracking.tracker import RunDescription, Tracker
from workbench.tracking.trackers import shown_tags
from workbench.tracking.uploader import Mirror

WAIT = 60.0  # seconds for MLflow to name the run that the trials are to be children of


class Parent:
    """Mirrors the sweep's folder to MLflow, which may be away, as trials mirror theirs."""

    def __init__(self, trackers: Mapping[str, Tracker], config: DictConfig, folder: Path) -> None:
        self._folder = folder
        run = RunDescription(
            folder=folder,
            experiment_name=config.experiment_name,
            run_name=f"sweep {folder.name}",
            tags=shown_tags(config),
            hparams={},
            started=time.time(),
        )
        chosen = {name: tracker for name, tracker in trackers.items() if name == "mlflow"}
        self._mirror = Mirror(folder, chosen, run) if chosen else None

    def start(self) -> None:
        """Begin, and wait a little for the run's id, which the children are to name."""
        if self._mirror is None:
            return
        self._metrics = MetricsFile(self._folder)
        with FileLock(self._folder / ".parent.lock"):  # who comes second finds the run of the first
            self._mirror.start()
            deadline = time.monotonic() + WAIT
            while not self._id() and time.monotonic() < deadline:
                time.sleep(0.05)

    def tags_of_children(self) -> dict[str, str]:
        """Return the tag by which MLflow shows a run below another."""
        name = self._id() if self._mirror else ""
        return {"mlflow.parentRunId": name} if name else {}

    def record(self, number: int, values: Mapping[str, float]) -> None:
        """Draw what a trial reached against its number."""
        if self._mirror is not None:
            self._metrics.append("step", 0, number, values)

    def close(self, status: str) -> None:
        """Send the rest: values, figures, files."""
        if self._mirror is not None:
            self._mirror.close(status)

    def _id(self) -> str:
        return mlflow_id(self._folder)
