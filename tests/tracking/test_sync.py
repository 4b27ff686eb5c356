"""sync.py: what a tracker lacks is sent, once, whatever became of the run."""

import json
import shutil
from pathlib import Path

import pytest
from pretend_run import train
from test_mlflow import runs

from workbench.common.errors import ConfigError
from workbench.run.summary import Recording
from workbench.tracking.sync import sync

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own dependencies warn as they like


@pytest.fixture
def run_folder(folder: Path) -> Path:
    """A run without any tracker, which was killed."""
    (folder / "config.yaml").write_text("experiment_name: first\ntags: {author: me}\nloggers: {}\n")
    recording = Recording(folder)
    recording.begin()
    recording.release()
    train(folder)
    return folder


def test_a_killed_run_is_published_once(run_folder: Path, uri: str, capsys) -> None:
    assert sync([str(run_folder), "loggers=mlflow"])
    assert sync([f"run={run_folder}", "loggers=[mlflow]"])
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("mlflow took 22 values and the files")
    assert second.endswith("mlflow has everything")
    (run_folder / "trackers.json").write_text("{")  # damaged: its key is lost
    assert sync([str(run_folder), "loggers=mlflow"])
    client, (run,) = runs(uri)
    assert (run.info.status, run.data.tags["author"]) == ("KILLED", "me")
    assert len(client.get_metric_history(run.info.run_id, "train/loss")) == 20


def test_all_runs_below_a_folder_are_sent_except_living_ones(run_folder: Path, capsys) -> None:
    living = run_folder.parent / "living"
    living.mkdir()
    (living / "config.yaml").write_text("experiment_name: first\n")
    recording = Recording(living)
    recording.begin()
    copy = shutil.copytree(run_folder, run_folder.parent / "artifacts")  # as MLflow keeps one
    (copy / ".lock").unlink()
    assert sync([str(run_folder.parent), "loggers=[csv,tensorboard]"])
    recording.release()
    said = capsys.readouterr().out.splitlines()
    assert [line.rpartition(": ")[2] for line in said] == [
        "csv took 22 values and the files",
        "tensorboard took 22 values and the files",
        "it is running, and sends by itself",
    ]
    assert list((run_folder / "tensorboard").glob("events*"))
    assert not (copy / "trackers.json").exists()


def test_a_tracker_that_is_down_fails_the_command_and_loses_nothing(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # the port that discards, closed
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert not sync([str(run_folder), "loggers=[mlflow,csv]"])
    down, taken = capsys.readouterr().out.splitlines()
    assert "mlflow takes nothing" in down and "csv took" in taken
    assert "mlflow" not in json.loads((run_folder / "trackers.json").read_text())["trackers"]


def test_a_run_without_trackers_is_not_passed_over_in_silence(run_folder: Path, capsys) -> None:
    assert sync([str(run_folder)])
    assert "name one, such as loggers=mlflow" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere"),
        (["loggers=mlflw"], "did you mean mlflow"),
        (["loggers=nothing_like_it"], "there is csv, mlflow"),
        (["loggers=csv"], "name a run folder"),
        (["run="], "name a run folder"),
        (["logger=csv", "outputs"], "did you mean loggers"),
    ],
)
def test_wrong_words_are_named(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        sync(words)
