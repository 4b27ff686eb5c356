"""The two trackers that write files: they equal metrics.csv, also after a resume."""

import csv
from pathlib import Path

import pytest
from pretend_run import train, write_png

from workbench.run.metrics_file import read_metrics
from workbench.tracking.csv_tables import CsvTracker
from workbench.tracking.tensorboard import TensorboardTracker
from workbench.tracking.tracker import RunDescription, Tracker
from workbench.tracking.uploader import Mirror


def mirror(run: RunDescription, tracker: Tracker, status: str = "finished") -> None:
    feed = Mirror(run.folder, {tracker.name: tracker}, run)
    feed.start()
    feed.close(status)


def events(folder: Path):
    """What TensorBoard itself reads: it checks every checksum."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0}).Reload()


def test_tensorboard_draws_steps_against_steps_and_epochs_against_epochs(
    folder: Path, description: RunDescription
) -> None:
    train(folder)
    mirror(description, TensorboardTracker())
    shown = events(folder)
    steps = {event.step: event.value for event in shown.Scalars("train/loss")}
    assert steps == {step: pytest.approx(1 / (step + 1)) for step in range(20)}
    assert [(event.step, event.value) for event in shown.Scalars("val/accuracy")] == [
        (0, pytest.approx(0.09)),
        (1, pytest.approx(0.19)),
    ]
    assert shown.Scalars("train/loss")[3].wall_time == read_metrics(folder)[3].time


def test_tensorboard_shows_figures_config_and_hyper_parameters(
    folder: Path, description: RunDescription
) -> None:
    train(folder)
    write_png(folder / "figures" / "curves.png", width=7, height=5)
    (folder / "figures" / "half.png").write_bytes((folder / "figures" / "curves.png").read_bytes()[:-5])
    mirror(description, TensorboardTracker(), "failed")
    shown = events(folder)
    assert shown.Tags()["images"] == ["figures/curves"]
    image = shown.Images("figures/curves")[0]
    assert (image.width, image.height, image.step) == (7, 5, 1)
    assert b"batch_size: 64" in shown.Tensors("config")[0].tensor_proto.string_val[0]
    assert b"| author | me |" in shown.Tensors("tags")[0].tensor_proto.string_val[0]

    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    pages = shown.summary_metadata
    start = HParamsPluginData.FromString(pages["_hparams_/session_start_info"].plugin_data.content)
    values = start.session_start_info.hparams
    assert (values["batch_size"].number_value, values["shuffle"].bool_value) == (64.0, True)
    assert (values["optimizer"].string_value, values["tags.author"].string_value) == ("SGD", "me")
    end = HParamsPluginData.FromString(pages["_hparams_/session_end_info"].plugin_data.content)
    assert end.session_end_info.status == 2  # STATUS_FAILURE


def test_tensorboard_holds_a_resumed_run_once(folder: Path, description: RunDescription) -> None:
    train(folder, last=13)
    mirror(description, TensorboardTracker(), "interrupted")
    train(folder, first=10)
    mirror(description, TensorboardTracker())
    assert [event.step for event in events(folder).Scalars("train/loss")] == list(range(20))
    assert len(list((folder / "tensorboard").iterdir())) == 1


def read(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_csv_has_one_row_per_step_or_epoch_and_one_column_per_value(
    folder: Path, description: RunDescription
) -> None:
    train(folder)
    mirror(description, CsvTracker())
    train(folder, last=30)  # resumed for an epoch more
    mirror(description, CsvTracker())
    steps = read(folder / "csv" / "steps.csv")
    assert steps[0] == ["step", "train/loss"]
    assert [(int(step), float(loss)) for step, loss in steps[1:]] == [(n, 1 / (n + 1)) for n in range(30)]
    assert read(folder / "csv" / "epochs.csv") == [
        ["epoch", "val/accuracy"],
        ["0", "0.09"],
        ["1", "0.19"],
        ["2", "0.29"],
    ]
    assert ["tags.author", "me"] in read(folder / "csv" / "hparams.csv")


def test_csv_leaves_a_cell_empty_where_there_is_no_value(folder: Path, description: RunDescription) -> None:
    from workbench.train.step_log import RunLogger

    logger = RunLogger(folder)
    logger.log_steps({"a": 1.0}, epoch=0, step=0)
    logger.log_steps({"b": 2.0}, epoch=0, step=1)
    mirror(description, CsvTracker())
    assert read(folder / "csv" / "steps.csv") == [["step", "a", "b"], ["0", "1.0", ""], ["1", "", "2.0"]]
