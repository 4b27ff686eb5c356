"""MLflow: the local store, processes that start at once, and a real server that dies and comes back."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow_server import Server
from pretend_run import train, write_png

from workbench.common.errors import ConfigError
from workbench.common.workspace import ROOT
from workbench.run.metrics_file import MetricsFile
from workbench.tracking import uploader as mirror_module
from workbench.tracking.artifacts import Acknowledged
from workbench.tracking.mlflow import LONGEST_PARAM, MlflowTracker, tracking_uri
from workbench.tracking.tracker import RunDescription
from workbench.tracking.uploader import Mirror

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own dependencies warn as they like


def mirror(run: RunDescription, status: str = "finished", wait: float = 10.0) -> None:
    feed = Mirror(run.folder, {"mlflow": MlflowTracker()}, run)
    feed.start()
    feed.close(status, wait)


def runs(uri: str):
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("first")
    return client, client.search_runs([experiment.experiment_id])


def test_a_run_is_kept_with_everything(folder: Path, description: RunDescription, uri: str) -> None:
    train(folder)
    write_png(folder / "figures" / "curves.png")
    for name in ("best.ckpt", "last.ckpt"):
        (folder / "checkpoints" / name).write_bytes(b"\xff\x00")
    (folder / "tensorboard").mkdir()
    (folder / "tensorboard" / "events").write_text("another tracker's")
    description.hparams["long"] = "x" * 2 * LONGEST_PARAM
    mirror(description)
    client, (run,) = runs(uri)
    assert (run.info.run_name, run.info.status, run.info.start_time) == (
        folder.name,
        "FINISHED",
        1_800_000_000_000,
    )
    assert run.data.tags["author"] == "me"
    assert run.data.tags["mlflow.note.content"] == "why I ran this"  # its page shows it as the description
    assert run.data.params["batch_size"] == "64" and run.data.params["schedule"] == "None"
    assert len(run.data.params["long"]) == LONGEST_PARAM and "config.yaml" in run.data.params["long"]
    losses = client.get_metric_history(run.info.run_id, "train/loss")
    assert {m.step: m.value for m in losses} == {step: 1 / (step + 1) for step in range(20)}
    accuracies = client.get_metric_history(run.info.run_id, "val/accuracy")
    assert [(m.step, m.value) for m in accuracies] == [(0, 0.09), (1, 0.19)]
    artifacts = Path(run.info.artifact_uri)
    assert artifacts.is_relative_to(folder.parent / "mlruns" / "artifacts")
    kept = {path.relative_to(artifacts).as_posix() for path in artifacts.rglob("*") if path.is_file()}
    assert kept == {"config.yaml", "metrics.csv", "figures/curves.png", "checkpoints/best.ckpt"}


def test_a_resumed_run_is_the_same_run(folder: Path, description: RunDescription, uri: str) -> None:
    train(folder, last=13)
    mirror(description, "interrupted")
    assert runs(uri)[1][0].info.status == "KILLED"
    train(folder, first=10)
    description.hparams["start2/batch_size"] = 128  # MLflow refuses to change a parameter
    description.tags["start2"] = "hparams.batch_size=128"
    mirror(description)
    client, (run,) = runs(uri)
    assert run.info.status == "FINISHED"
    assert (run.data.params["batch_size"], run.data.params["start2/batch_size"]) == ("64", "128")
    assert run.data.tags["start2"] == "hparams.batch_size=128"
    assert len(client.get_metric_history(run.info.run_id, "train/loss")) == 20


def test_values_sent_twice_are_kept_once(folder: Path, description: RunDescription, uri: str) -> None:
    train(folder)
    mirror(description)
    acknowledged = folder / "trackers.json"
    text = acknowledged.read_text()
    size = (folder / "metrics.csv").stat().st_size
    assert f'"offset": {size}' in text
    acknowledged.write_text(text.replace(f'"offset": {size}', '"offset": 0'))  # the answer was lost
    mirror(description)
    client, (run,) = runs(uri)
    assert len(client.get_metric_history(run.info.run_id, "train/loss")) == 20


def test_odd_names_and_values_that_are_no_number_are_kept(
    folder: Path, description: RunDescription, uri: str
) -> None:
    from workbench.train.step_log import RunLogger

    RunLogger(folder).log_steps({"accuracy@1 (%)": float("nan"), "精度": float("inf")}, epoch=0, step=0)
    mirror(description)
    _, (run,) = runs(uri)
    assert set(run.data.metrics) == {"accuracy_at_1 _28__percent__29_", "精度"}


def test_an_experiment_deleted_in_the_browser_comes_back(
    folder: Path, description: RunDescription, uri: str
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    client.delete_experiment(client.create_experiment("first"))
    train(folder)
    mirror(description)
    assert len(runs(uri)[1]) == 1


def test_without_a_variable_the_store_lies_in_the_workspace() -> None:
    assert tracking_uri({}) == f"sqlite:///{ROOT}/mlruns/mlflow.db"


@pytest.mark.parametrize("login", ["bob:hunter2", "hunter2"])
def test_a_password_in_the_address_is_refused_without_being_shown(login: str) -> None:
    with pytest.raises(ConfigError, match=r"set it to https://example\.org:5000/mlflow and") as refusal:
        tracking_uri({"MLFLOW_TRACKING_URI": f"https://{login}@example.org:5000/mlflow"})
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("address", "left"),
    [
        (
            "postgresql://h/x?user=joe&password=hunter2&sslmode=require",
            "postgresql://h/x?user=joe&sslmode=require",
        ),
        ("postgresql://joe:hunter2@h/x", "postgresql://joe@h/x"),
        ("https://h/mlflow?access_token=hunter2", "https://h/mlflow"),
    ],
)
def test_a_password_in_a_query_is_refused_and_the_rest_is_shown(address: str, left: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"set it to {left} and give")) as refusal:
        tracking_uri({"MLFLOW_TRACKING_URI": address})
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("address", ["mlruns", "./mlruns", "file:///tmp/mlruns"])
def test_a_folder_is_refused_before_training(address: str) -> None:
    with pytest.raises(ConfigError, match="folder"):
        tracking_uri({"MLFLOW_TRACKING_URI": address})


@pytest.fixture(scope="module")
def server(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "mlflow.db").write_bytes((empty_store / "mlflow.db").read_bytes())
    server = Server(folder)
    server.start()
    yield server
    server.kill()


def test_a_server_that_dies_and_comes_back_misses_nothing(
    folder: Path,
    description: RunDescription,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setattr(mirror_module, "INTERVAL", 0.1)
    feed = Mirror(folder, {"mlflow": MlflowTracker()}, description)
    feed.start()
    train(folder, last=10)
    until(lambda: Acknowledged(folder).by("mlflow", server.uri).offset > 0)
    server.kill()
    began = time.monotonic()
    train(folder, first=10, last=15)
    assert time.monotonic() - began < 1  # training never waits for a server
    until(lambda: caplog.records)

    feed.close("interrupted", wait=0.5)  # still down: one line, and the run ends
    assert "mlflow lacks 5 values" in caplog.records[-1].getMessage()
    assert len(caplog.records) == 2

    server.start()
    write_png(folder / "figures" / "curves.png")
    train(folder, first=10)
    mirror(description)
    client, (run,) = runs(server.uri)
    assert run.info.status == "FINISHED"
    assert sorted(m.step for m in client.get_metric_history(run.info.run_id, "train/loss")) == list(range(20))
    assert {item.path for item in client.list_artifacts(run.info.run_id)} == {
        "config.yaml",
        "metrics.csv",
        "figures",
    }


def until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_two_names_stay_two_where_mlflow_refuses_a_character(
    folder: Path, description: RunDescription, uri: str
) -> None:
    MetricsFile(folder).append("epoch", 0, 1, {"f1@0.5": 0.1, "f1#0.5": 0.2, "f1_0.5": 0.3, "f1 (a)/b": 0.4})
    mirror(description)
    _, (run,) = runs(uri)
    assert sorted(run.data.metrics.values()) == [0.1, 0.2, 0.3, 0.4]
    assert run.data.metrics["f1_at_0.5"] == 0.1
