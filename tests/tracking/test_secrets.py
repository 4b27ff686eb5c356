"""A token in the environment reaches no file, no store and no artifact."""

import sqlite3
from pathlib import Path

import pytest
from pretend_run import train, write_png

from workbench.common import redaction as secrets
from workbench.common.redaction import is_secret_name, redact, secret_values
from workbench.common.workspace import load_env, read_env
from workbench.tracking.csv_tables import CsvTracker
from workbench.tracking.mlflow import MlflowTracker
from workbench.tracking.neptune import NeptuneTracker
from workbench.tracking.tensorboard import TensorboardTracker
from workbench.tracking.tracker import RunDescription
from workbench.tracking.uploader import Mirror

TOKEN = "planted-4711-token"


@pytest.mark.parametrize(
    "name", ["NEPTUNE_API_TOKEN", "db_password", "OPENAI_APIKEY", "api_key", "aws_credentials"]
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["batch_size", "HOME", "optimizer", "keypoints"])
def test_plain_names_are_let_through(name: str) -> None:
    assert not is_secret_name(name)


def test_only_values_long_enough_to_be_secrets_are_blanked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "abcdef")
    monkeypatch.setenv("OTHER_TOKEN", "abcdefgh")
    monkeypatch.setenv("USE_TOKEN", "true")
    assert redact("true abcdefgh abcdef") == "true *** ***"


def test_the_env_file_counts_and_never_wins_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".env"
    path.write_text(f"# where\nA_TOKEN='{TOKEN}'\nB_TOKEN=from-the-file\nEMPTY=\n")
    monkeypatch.setattr(secrets, "read_env", lambda: read_env(path))
    assert {TOKEN, "from-the-file"} <= set(secret_values())
    monkeypatch.setenv("A_TOKEN", "")
    monkeypatch.delenv("A_TOKEN")  # both are put back afterwards
    monkeypatch.setenv("B_TOKEN", "from-outside")
    load_env(path)
    import os

    assert (os.environ["A_TOKEN"], os.environ["B_TOKEN"]) == (TOKEN, "from-outside")
    assert "EMPTY" not in os.environ


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("neptune_imported")
def test_no_tracker_keeps_a_planted_token(
    folder: Path, description: RunDescription, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_TOKEN", TOKEN)
    monkeypatch.setenv("NEPTUNE_API_TOKEN", TOKEN)
    monkeypatch.setenv("NEPTUNE_DATA_DIRECTORY", "")  # put back afterwards
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store/mlflow.db")
    given = [folder / "config.yaml", folder / "train.log"]
    for path in given:
        path.write_text(f"the key is {TOKEN}\n")
    description.tags["note"] = f"run with {TOKEN}"
    description.hparams["path"] = f"/data/{TOKEN}/images"
    train(folder)
    write_png(folder / "figures" / "curves.png")
    trackers = [TensorboardTracker(), CsvTracker(), MlflowTracker(), NeptuneTracker()]
    mirror = Mirror(folder, {tracker.name: tracker for tracker in trackers}, description)
    mirror.start()
    mirror.close("finished", wait=60)
    for path in given:
        path.unlink()  # what training wrote itself is not the trackers' matter
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"tensorboard", "csv", ".neptune", "store"} <= {part for path in written for part in path.parts}
    assert [path for path in written if TOKEN.encode() in path.read_bytes()] == []
    with sqlite3.connect(tmp_path / "store" / "mlflow.db") as store:
        assert store.execute("SELECT value FROM tags WHERE key = 'note'").fetchall() == [("run with ***",)]
    store.close()
    kept = next((tmp_path / "store" / "artifacts").rglob("config.yaml"))
    assert kept.read_text() == "the key is ***\n"
