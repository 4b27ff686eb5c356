"""What the tests of tracking share: a run folder before its first step, its description, an MLflow store."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from workbench.common.workspace import ROOT
from workbench.tracking.tracker import RunDescription


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder as training has it before the first step."""
    folder = tmp_path / "2026-11-21_10-00-00_abcd"
    (folder / "figures").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    (folder / "config.yaml").write_text("hparams:\n  batch_size: 64\n", encoding="utf-8")
    return folder


@pytest.fixture
def description(folder: Path) -> RunDescription:
    """A run called like its folder, with plain hyper-parameters of every kind."""
    hparams = {"batch_size": 64, "learning_rate": 0.1, "optimizer": "SGD", "shuffle": True, "schedule": None}
    tags, started = {"author": "me"}, 1_800_000_000.0
    return RunDescription(folder, "first", folder.name, tags, hparams, started, note="why I ran this")


@pytest.fixture(scope="session")
def neptune_imported() -> None:
    """Import Neptune's client: it and its dependencies warn then, whatever filters say."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        import neptune  # noqa: F401


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that three processes create at once: each would break it for the others without the lock."""
    store = tmp_path_factory.mktemp("mlruns")
    code = "import sys; from workbench.tracking.mlflow import connect; connect(sys.argv[1])"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", code, f"sqlite:///{store}/mlflow.db"]
    processes = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(3)]
    said = [process.communicate(timeout=120)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert said == ["", "", ""]
    return store


@pytest.fixture
def uri(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A local store with no run in it."""
    store = tmp_path / "mlruns"
    store.mkdir()
    (store / "mlflow.db").write_bytes((empty_store / "mlflow.db").read_bytes())
    uri = f"sqlite:///{store}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri
