"""Images, histograms and texts of a task's own reach the run folder and every tracker."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from workbench.tracking.csv_tables import CsvTracker
from workbench.tracking.mlflow import MlflowTracker
from workbench.tracking.neptune import NeptuneTracker
from workbench.tracking.tensorboard import TensorboardTracker
from workbench.tracking.tracker import RunDescription
from workbench.tracking.uploader import Mirror
from workbench.train.step_log import RunLogger

KEPT = {"filters.png", "deep/weights.png", "remarks.md"}


def log_all(folder: Path) -> None:
    logger = RunLogger(folder)
    logger.log_image("filters", torch.linspace(0, 1, 12).reshape(3, 4))
    logger.log_histogram("deep/weights", torch.tensor([0.0, 1.0, float("nan")], dtype=torch.bfloat16))
    logger.log_text("remarks", "**bold**")


def test_they_are_kept_in_the_run_folder(folder: Path) -> None:
    log_all(folder)
    figures = folder / "figures"
    assert {path.relative_to(figures).as_posix() for path in figures.rglob("*") if path.is_file()} >= KEPT
    assert np.asarray(Image.open(figures / "filters.png")).shape == (3, 4)
    assert (figures / "remarks.md").read_text() == "**bold**"
    with pytest.raises(ValueError, match=r"log_image\('odd'\): its shape is \[2\]"):
        RunLogger(folder).log_image("odd", torch.zeros(2))
    with pytest.raises(ValueError, match="stays below figures/"):
        RunLogger(folder).log_text("../../elsewhere", "")
    with pytest.raises(AttributeError, match="no experiment; it has log_image"):
        RunLogger(folder).experiment.add_histogram("x", [1.0])


@pytest.mark.filterwarnings("ignore")  # the trackers' own dependencies warn as they like
def test_every_tracker_takes_them(folder: Path, description: RunDescription, uri: str) -> None:
    log_all(folder)
    trackers = {t.name: t for t in (CsvTracker(), MlflowTracker(), NeptuneTracker(), TensorboardTracker())}
    mirror = Mirror(folder, trackers, description)
    mirror.start()
    mirror.close("finished", 30)
    shown = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert {"figures/filters", "figures/deep/weights"} <= set(shown.Tags()["images"])
    assert shown.Tensors("figures/remarks.md")[0].tensor_proto.string_val[0] == b"**bold**"
    uploads = {path.name.split("-")[0] for path in folder.glob(".neptune/offline/*/upload_path/*")}
    assert {"figures_filters", "figures_deep_weights", "figures_remarks.md"} <= uploads
    stored = {path.name for path in (folder.parent / "mlruns").rglob("figures/**/*")}
    assert {"filters.png", "weights.png", "remarks.md"} <= stored
